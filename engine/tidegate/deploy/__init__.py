"""Flows as others find and start them."""

from .loading import block_code_execution, is_blocked, load_flow
from .notebooks import load_notebook, notebook_parameters

__all__ = ("block_code_execution", "is_blocked", "load_flow", "load_notebook", "notebook_parameters")
