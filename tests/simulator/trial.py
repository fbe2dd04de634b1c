"""One trial: a random program, carried to its end through whatever the seed has happen to it."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from simulator import world_now
from tidegate import recovery, requests
from tidegate.context import frame
from tidegate.dead_runs import bury, bury_all
from tidegate.engine import using
from tidegate.errors import ControlError, NotStartable, StoreError, TidegateError
from tidegate.flow_runs import of_record
from tidegate.latch import Latch
from tidegate.model.requests import Request
from tidegate.model.states import StateType
from tidegate.model.views import FlowRow
from tidegate.run.flow_run import FlowRun
from tidegate.run.lifecycles import flow_life
from tidegate.run.terms import Terms

from .calls import Body, begin
from .disk import Disk
from .drivers import drive
from .faults import Fault, faults
from .legal import illegal
from .machine import Died, Machine, Turns
from .process import Process, Runner
from .programs import Node, nodes, program, right
from .report import record, who_waits
from .stage import FLOWS
from .witness import Witness

STEPS = 50_000
"""Steps after which a trial counts as one that does not end."""
LIVES = 100
"""Processes after which it does."""


class Wrong(AssertionError):
    """Something that must never happen."""


class Trial:
    """A world of its own."""

    def __init__(self, seed: int, made: Node | None = None) -> None:
        chance = random.Random(seed)
        self.seed = seed
        self.program = program(chance) if made is None else made
        self.nodes = nodes(self.program)
        self.right = right(self.program)
        self.machine = Machine(chance)
        self.disk = Disk()
        self.witness = Witness(self.disk, self.program)
        self.lives = 0
        self.happened: Counter[str] = Counter()
        """What came about, so that it can be told whether the trials try anything."""
        self.number = 0
        """The flow run."""
        self.faults = faults(chance, chance.choice((60, 200, 600)))
        self._planned = tuple(self.faults)
        self._places = chance.randint(1, 4)

    # What the programs ask for ----------------------------------------------------------------------------------------

    def play(self, node: str, inputs: Any) -> Turns:
        """The turns of a body, in the process whose turn it is."""
        here = frame.get()
        assert here is not None
        given = inputs if isinstance(inputs, list) else list(inputs)
        return Body(self._process(), self.witness, here, self.nodes[node], given).turns()

    def runner(self) -> Runner:
        """The runner of a flow run that begins."""
        return Runner(self._process(), self._places)

    def _process(self) -> Process:
        current = self.machine.current
        assert current is not None
        assert current.process is not None
        return current.process

    # The course of it -------------------------------------------------------------------------------------------------

    def story(self) -> str:
        """What was planned to go wrong, and all that the record has: the same for the same seed."""
        return "\n".join([*map(str, self._planned), *record(self.disk)])

    def run(self) -> None:
        """Carry it to its end.  Raises `Wrong`, which says what is."""
        world_now.enter(self)
        with _quiet():
            try:
                self._start(self._first)
                while not self._is_over():
                    self._step()
                self._check_end()
            finally:
                for process in list(self.machine.processes):
                    process.bury()

    def _start(self, turns: Any) -> Process:
        self.lives += 1
        if self.lives > LIVES:
            raise self._wrong(f"it has not ended after {LIVES} processes")
        process = Process(self.machine, self.disk, f"process-{self.lives}")
        process.root = self.machine.start(process, f"root of {process.name}", turns(process))
        return process

    def _step(self) -> None:
        machine = self.machine
        while self.faults and self.faults[0].step <= machine.steps:
            self._inflict(self.faults.pop(0))
        if machine.steps > STEPS:
            raise self._wrong(f"it has not ended after {STEPS:,} steps")
        if not machine.processes:
            self._carry_on()
        if self._is_idle():
            self._wake()
        with suppress(Died):
            machine.step()
        for process in list(machine.processes):
            if process.dead:
                self._gone(process)
            elif process.root is not None and process.root.over.done() and not process.store.queue:
                self._exits(process)
        while self.disk.answered:
            self._check_answer(self.disk.answered.pop())
        if self.witness.wrong:
            raise self._wrong(self.witness.wrong[0])

    def _gone(self, process: Process) -> None:
        self.happened["death"] += 1
        process.bury()
        self.witness.died(process)

    def _exits(self, process: Process) -> None:
        if process.engine.live:
            raise self._wrong(f"{process.name} has come to its end with live runs")
        process.bury()

    def _is_over(self) -> bool:
        row = self.disk.flow_run(self.number) if self.number else None
        return row is not None and row.state.type is StateType.COMPLETED and not self.machine.processes

    # What the processes do --------------------------------------------------------------------------------------------

    def _first(self, process: Process) -> Turns:
        while True:
            try:
                run = begin(process, self.witness, self.program)
            except StoreError:
                yield self._moment(process)
                continue
            self.number = run.number
            yield from self._drive(process, run)
            return

    def _drive(self, process: Process, run: FlowRun) -> Turns:
        yield None
        yield from drive(process, flow_life(run), None)
        self.happened[run.state.name] += 1
        if run.state.is_completed() and run.state.result() != self.right:
            self.witness.wrong.append(f"the result is {run.state.result()!r}, and {self.right!r} is right")

    def _moment(self, process: Process) -> Latch:
        later = Latch()
        process.engine.portal.after(0.5, later.set)
        return later

    def _carry_on(self) -> None:
        """Nobody has the run: somebody looks, and it is resumed; now and then two try that at once."""
        for _ in range(2 if self.machine.chance.random() < 0.2 else 1):
            self._start(self._look_and_resume)

    def _look_and_resume(self, process: Process) -> Turns:
        store = process.store
        while True:
            try:
                if self.number == 0:  # it died before there was anything
                    yield from self._first(process)
                    return
                if self.machine.chance.random() < 0.5:  # a resume alone looks at its own run only
                    bury_all(process.engine)
                    self._check_ghosts()
                self._check_record(process)
                yield None
                run = yield from self._resumed(process, store.flow_run(self.number))
            except NotStartable:
                self.happened["refused"] += 1
                return  # the other one was quicker, or it is over
            except StoreError:
                yield self._moment(process)
                continue
            self.witness.listen(process, run)
            yield from self._drive(process, run)
            return

    def _resumed(self, process: Process, row: FlowRow | None) -> Turns:
        """As `recovery.resume`, with a turn for others between its parts."""
        assert row is not None
        here = process.engine
        recovery._check(here, row)
        yield None
        terms = self._terms(process)
        bury(here, row)
        yield None
        with using(here):
            return of_record(FLOWS[row.flow], row, {}, resumed=terms)

    def _terms(self, process: Process) -> Terms:
        """Those of a rerun, where a task that is not to run twice, or is suspected, stands in the way."""
        asked: dict[int, str] = {}
        rows = process.store.task_runs(self.number)
        for flow_row in process.store.flow_runs():
            for each in process.store.task_runs(flow_row.number):
                if each.state.is_crashed() and (each.task == "never" or each.state.name == "Quarantined"):
                    at_root = self._at_root(flow_row, each.number)
                    asked |= recovery._again(rows, at_root, True)
        self.happened["asked for again"] += bool(asked)
        return Terms(again=asked)

    def _at_root(self, row: FlowRow, number: int) -> int:
        while row.parent is not None:
            number, above = row.parent[1], self.disk.flow_run(row.parent[0])
            assert above is not None
            row = above
        return number

    # Faults -----------------------------------------------------------------------------------------------------------

    def _inflict(self, fault: Fault) -> None:
        machine = self.machine
        self.happened[fault.kind] += 1
        live = [each for each in machine.processes if not each.dead]
        if fault.kind == "break":
            self.disk.broken = True
            machine.after(fault.amount, self._heal)
        elif fault.kind == "jump":
            machine.clock.offset += fault.amount
        elif fault.kind == "send" and self.number:
            now = machine.clock.now()
            asked: Any = (fault.what, f"client {fault.step}", now, now + 5)
            self.disk.put_request(Request(0, self.number, *asked))
        elif live:
            victim = machine.chance.choice(live)
            if fault.kind == "kill":
                victim.die()
                self._gone(victim)
            elif fault.kind == "doom":
                victim.doom = fault.what  # type: ignore[assignment]
            elif fault.kind == "ask" and victim.engine.live:
                numbers = sorted(victim.engine.live)
                run = victim.engine.live[machine.chance.choice(numbers)]
                with suppress(ControlError, Died):
                    getattr(run, fault.what)("a client")
                    self.witness.promised(victim, run, fault.what)
            elif fault.kind == "rob":
                self._start(self._look_and_resume)

    def _heal(self) -> None:
        self.disk.broken = False

    def _is_idle(self) -> bool:
        """True if nothing would ever happen again, but for looks whether somebody asks for something."""
        machine = self.machine
        if machine.ready or any(each.store.has_work() for each in machine.processes):
            return False
        if self.disk.open_requests(machine.clock.now()):
            return False
        return all(isinstance(each, partial) and each.func is requests._look for each in machine.timers())

    def _wake(self) -> None:
        """Nothing happens: if that is because a run is paused, somebody resumes it; else it hangs."""
        for process in self.machine.processes:
            for _, run in sorted(process.engine.live.items()):
                if run.state.name == "Paused":
                    with suppress(TidegateError):
                        run.resume("somebody")
                        self.happened["resumed"] += 1
                        return
        raise self._wrong("nothing can happen any more:\n" + who_waits(self.machine))

    # Checks -----------------------------------------------------------------------------------------------------------

    def _check_ghosts(self) -> None:
        """G5: after a look nothing in the record looks alive that is not."""
        if self.disk.broken:
            raise StoreError("The look could not be written down.")
        for row in self.disk.flow_runs(1000):
            if row.owner and not row.state.is_at_rest() and row.owner not in self.disk.alive:
                raise self._wrong(f"G5: flow run {row.number} is {row.state.name}, and {row.owner} is dead")

    def _check_answer(self, number: int) -> None:
        """Who is told that his request was carried out finds it in the record."""
        request = self.disk._requests[number]
        log = self.disk.log(request.flow_run)
        self.happened["answered"] += 1
        if self.disk.answer_to(number) == "" and not any(getattr(event, "by", "") == request.by for event in log):
            raise self._wrong(f"G1: the {request.verb} of {request.by} is said to be done, and is not on the disk")

    def _check_record(self, process: Process) -> None:
        """G3 and the histories."""
        for flow_row in self.disk.flow_runs(1000):
            for wrong in illegal(self.disk.log(flow_row.number), self.witness.was_reopened):
                raise self._wrong(f"in the record of flow run {flow_row.number} {wrong}")
            self._check_results(process, flow_row)

    def _check_results(self, process: Process, flow_row: FlowRow) -> None:
        for row in self.disk.task_runs(flow_row.number):
            if row.state.type is StateType.COMPLETED and row.result is not None and not row.subflow:
                wrong = self.witness.misfit(row, process.engine.saving.recorded(row))
                if wrong:
                    raise self._wrong(f"G3: {wrong}")

    def _check_end(self) -> None:
        row = self.disk.flow_run(self.number)
        assert row is not None
        reader = Process(self.machine, self.disk, "reader")
        self._check_record(reader)
        value = reader.engine.saving.recorded(row).result()
        reader.bury()
        if value != self.right:
            raise self._wrong(f"the record has the result {value!r}, and {self.right!r} is right")

    def _wrong(self, what: str) -> Wrong:
        return Wrong(f"seed {self.seed}, step {self.machine.steps}, life {self.lives}: {what}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of the runs, which the simulation does not look at."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
