"""``asyncio.run`` in a cell: what to do instead, and the opt-in that allows it.

A kernel runs its cells on an event loop, and Python refuses to run a second one inside of it.  Nothing is patched
unless the user asks for it.  The library is the maintained fork: with the archived ``nest_asyncio`` clicks are lost.
"""

from __future__ import annotations

REFUSALS = (
    "asyncio.run() cannot be called from a running event loop",
    "This event loop is already running",
    "Cannot run the event loop while another loop is running",
)
"""What Python says."""

HELP = (
    "A cell runs on an event loop already: write `await ...` in the cell or in an async task, "
    "or allow this with `%config TideGate.nested_asyncio = True`."
)


def explain(error: object) -> None:
    """Add a line of help to Python's refusal to run a loop inside of a loop; leaves anything else alone."""
    if isinstance(error, RuntimeError) and str(error) in REFUSALS and HELP not in getattr(error, "__notes__", ()):
        error.add_note(HELP)


def allow() -> None:
    """Patch asyncio so that a loop may run inside of a loop, until the process ends.

    Raises `ImportError`, with a line that says what to install.
    """
    try:
        import nest_asyncio2
    except ImportError:
        told = "nested_asyncio needs nest-asyncio2: `%pip install 'tidegate[nest]'`, then set it again."
        raise ImportError(told) from None
    nest_asyncio2.apply(run_close_loop=True)  # a loop that it makes on another thread is closed, as without it
