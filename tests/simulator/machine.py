"""One thread that stands for many: whose turn it is, what time it is, and what waits for what, all by one seed.

A thread of the simulation is a generator.  It yields null where another one may have its turn, or something to wait
for.  Between two yields nothing else happens, as if it held the interpreter.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from tidegate.latch import Latch, Waitable
from tidegate.portal import EnginePortal

if TYPE_CHECKING:
    from .process import Process, Runner

Turns: TypeAlias = Generator[Waitable | None, None, Any]
"""What a thread does: it yields null, or what it waits for."""

EPOCH = 1_700_000_000.0


class Died(BaseException):
    """The process is dead: whatever touches its store goes no further."""


class Clock:
    """Two clocks: one that only goes forward, by which timers go, and the one on the wall, which somebody may set."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.offset = EPOCH

    def now(self) -> float:
        """What the clock on the wall says."""
        return self.elapsed + self.offset

    def monotonic(self) -> float:
        """What the other one does."""
        return self.elapsed


class Timer:
    """A callback to come."""

    def __init__(self, process: Process | None, callback: Callable[[], object]) -> None:
        self.process = process
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do not call it."""
        self.callback = None


class Portal(EnginePortal):
    """The engine thread of a simulated process: timers, and nothing else."""

    def __init__(self, machine: Machine, process: Process) -> None:
        super().__init__()
        self._machine = machine
        self._process = process

    def after(self, seconds: float, callback: Callable[[], object]) -> Any:
        """Have it called when the simulation comes to that time."""
        return self._machine.after(seconds, callback, self._process)

    def start(self, make: Callable[[], Coroutine[Any, Any, Any]], context: Context) -> None:
        """There is no loop here."""
        raise NotImplementedError("async code is not simulated")


class Thread:
    """Something that has its turns."""

    def __init__(self, machine: Machine, process: Process | None, name: str, turns: Turns) -> None:
        self.machine = machine
        self.process = process
        self.name = name
        self.turns = turns
        self.waits: Waitable | None = None
        self.over = Latch()
        self.lender: Runner | None = None
        """The pool whose place it has."""

    def turn(self) -> None:
        """Go on to the next yield."""
        self.waits = None
        self.machine.current = self
        try:
            wanted = next(self.turns)
        except StopIteration:
            self.machine.threads.remove(self)
            self.over.set()
            return
        if wanted is None:
            self.machine.ready.append(self)
        else:
            self.waits = wanted
            wanted.on_done(self._wake)

    def _wake(self) -> None:
        if self.waits is not None and self in self.machine.threads:
            self.waits = None
            self.machine.ready.append(self)


class Machine:
    """Threads, writers of stores and timers, one of which has its turn."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.clock = Clock()
        self.steps = 0
        self.threads = _Threads()
        self.current: Thread | None = None
        """Whose turn it is, or was last."""
        self.ready: list[Thread] = []
        self.processes: list[Process] = []
        self.writing = chance.choice((0.05, 0.3, 1.0, 3.0))
        """How often a writer has its turn, for one turn of a thread."""
        self.hurry = chance.choice((0.0, 0.01, 0.1))
        """How often a timer comes although threads are ready: they are slow then."""
        self._timers: list[tuple[float, int, Timer]] = []
        self._serials = count()

    def start(self, process: Process | None, name: str, turns: Turns) -> Thread:
        """A new thread, whose turn may come."""
        thread = Thread(self, process, name, turns)
        self.threads.add(thread)
        self.ready.append(thread)
        return thread

    def after(self, seconds: float, callback: Callable[[], object], process: Process | None = None) -> Timer:
        """Have something called in some seconds, unless its process is gone by then."""
        timer = Timer(process, callback)
        heappush(self._timers, (self.clock.elapsed + max(0.0, seconds), next(self._serials), timer))
        return timer

    def step(self) -> bool:
        """Somebody has a turn; false if nobody can have one."""
        self.steps += 1
        chance = self.chance.random
        if self.hurry and self._timers and chance() < self.hurry:
            return self._tick()
        writers = [each.store for each in self.processes if each.store.has_work()]
        if writers and (not self.ready or chance() < self.writing / (self.writing + len(self.ready))):
            self.chance.choice(writers).write()
            return True
        if self.ready:
            at = self.chance.randrange(len(self.ready))
            self.ready[at], self.ready[-1] = self.ready[-1], self.ready[at]
            self.ready.pop().turn()
            return True
        return self._tick()

    def _tick(self) -> bool:
        """Go on to the time of the next timer."""
        while self._timers:
            due, _, timer = heappop(self._timers)
            callback = timer.callback
            if callback is None or (timer.process is not None and timer.process.dead):
                continue
            self.clock.elapsed = max(self.clock.elapsed, due)
            callback()
            return True
        return False

    def end(self, process: Process) -> None:
        """All threads of a process are gone, without a word."""
        self.processes.remove(process)
        gone = [each for each in self.threads if each.process is process]
        for each in gone:
            self.threads.remove(each)
        self.ready = [each for each in self.ready if each.process is not process]
        for each in gone:
            put_down(each.turns)

    def timers(self) -> list[Callable[[], object]]:
        """What is to come, of processes that live."""
        alive = [timer for _, _, timer in self._timers if timer.process is None or not timer.process.dead]
        return [timer.callback for timer in alive if timer.callback is not None]


class _Threads(dict[Thread, None]):
    """Threads in the order of their start: a set of them would have the order of their addresses."""

    def add(self, thread: Thread) -> None:
        self[thread] = None

    def remove(self, thread: Thread) -> None:
        del self[thread]


def put_down(turns: Generator[Any, Any, Any]) -> None:
    """End a generator of a process that is dead, whatever it does about it.

    A lifecycle takes that for an interrupt, and wants to save: if it were left to the garbage collector, which does not
    ask it twice, that would complain, at a time of its own.
    """
    for _ in range(1000):
        try:
            turns.throw(Died())
        except BaseException:
            return
    raise AssertionError("a lifecycle does not end")
