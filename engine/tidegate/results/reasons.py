"""Why something could not be saved, or not be loaded, in one line."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """Class and first line of an error that may be foreign, endless, or fail to say what it is."""
    name = type(error).__name__
    try:
        text = str(error).strip().partition("\n")[0]
    except Exception:  # of its own `__str__`
        text = ""
    return f"{name}: {text}" if text else name
