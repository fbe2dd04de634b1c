"""A simulated process: an engine over a store of its own, which may die at any step, and at any write."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tidegate import requests
from tidegate.engine import Engine
from tidegate.latch import Latch
from tidegate.run.effects import Lifecycle

from .disk import Disk, SimulatedStore
from .machine import Died, Machine, Portal, put_down

if TYPE_CHECKING:
    from .machine import Thread

Doom: TypeAlias = Literal["", "before", "after"]


class Process:
    """What one process has in memory, all of which is gone when it dies."""

    def __init__(self, machine: Machine, disk: Disk, name: str) -> None:
        self.machine = machine
        self.name = name
        self.dead = False
        self.doom: Doom = ""
        """Whether it dies at its next write, and on which side of it."""
        self.store = SimulatedStore(disk, self)
        self.engine = Engine(self.store, machine.clock, machine.chance.random, Portal(machine, self))
        self.root: Thread | None = None
        """The thread that runs the flow."""
        self._lifecycles: list[Lifecycle] = []
        disk.alive.add(name)
        machine.processes.append(self)

    def begun(self, lifecycle: Lifecycle) -> Lifecycle:
        """A lifecycle that must be put down if the process dies."""
        self._lifecycles.append(lifecycle)
        return lifecycle

    def die(self) -> None:
        """From now on nothing that it does has any effect."""
        self.dead = True
        self.store.disk.alive.discard(self.name)

    def bury(self) -> None:
        """Take away what is left of it."""
        self.die()
        self.machine.end(self)
        for each in self._lifecycles:
            put_down(each)
        requests._attended.discard(self.engine)  # else the module would keep all engines that ever were

    def touches_disk(self) -> None:
        """A write is about to begin."""
        if self.doom == "before":
            self.die()
        if self.dead:
            raise Died

    def touched_disk(self) -> None:
        """A write has ended, and nobody was told yet."""
        if self.doom == "after":
            self.die()
            raise Died


Job: TypeAlias = Callable[[], Generator[Any, None, Any]]


class Runner:
    """Some places for jobs, which begin in the order of their submission; one that waits lends its place."""

    inline = False

    def __init__(self, process: Process, places: int) -> None:
        self._process = process
        self._free = places
        self._jobs: list[Job] = []
        self._returning: list[Latch] = []

    def submit(self, job: Job) -> None:
        """Begin it when there is a place."""
        self._jobs.append(job)
        self._recruit()

    def close(self) -> None:
        """Those that are queued still run."""

    def is_deserted(self) -> bool:
        """Nothing here cannot be interrupted."""
        return False

    def desert(self, thread: int) -> None:
        """There are no threads to leave behind."""

    def lend(self) -> None:
        """A job waits: somebody else may have its place."""
        if self._returning:
            self._returning.pop(0).set()
        else:
            self._free += 1
            self._recruit()

    def take(self) -> Latch:
        """Opens when the job has a place again."""
        place = Latch()
        if self._free > 0:
            self._free -= 1
            place.set()
        else:
            self._returning.append(place)
        return place

    def _recruit(self) -> None:
        while self._jobs and self._free > 0 and not self._process.dead:
            self._free -= 1
            job = self._jobs.pop(0)
            thread = self._process.machine.start(self._process, "worker", job())
            thread.lender = self
            thread.over.on_done(self.lend)
