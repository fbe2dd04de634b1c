"""Futures: what `.submit()` and `.map()` give back while the work goes on."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from . import host
from .ended_run import Ended, EndedRun
from .errors import InvalidOption, UsageError
from .latch import AllOf, Latch

if TYPE_CHECKING:
    from .model.states import State
    from .run.identity import Identity
    from .run.task_run import TaskRun

R = TypeVar("R")


class TaskFuture(Generic[R]):
    """A task run that was submitted: wait for it, ask for its state, get its result.  Safe from any thread.

    Waiting never holds a worker: a task that waits for another one lends its place in the pool.  Once its task run has
    ended it can be pickled: what comes of that has the same end, in any process.
    """

    __slots__ = ("__weakref__", "_run")

    def __init__(self, run: TaskRun) -> None:
        self._run = run

    @property
    def name(self) -> str:
        """The readable name of the task run, ``locate-17``."""
        return self._run.name

    @property
    def flow_run(self) -> int:
        """The number of the flow run that it belongs to."""
        return self._run.flow_run.number

    @property
    def number(self) -> int:
        """Its number within the flow run, counted from 1 in the order of the calls."""
        return self._run.number

    @property
    def state(self) -> State:
        """The present state; does not wait."""
        return self._run.state

    @property
    def attempts(self) -> int:
        """How often it has begun, retries counted."""
        return self._run.run_count

    @property
    def seconds(self) -> float | None:
        """How long its last attempt took, or has taken so far; null if it has not begun, or did not have to run."""
        return self._run.took()

    @property
    def latch(self) -> Latch:
        """Opens when the task run has ended and its end is saved."""
        return self._run

    def done(self) -> bool:
        """True once the task run has ended and its end is saved."""
        return self._run.done()

    @property
    def ran_anew(self) -> bool:
        """True if it ran in the present attempt of its flow run and gave something new, false if its end is that of an
        earlier one."""
        return self._run.attempts > 0 and not self._run.unchanged

    @property
    def identity(self) -> Identity:
        """Which call of its task it is."""
        return self._run.identity

    def on_done(self, callback: Callable[[], object]) -> None:
        """Call `callback` at the end, in the thread that saw it; at once if it has ended."""
        self._run.on_done(callback)

    def add_done_callback(self, callback: Callable[[TaskFuture[R]], object]) -> None:
        """Call ``callback(future)`` at the end, in the thread that saw it; at once if it has ended."""
        self._run.on_done(lambda: callback(self))

    def get_state(self) -> State:
        """The state that the store has of it now, which may be behind `state` by some milliseconds; does not wait."""
        return self._run.recorded_state()

    def wait(self, timeout: float | None = None) -> State | None:
        """Block until the end and return the final state; null if `timeout` (seconds) passed first."""
        return self._run.state if host.wait(self._run, timeout) else None

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """Block until the end and return what the task returned.

        Raises what the task raised (with ``raise_on_failure=False`` returns it), `TimeoutError` if `timeout` (seconds)
        passed first, and `UpstreamNotCompleted` if the task never began because an input of it did not complete.
        """
        __tracebackhide__ = True
        run = self._run  # a retry may put another in its place
        if not host.wait(run, timeout):
            raise TimeoutError(f"{self.name} has not ended after {timeout:g} s; it is {self.state.name}.")
        return cast(R, run.value(raise_on_failure))

    @property
    def task_run(self) -> TaskRun:
        """The task run that it stands for now."""
        return self._run

    def stand_for(self, run: TaskRun) -> None:
        """The same task run goes on as `run`: whoever holds this future has that one from now on."""
        self._run = run

    def __reduce__(self) -> tuple[Any, ...]:
        """With its end, which is the same wherever it is unpickled.  Raises `NotSendable` before that."""
        return _pickled, (type(self), Ended.of(self._run))

    def __bool__(self) -> bool:
        warnings.warn(f"A future is always true. Did you mean `{self.name}.result()`?", UserWarning, stacklevel=2)
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def _pickled(kind: type[TaskFuture[R]], ended: Ended) -> TaskFuture[R]:
    run: Any = EndedRun(ended)
    return kind(run)


class AsyncTaskFuture(TaskFuture[R]):
    """The future of an async task submitted by an async flow: the same, to be awaited.

    The task runs on the flow's own loop, where a wait that blocks would wait for itself.  ``await`` of the future
    itself gives the future, so that ``future = await task.submit()`` works as it does elsewhere.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, AsyncTaskFuture[R]]:
        yield from ()  # makes it a generator: awaiting is allowed and takes no time
        return self

    async def wait(self, timeout: float | None = None) -> State | None:  # type: ignore[override]
        """Wait for the end and return the final state; null if `timeout` (seconds) passed first."""
        return self._run.state if await wait_async(self._run, timeout) else None

    async def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:  # type: ignore[override]
        """Wait for the end and return what the task returned; raises as `TaskFuture.result`."""
        __tracebackhide__ = True
        run = self._run
        if not await wait_async(run, timeout):
            raise TimeoutError(f"{self.name} has not ended after {timeout:g} s; it is {self.state.name}.")
        return cast(R, run.value(raise_on_failure))


