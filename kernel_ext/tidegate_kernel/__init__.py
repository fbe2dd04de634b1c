"""Tidegate in a Jupyter kernel: magics, the graph under the cell, and clicks that are heard while it runs."""

from typing import Any

_LOADED = "_tidegate_extension"


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext tidegate``; does nothing if it is loaded already."""
    from .extension import Extension

    if getattr(shell, _LOADED, None) is None:
        extension = Extension(shell)
        extension.load()
        setattr(shell, _LOADED, extension)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext tidegate``: everything back to how it was."""
    extension = getattr(shell, _LOADED, None)
    if extension is not None:
        extension.unload()
        setattr(shell, _LOADED, None)
