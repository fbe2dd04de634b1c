"""What a lifecycle asks for, and does not do itself.

A lifecycle is a plain generator.  It yields one of these and gets the answer back, so the same lifecycle runs on a
thread that blocks, on a worker that goes on to other work, and on an event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeAlias

from ..context import Frame
from ..latch import Waitable
from ..model.events import Event
from ..model.record import record
from ..model.states import State


class Body(Protocol):
    """User code that can be attempted."""

    handle: Any
    """What runs it now: a thread's ident, an asyncio task, or null."""

    @property
    def frame(self) -> Frame:
        """What the user's code sees as the innermost run."""
        ...

    def call(self) -> Any:
        """Call the user's function; a coroutine if it is async."""
        ...

    def entered(self, handle: Any) -> None:
        """User code begins, on this thread or asyncio task."""
        ...

    def left(self) -> None:
        """User code has ended; nobody may interrupt its thread on its behalf any more."""
        ...

    def judge(self, value: Any, error: BaseException | None) -> State:
        """The state that the end of the user's code proposes."""
        ...


@record
class Attempt:
    """Call the user's code once.  The answer is the state that it proposes."""

    body: Body


@record
class Wait:
    """Wait for a latch.  The answer is false if `timeout` (seconds) passed first."""

    latch: Waitable
    timeout: float | None = None


@record
class Save:
    """Keep a final event.  The answer comes once it is kept, or is known not to be."""

    event: Event


@record
class Tell:
    """Call the user's hooks about a state that is kept.  What they raise is logged, and changes nothing."""

    hooks: tuple[Callable[..., Any], ...]
    arguments: tuple[Any, ...]


Effect: TypeAlias = Attempt | Wait | Save | Tell
Lifecycle: TypeAlias = Generator[Effect, Any, None]
Part: TypeAlias = Generator[Effect, Any, State | None]
"""A part of a lifecycle; it returns the final state, or null if there is none yet."""
