"""The ports: what the engine asks of the world, written for whoever implements one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from .model.events import ArtifactMade, CacheEntry, Event, FlowCreated, LogLine
from .model.record import record
from .model.requests import Request
from .model.states import State
from .model.tag_limits import Holder, TagLimit
from .model.views import FlowRow, TaskRow
from .rules.decide import RetryPolicy
from .rules.slots import A, Answer

if TYPE_CHECKING:  # what only agents need is not loaded by every program
    from .model.deployments import Deployment, Dispatch, Place, WorkQueue


class Clock(Protocol):
    """Time, injected so that a test or a simulator can own it."""

    def now(self) -> float:
        """Seconds since the epoch, by a clock that may be set: for what other processes go by, too."""
        ...

    def monotonic(self) -> float:
        """Seconds by a clock that nobody sets, from any beginning: for what a run takes."""
        ...


@record
class CacheHit:
    """A completed task run that was found by its cache key."""

    flow_run: int
    task_run: int
    blob: bytes
    """What was kept of its result."""
    entry: CacheEntry


Slots: TypeAlias = tuple[Holder, tuple[str, ...]]
"""A task run, and the tags of which it holds a slot."""


class SlotStore(Protocol):
    """Keeps the concurrency limits by tag, and who holds their slots.

    Every method may be called from any thread, is atomic for all processes that use the store, and raises `StoreError`.
    Slots of processes that have died do not count.
    """

    def limited(self) -> frozenset[str]:
        """The tags that have a limit; never waits for a writer."""
        ...

    def limits(self) -> list[TagLimit]:
        """All limits by tag, each with the task runs that hold a slot, in order."""
        ...

    def put(self, tag: str, limit: int) -> None:
        """Make the limit of a tag, or change it; slots that are taken stay taken."""
        ...

    def delete(self, tag: str) -> bool:
        """Drop the limit of a tag, and its slots; false if there is none."""
        ...

    def clear(self, tag: str) -> None:
        """Free all slots of a tag."""
        ...

    def trade(self, given: Sequence[Slots], queues: Iterable[Iterable[A]]) -> list[tuple[A, Answer]]:
        """Give slots of this process back, then do what `decide_queues` says of those who ask, and return it.

        Slots that are not held, or no longer, are given back in vain.
        """
        ...


class DeploymentStore(Protocol):
    """Keeps deployments, what agents need to know of their runs, and the work queues that were changed.

    Every method may be called from any thread, is atomic for all processes that use the store, and raises `StoreError`.
    Deployments are named by their whole name, ``flow/name``.
    """

    def put(self, deployment: Deployment) -> None:
        """Make a deployment, or change the one of its name; what its schedules had made and nobody began is cancelled
        if anything is another."""
        ...

    def all(self) -> list[Deployment]:
        """All deployments by name."""
        ...

    def get(self, name: str) -> Deployment | None:
        """One deployment."""
        ...

    def pause(self, name: str, paused: bool, now: float) -> bool:
        """Pause it, which cancels what its schedules made and nobody began, or resume it; false if there is none."""
        ...

    def delete(self, name: str, now: float) -> bool:
        """Drop it, and cancel what its schedules had made and nobody began; false if there is none."""
        ...

    def create_run(
        self, created: FlowCreated, dispatch: Dispatch, state: State, of: Deployment | None = None
    ) -> tuple[int, bool]:
        """Keep the first event of a run of a deployment, its state and its dispatch; the number given to it, and true.

        If there is one of the same deployment and key: its number, and false.  If the deployment is no longer as `of`:
        0, and false.
        """
        ...

    def dispatch(self, flow_run: int) -> Dispatch | None:
        """What there is to know of a run; null for one that came from no deployment."""
        ...

    def open_runs(self, queues: Collection[str]) -> list[tuple[FlowRow, Dispatch]]:
        """The runs of these queues that are not at rest, in the order in which they are due.  Asked once a second."""
        ...

    def planned(self, now: float) -> Mapping[str, Collection[float]]:
        """The moments after `now` for which schedules have made a run, by deployment."""
        ...

    def move(self, row: FlowRow, state: State, by: str = "") -> bool:
        """Put a run into another state, with no owner, whoever has it; false if it is no longer as `row`.

        Nothing is kept any more of what its owner still does with it.
        """
        ...

    def claim(self, row: FlowRow, state: State, agent: str) -> bool:
        """As `move`, for the process `agent`, which is going to start it; false also if its queue is paused, or has no
        room.  No process is known of it then."""
        ...

    def adopt(self, dispatch: Dispatch, agent: str) -> bool:
        """Have the process `agent` see to a run; false if another one does than `dispatch` says."""
        ...

    def put_place(self, flow_run: int, place: Place) -> None:
        """Record the process of a run."""
        ...

    def put_queue(self, queue: WorkQueue) -> None:
        """Change a queue."""
        ...

    def queues(self) -> list[WorkQueue]:
        """The queues that were changed or that a deployment names, by name."""
        ...


class EventStore(Protocol):
    """Keeps events and the rows they fold to.  Every method may be called from any thread.

    `results_folder` is where results that are too large for a row belong; null if nothing outlives the process.
    `slots` keeps the limits by tag.

    An event counts as kept when a reader in another process would see it after this one was killed.  A flow run may ask
    for more, or for less (`Durability`): then `commit` and its kin wait for the disk, or do not wait.  The order of
    `append`, `commit` and `commit_soon` calls of one thread is kept.
    """

    results_folder: Path | None
    slots: SlotStore

    @property
    def deployments(self) -> DeploymentStore:
        """Keeps deployments.  Raises `StoreError` where no other process could know of them."""
        ...

    def create_flow_run(self, created: FlowCreated) -> int:
        """Keep the first event of a flow run, whose `flow_run` is still 0, and return the number given to it.

        Raises `StoreError` if it cannot be kept.
        """
        ...

    def claim_flow_run(self, row: FlowRow) -> bool:
        """Make a flow run that is to be resumed Pending and this process's own; false if it is no longer as `row`."""
        ...

    def set_durability(self, flow_run: int, task_run: int, durability: str) -> None:
        """A task run is kept at another level than its flow run (see `Durability`), for as long as that is at work."""
        ...

    def taken_over(self) -> list[int]:
        """The flow runs that this process claimed or created, and another one has claimed since; no subflows.

        Nothing more is kept of them, or of what is below them: `commit` and its kin say so.  Asked four times a second.
        """
        ...

    def amend_flow_run(self, number: int, version: str, policy: RetryPolicy, durability: str) -> None:
        """Keep the version of a flow run's flow, that this process has it, and where it has none of its own, its
        retries and how durable it is.

        Raises `StoreError`.
        """
        ...

    @property
    def process(self) -> str:
        """The name of this process among those that use the store; empty if nobody else does."""
        ...

    def is_alive(self, process: str) -> bool:
        """True if the process of that name has not ended."""
        ...

    def subflow_runs(self, flow_run: int, task_run: int) -> list[FlowRow]:
        """The flow runs that a task run stood for, the newest first."""
        ...

    def append(self, event: Event) -> None:
        """Keep an event before long: at the latest with the next commit, or 50 ms later.  Never blocks."""
        ...

    def commit(self, event: Event) -> None:
        """Return once this event, and all that were appended before, are kept.  Raises `StoreError`."""
        ...

    def commit_soon(self, event: Event, done: Callable[[str], None]) -> None:
        """As `commit`, without waiting: ``done(problem)`` is called from another thread once the event is kept
        (`problem` is empty) or could not be (it says why)."""
        ...

    def is_behind(self) -> bool:
        """True while there is something to keep that is not kept."""
        ...

    def relieve(self) -> None:
        """Called by workers between two task runs, with no lock held: the time to write in their place, if more is
        queued than the store likes to hold."""
        ...

    def commit_all(self, events: Sequence[Event]) -> None:
        """As `commit`, for several events at once."""
        ...

    def flow_runs(self, limit: int = 100) -> list[FlowRow]:
        """The newest flow runs first."""
        ...

    def flow_run(self, number: int) -> FlowRow | None:
        """One flow run."""
        ...

    def task_runs(self, flow_run: int) -> list[TaskRow]:
        """The task runs of a flow run by number."""
        ...

    def task_run(self, flow_run: int, number: int) -> TaskRow | None:
        """One task run of a flow run."""
        ...

    def events(self, flow_run: int, after: int = 0) -> list[tuple[int, Event]]:
        """The kept events of a flow run, each with a sequence number that never falls; only those beyond `after`.

        The states of the flow run and the events of one task run stand in the order in which they happened.  Those of
        different task runs that were kept together may stand in another order, or share a number.
        """
        ...

    def flow_events(self, flow_run: int) -> list[Event]:
        """Those of `events` that are not of a task run, in order."""
        ...

    def cached(self, key: str, now: float) -> CacheHit | None:
        """The newest task run with this cache key whose result was kept and has not expired."""
        ...

    def latest_cached(self, task: str) -> Mapping[str, str] | None:
        """What the cache key of the newest cached run of a task was made of; null if there is none."""
        ...

    def logs(
        self, flow_run: int, *, task_run: int | None = None, level: int = 0, after: int = 0, limit: int = 1000
    ) -> list[tuple[int, LogLine]]:
        """The kept log of a flow run in order, each line with its sequence number: those beyond `after`, of this level
        at least, of one task run (0 for the flow itself, null for all), and `limit` of them at most.

        Lines come in by `append`, as `LogLines`; `events` does not give them.
        """
        ...

    def put_request(self, request: Request) -> int:
        """Keep a request, whose number is still 0, and return the number given to it.  Raises `StoreError`."""
        ...

    def open_requests(self, now: float) -> list[Request]:
        """The requests that nobody has claimed and that have not expired, in order.  Asked four times a second."""
        ...

    def claim_request(self, number: int) -> bool:
        """Take a request, to carry it out or to withdraw it; false if somebody was quicker.  Raises `StoreError`."""
        ...

    def answer_request(self, number: int, answer: str) -> None:
        """Say what came of a request: nothing if it was carried out, else why not.

        Whoever sees the answer sees all events that were sent before it.  Raises `StoreError`.
        """
        ...

    def answer_to(self, number: int) -> str | None:
        """What came of a request; null while nobody has said."""
        ...

    def artifacts(self, flow_run: int) -> list[ArtifactMade]:
        """The artifacts of a flow run by number, each in its newest version.

        They come in by `append`; `events` does not give them.
        """
        ...

    def close(self) -> None:
        """Keep what is outstanding and let go."""
        ...


class Runner(Protocol):
    """Where submitted sync task runs go.

    One that runs their code in other processes has one of two methods besides, called on the thread of the job.
    ``attempt(task_run)`` has the code of the task run called once, and returns the state that the end of that proposes.
    ``hand_over(task_run, go_on)`` does not wait for the end: it never raises, and ``go_on(state)`` is called from a
    later job.  With it may come `places`, a `ConcurrencyLimit`: how many calls it takes at once.
    """

    def submit(self, job: Callable[[], Any]) -> None:
        """Run `job` on some thread, some time; it never raises.  Jobs start in the order of their submission."""
        ...

    def is_deserted(self) -> bool:
        """True if the job on this thread was given up."""
        ...

    def desert(self, thread: int) -> None:
        """The job on that thread is given up: count on the thread no more, and let another have its place."""
        ...

    def close(self) -> None:
        """No more jobs will come; threads end when the queue is empty."""
        ...
