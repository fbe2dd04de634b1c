"""Where submitted tasks of a flow run."""

from .concurrent import ConcurrentTaskRunner
from .dask import DaskTaskRunner
from .process import ProcessTaskRunner
from .ray import RayTaskRunner, remote_options
from .sequential import SequentialTaskRunner

__all__ = (
    "ConcurrentTaskRunner",
    "DaskTaskRunner",
    "ProcessTaskRunner",
    "RayTaskRunner",
    "SequentialTaskRunner",
    "remote_options",
)