class DoneAndNotDone(NamedTuple, Generic[R]):
    """What `wait` gives: those that have ended and those that have not, each in the order in which they were given."""

    done: list[TaskFuture[R]]
    not_done: list[TaskFuture[R]]

    def __await__(self) -> Generator[Any, None, DoneAndNotDone[R]]:
        yield from ()  # so that `await wait(futures)` may always be written in async code
        return self


def wait(futures: Iterable[TaskFuture[R]], timeout: float | None = None) -> DoneAndNotDone[R]:
    """Block until all have ended, or `timeout` (seconds) has passed; ``done, not_done = wait(futures)``.

    How they ended does not matter, and nothing is raised for it.  In async code, await it: futures that are to be
    awaited give an awaitable here, too.  Raises `InvalidOption` for what is no future.
    """
    given = _futures(futures, "wait")
    if any(isinstance(each, AsyncTaskFuture) for each in given):
        return cast("DoneAndNotDone[R]", _sorted_async(given, timeout))
    host.wait(AllOf(each.latch for each in given), timeout)
    return _sorted(given)


async def _sorted_async(given: list[TaskFuture[R]], timeout: float | None) -> DoneAndNotDone[R]:
    await wait_async(AllOf(each.latch for each in given), timeout)
    return _sorted(given)


def _sorted(given: list[TaskFuture[R]]) -> DoneAndNotDone[R]:
    ended = [each.done() for each in given]  # asked once, or one that ends meanwhile would stand in neither
    both = list(zip(given, ended, strict=True))
    return DoneAndNotDone([each for each, over in both if over], [each for each, over in both if not over])


def _futures(given: Iterable[TaskFuture[R]], what: str) -> list[TaskFuture[R]]:
    found = list(given)
    for each in found:
        if not isinstance(each, TaskFuture):
            raise InvalidOption(f"{what}() takes futures, as `.submit()` and `.map()` give them, not {each!r:.60}.")
    return found


def as_completed(futures: Iterable[TaskFuture[R]], timeout: float | None = None) -> AsCompleted[R]:
    """The futures in the order in which they end; `TimeoutError` after `timeout` seconds in all.

    ``for future in as_completed(futures)``, and ``async for`` in async code.
    """
    return AsCompleted(futures, timeout)


class AsCompleted(Generic[R]):
    """Futures in the order in which they end, for ``for`` and for ``async for``; made by `as_completed`."""

    def __init__(self, futures: Iterable[TaskFuture[R]], timeout: float | None = None) -> None:
        given = _futures(futures, "as_completed")
        self._ended: deque[TaskFuture[R]] = deque()
        self._news = Latch()
        self._timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout
        self._left = len(given)
        self._awaited = any(isinstance(each, AsyncTaskFuture) for each in given)
        for each in given:
            each.add_done_callback(self._one)

    def _one(self, future: TaskFuture[R]) -> None:
        self._ended.append(future)
        self._news.set()

    def _next(self) -> TaskFuture[R] | None:
        """The next that has ended; null if `_news` is to be waited for first."""
        if not self._ended:
            self._news = Latch()
            if not self._ended:  # it may have ended between the look and the new latch
                return None
        self._left -= 1
        return self._ended.popleft()

    def _seconds(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def _late(self) -> TimeoutError:
        return TimeoutError(f"{self._left} have not ended after {self._timeout:g} s.")

    def __iter__(self) -> Iterator[TaskFuture[R]]:
        return self

    def __next__(self) -> TaskFuture[R]:
        if self._awaited and _on_a_loop():
            raise UsageError("In async code, write `async for future in as_completed(...)`: `for` would stop the loop.")
        while self._left:
            found = self._next()
            if found is not None:
                return found
            if not host.wait(self._news, self._seconds()):
                raise self._late()
        raise StopIteration

    def __aiter__(self) -> AsyncIterator[TaskFuture[R]]:
        return self

    async def __anext__(self) -> TaskFuture[R]:
        while self._left:
            found = self._next()
            if found is not None:
                return found
            if not await wait_async(self._news, self._seconds()):
                raise self._late()
        raise StopAsyncIteration


def _on_a_loop() -> bool:
    import asyncio

    return asyncio._get_running_loop() is not None


async def wait_async(latch: Latch, timeout: float | None = None) -> bool:
    """Await the opening of a latch on the running loop; false if `timeout` (seconds) passed first."""
    import asyncio

    if latch.done():
        return True
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[bool] = loop.create_future()

    def settle(value: bool) -> None:
        if not woken.done():
            woken.set_result(value)

    def opened() -> None:
        # The loop may be gone by the time a run of it ends: nobody waits any more then.
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, True)

    timer = None if timeout is None else loop.call_later(timeout, settle, False)
    latch.on_done(opened)
    try:
        return await woken
    finally:
        if timer is not None:
            timer.cancel()
