"""The agent: starts the runs of its work queues that are due, each in a process of its own, and sees to their end.

It has no server: all that it knows and does is in the store, so that several agents share the work, and one that is
started again goes on where the last one was.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from ..dead_runs import bury, put_to_rest
from ..deployed_runs import new_run
from ..engine import Engine
from ..errors import StoreError
from ..flow_runs import slug
from ..model.deployments import DEFAULT_QUEUE, Deployment, Dispatch, Place
from ..model.states import Crashed, Failed, Scheduled
from ..model.views import FlowRow
from ..plurals import counted
from ..rules import agents as rules
from ..rules.schedules import owed
from ..task_runners.worker_process import ended_how
from . import jobs

LOOK = 1.0
"""Seconds between two looks into the store."""

PREFETCH = 10.0
"""Seconds before its time that a run gets its process, which has loaded its code by then."""

GRACE = 30.0
"""Seconds that a process which was told to end may take, before it is killed."""

Say = Callable[[str], None]


class Agent:
    """Works for the queues of that name, over the store of an engine; `say` is told what it does, a line each.

    `limit` is how many runs it has at work at most, null for any number; `grace` and `prefetch` are in seconds.
    """

    def __init__(
        self,
        here: Engine,
        home: Path,
        queues: Collection[str] = (DEFAULT_QUEUE,),
        *,
        limit: int | None = None,
        grace: float = GRACE,
        prefetch: float = PREFETCH,
        say: Say = print,
    ) -> None:
        self._here = here
        self._home = home
        self._queues = tuple(queues)
        self._limit = limit
        self._grace = grace
        self._prefetch = prefetch
        self._say = say
        self._table = here.store.deployments
        self._me = here.store.process
        self._news: SimpleQueue[tuple[int, Place, int] | None] = SimpleQueue()
        """The ends of processes, each with its run and its exit code; null where somebody wants it to stop."""
        self._jobs: dict[int, Place] = {}
        """The processes that were started here and have not ended, as far as is known, by the number of their run."""
        self._told_to_end: dict[int, float] = {}
        """When the process of a run was told to end, by the clock that nobody sets."""
        self._killed: set[int] = set()
        self._refused: set[int] = set()
        """Runs of which it was said that they cannot be ended here."""
        self._problem = ""
        self._wait = 0.0
        """Seconds until the next look."""

    # Life -------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Look again and again, until `stop`."""
        names = ", ".join(self._queues)
        self._say(f"The agent looks for runs of {'queue' if len(self._queues) == 1 else 'the queues'} {names}.")
        while not self._await_news():
            self._look_safely()
        self._say(self._farewell())

    def stop(self) -> None:
        """Have `run` return before long; safe from any thread and in a handler of a signal."""
        self._news.put(None)

    def _await_news(self) -> bool:
        """Wait for the time of the next look, or for what comes before; true if that is to stop."""
        wait, self._wait = self._wait, LOOK
        with suppress(Empty):
            while True:
                news = self._news.get(timeout=wait)
                if news is None:
                    return True
                self._ended(*news)
                wait = 0.0
        return False

    def _look_safely(self) -> None:
        """A store that cannot be used just now is told once, and looked at again."""
        problem = ""
        try:
            while self.look():
                pass
        except StoreError as error:
            problem = str(error)
        if problem != self._problem:
            self._say(problem or "The store can be used again.")
            self._problem = problem

    def _farewell(self) -> str:
        left = sorted(each for each in self._jobs if self._is_open(each))
        if not left:
            return "The agent has stopped."
        runs = ", ".join(map(str, left))
        goes, they = ("goes", "it") if len(left) == 1 else ("go", "them")
        many = counted(len(left), "run")
        return f"The agent has stopped. {many} {goes} on without it ({runs}); the next agent sees to {they}."

    def _is_open(self, number: int) -> bool:
        with suppress(StoreError):
            row = self._here.store.flow_run(number)
            return row is not None and not row.state.is_at_rest()
        return True

    # A look -----------------------------------------------------------------------------------------------------------

    def look(self) -> bool:
        """See what there is and do what is to be done; true if there may be more to do now.  Raises `StoreError`."""
        now = self._here.now()
        for deployment, due in owed(self._table.all(), self._table.planned(now), now):
            self._plan(deployment, due, now)
        again = False
        for action in rules.decide_look(self._view(now)):
            again = self._carry_out(action) or again
        return again

    def _view(self, now: float) -> rules.View:
        runs = tuple(self._seen(row, dispatch) for row, dispatch in self._table.open_runs(self._queues))
        queues = {each.name: each for each in self._table.queues()}
        return rules.View(now, jobs.host(), runs, queues, self._limit, self._prefetch)

    def _seen(self, row: FlowRow, dispatch: Dispatch) -> rules.Seen:
        alive, place = self._here.store.is_alive, dispatch.place
        mine = dispatch.agent == self._me
        return rules.Seen(
            row,
            dispatch,
            mine=mine,
            cared_for=bool(dispatch.agent) and not mine and alive(dispatch.agent),
            owned=bool(row.owner) and alive(row.owner),
            running=row.number in self._jobs or (place is not None and jobs.is_there(place)),
        )

    def _plan(self, deployment: Deployment, due: float, now: float) -> None:
        """Make a run that a schedule owes, unless another agent has."""
        created = new_run(deployment, slug(), now)
        dispatch = Dispatch(0, deployment.full_name, deployment.queue, due, deployment.folder, True, f"schedule {due}")
        self._table.create_run(created, dispatch, Scheduled(due, at=now), deployment)

    def _carry_out(self, action: rules.Action) -> bool:
        row = action.seen.row
        match action:
            case rules.Move(state=state):
                return self._table.move(row, state)
            case rules.Start(state=state):
                self._start(action.seen, state is None or self._table.claim(row, state, self._me))
            case rules.Adopt(seen=seen):
                if self._table.adopt(seen.dispatch, self._me):
                    self._say(f"{_told(row)} is seen to by this agent from now on.")
            case rules.Finish(why=why):
                self._finish(row, why)
            case rules.End():
                self._end(action.seen)
            case rules.Refuse(why=why):
                if row.number not in self._refused:
                    self._refused.add(row.number)
                    self._say(f"{_told(row)} cannot be ended: {why}.")
        return False

    def _start(self, seen: rules.Seen, granted: bool) -> None:
        row, dispatch = seen.row, seen.dispatch
        if not granted or (seen.state.is_pending() and not self._table.adopt(dispatch, self._me)):
            return  # somebody was quicker, or the queue is full
        try:
            job = jobs.Job(row.number, Path(dispatch.folder), self._home, lambda *end: self._news.put(end))
        except OSError as error:
            here, fresh = self._here, self._here.store.flow_run(row.number)
            told = f"Its process could not be started: {error.strerror or error} ({error.filename})."
            if fresh is not None and self._table.move(fresh, Failed(message=told, at=here.now())):
                self._say(f"{_told(row)} has failed. {told}")
            return
        self._jobs[row.number] = job.place
        self._told_to_end.pop(row.number, None)
        self._killed.discard(row.number)
        self._table.put_place(row.number, job.place)
        self._say(f"{_told(row)} is started, in process {job.place.pid}.")

    # Ends -------------------------------------------------------------------------------------------------------------

    def _ended(self, number: int, place: Place, code: int) -> None:
        """A process that was started here has ended."""
        if self._jobs.get(number) != place:
            return  # its run has been tried again meanwhile, and has another
        del self._jobs[number]
        try:
            row = self._here.store.flow_run(number)
            if row is not None and not row.state.is_at_rest() and not self._here.store.is_alive(row.owner):
                self._finish(row, how="had to be killed" if number in self._killed else ended_how(code))
                row = self._here.store.flow_run(number)
            if row is not None:
                self._say(f"{_told(row)}: {row.state.name}.")
        except StoreError as error:
            self._say(f"How flow run {number} has ended cannot be recorded: {error}")

    def _finish(self, row: FlowRow, why: str = "", how: str = "has ended") -> None:
        """Record the end of a run that no process has any more."""
        if row.state.is_cancelling():
            put_to_rest(self._here, row, why or f"Its process {how}.")
        elif row.owner:
            bury(self._here, row)
        elif row.state.is_pending():
            self._table.move(row, Crashed(message=f"Its process {how} before the flow began.", at=self._here.now()))

    def _end(self, seen: rules.Seen) -> None:
        """Tell its process to end, and kill it once its time is up."""
        number, now = seen.row.number, self._here.monotonic()
        place = self._jobs.get(number) or seen.dispatch.place  # which could not be kept, where the disk was full
        if place is None:
            return
        if number not in self._told_to_end:
            self._told_to_end[number] = now
            jobs.send(place, signal.SIGTERM)
            self._say(f"{_told(seen.row)} is to be cancelled: process {place.pid} is told to end.")
        elif now - self._told_to_end[number] >= self._grace and number not in self._killed:
            self._killed.add(number)
            jobs.send(place, signal.SIGKILL)
            self._say(f"{_told(seen.row)}: process {place.pid} has not ended in {self._grace:g} s, and is killed.")


def _told(row: FlowRow) -> str:
    return f"Flow run {row.number} ({row.name})"
