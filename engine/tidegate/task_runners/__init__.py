"""Where submitted tasks of a flow run."""

from .concurrent import ConcurrentTaskRunner
from .process import ProcessTaskRunner
from .sequential import SequentialTaskRunner

__all__ = ("ConcurrentTaskRunner", "ProcessTaskRunner", "SequentialTaskRunner")
