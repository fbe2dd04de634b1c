"""Where submitted tasks of a flow run."""

from .concurrent import ConcurrentTaskRunner
from .sequential import SequentialTaskRunner

__all__ = ("ConcurrentTaskRunner", "SequentialTaskRunner")
