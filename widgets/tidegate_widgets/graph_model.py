"""The run graph as a fold of events: nodes are call sites, edges are where data really flowed.

What a person sees at once is the node, one for all runs of one call site, so that ten thousand mapped runs are one box
with a strip; of the task runs themselves there are columns (`TaskRuns`), and what a node says of them is counted there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import cast

from tidegate.model.events import (
    ArtifactMade,
    Event,
    FlowCreated,
    FlowState,
    InputAsked,
    InputGiven,
    LinkKind,
    SavingChanged,
    TaskCreated,
    TaskState,
)
from tidegate.model.record import record
from tidegate.model.states import COMPLETED, RUNNING, TERMINAL, State, StateType

from .artifacts import Artifacts
from .node import MOST_ATTEMPTS, PENDING, Member, Node
from .picture_svg import shortened
from .same_errors import only_told, traceback_text
from .task_runs import ENDED, TaskRuns

KEPT_FAILURES = 20
"""Failed members of a node whose story is kept; the others are counted."""

KEPT_TRACEBACKS = 100
"""Failures of a run whose traceback is kept; those of the others are looked up in the log."""

_WAITING = "wa"

_LETTER = {
    StateType.SCHEDULED: "a",
    StateType.PENDING: "w",
    StateType.RUNNING: "r",
    StateType.PAUSED: "r",
    StateType.CANCELLING: "r",
    StateType.COMPLETED: "d",
    StateType.FAILED: "f",
    StateType.CRASHED: "f",
    StateType.CANCELLED: "c",
}

_WRITTEN = {"r": State(RUNNING, "Running"), "d": State(COMPLETED, "Completed")}
"""The states that `TaskRuns.write` writes, of the only member of a node."""

_ODD = frozenset({"NotReady", "Throttled"})


@record
class MoreCreated:
    """Task runs that differ from one that came before at their call site in nothing that a graph shows, but for the
    code; by number.  So whoever follows a run says it: the events would be kept until they are drawn, by the ten
    thousand, and the garbage collector would go through them over and over."""

    flow_run: int
    site: int
    source: str
    numbers: list[int]


News = Event | MoreCreated
"""What a graph is told."""

TASK_RUNS = frozenset((TaskCreated, MoreCreated, TaskState))
"""The news of task runs: nearly all that come."""

_CODE = attrgetter("site", "source")

RUN_STEP = 1 << 24
"""What the page calls a node or a task run of a subflow: its number, and so many for each number of the flow run."""


class GraphModel:
    """What is known of one flow run.  Feed it events in order with `apply`; it is no more thread-safe than a list.

    It keeps nothing that the run returned or raised: a graph stays in the notebook long after its run.

    `base` is what the page hears beyond the numbers of its task runs and call sites: 0 for the run that is shown, a
    multiple of `RUN_STEP` for a subflow that is opened in it.
    """

    def __init__(self, base: int = 0) -> None:
        self.base = base
        self.created: FlowCreated | None = None
        self.state = PENDING
        self.by = ""
        self.started: float | None = None
        self.ended: float | None = None
        self.problem = ""
        """Why nothing is being saved; empty while all is well."""
        self.questions: dict[int, InputAsked] = {}
        """The questions that wait for an answer, of the run and of its subflows, by flow run; the oldest first."""
        self.subflows: dict[int, FlowCreated] = {}
        """The flow runs below this one, by number."""
        self.newest: dict[tuple[int, int], int] = {}
        """The last flow run of each task run that stands for a subflow, by the numbers of its flow run and its own."""
        self.given: tuple[InputAsked, InputGiven] | None = None
        """The last question that was answered, and its answer."""
        self.begun: list[tuple[int, int]] = []
        """The keys of `newest` that changed since somebody last cleared this."""
        self.artifacts = Artifacts()
        self.nodes: dict[int, Node] = {}
        self.edges: dict[tuple[int, int], LinkKind] = {}
        """(source site, target site), in the order of appearance."""
        self.dirty: set[int] = set()
        """Sites that changed since somebody last cleared this."""
        self.grown = False
        """True if a node or an edge came since somebody last cleared this."""
        self.total = 0
        """Task runs known so far."""
        self.runs = TaskRuns()
        """The task runs; the only part of this that any thread may write, see `TaskRuns.write`."""
        self._nodes: list[Node | None] = [None]
        """The node of each task run, by its number."""
        self._open: set[int] = set()
        """Sites with task runs that have not ended, of which any thread may write the next state."""
        self._ranges: dict[tuple[int, int], frozenset[int]] = {}
        self._tracebacks = 0

    @property
    def asked(self) -> InputAsked | None:
        """The question that is to be answered first."""
        return next(iter(self.questions.values()), None)

    def subflow_name(self, flow_run: int) -> str:
        """The subflow of that number, ``clean 'amber-otter'``; empty for the run itself."""
        created = self.subflows.get(flow_run)
        return f"{shortened(created.flow, 80)} '{shortened(created.name, 80)}'" if created else ""

    def letters(self, node: Node) -> str:
        """One letter a member, in the order of the calls."""
        # Those at the front that had ended when they were last counted are not looked at again: there may be many maps.
        ended = len(node.letters) - len(node.letters.lstrip(ENDED))
        if ended == len(node.members):
            return node.letters
        return node.letters[:ended] + "".join(node.of(self.runs.letters, ended))

    def node_of(self, number: int) -> Node | None:
        """The node of a task run; null for a number that nobody has heard of."""
        return self._nodes[number] if 0 < number <= self.total else None

    def apply(self, events: Iterable[News] = ()) -> None:
        """Fold events in, and what has been written of the task runs meanwhile."""
        for kind, alike in groupby(events, type):
            if kind is TaskState:
                self._task_states(cast("Iterator[TaskState]", alike))
            elif kind is TaskCreated:
                self._tasks_created(cast("Iterator[TaskCreated]", alike))
            else:
                for event in alike:
                    if isinstance(event, MoreCreated):
                        node = self.nodes.get(event.site)
                        if node is not None:  # else that one was lost, with a drawing that failed
                            self._join(node, event.source, event.numbers)
                    else:
                        self._take(event)
        for site in tuple(self._open):
            self._sum_up(self.nodes[site])

    def _take(self, event: Event) -> None:
        """Fold an event in that is not of a task run."""
        if isinstance(event, FlowState):
            self._flow_state(event)
        elif isinstance(event, InputAsked):
            if self.state.type not in TERMINAL:
                self.questions[event.flow_run] = event
        elif isinstance(event, InputGiven):
            asked = self.questions.get(event.flow_run)
            if asked is not None:
                self.given = asked, event
        elif isinstance(event, ArtifactMade):
            self.artifacts.take(event, self._maker(event))
        elif isinstance(event, SavingChanged):
            self.problem = event.problem
        elif isinstance(event, FlowCreated):
            self._flow_created(event)

    def _maker(self, event: ArtifactMade) -> str:
        number = event.task_run
        node = None if event.flow_run in self.subflows else self.node_of(number)
        if node is None:
            return self.subflow_name(event.flow_run)
        return f"{node.task}[{node.members.index(number)}]" if len(node.members) > 1 else node.task

    def _flow_created(self, event: FlowCreated) -> None:
        if self.created is None or self.created.flow_run == event.flow_run:
            self.created = event
        else:
            self.subflows[event.flow_run] = event
            if event.parent is not None:
                self.newest[event.parent] = max(event.flow_run, self.newest.get(event.parent, 0))
                self.begun.append(event.parent)

    def _flow_state(self, event: FlowState) -> None:
        state = event.state
        if state.type is not StateType.PAUSED or state.is_suspended():
            self.questions.pop(event.flow_run, None)
        if self.created is not None and event.flow_run != self.created.flow_run:
            return
        if self.ended is not None and not state.is_at_rest():
            if event.at < self.ended:
                return  # what was asked of the run from outside may be shown after its end
            if self.started is not None:  # it is resumed; the time in between was none of its own
                self.started += event.at - self.ended
            self.ended = None
        self.state, self.by = only_told(state), event.by or (self.by if state.is_suspended() else "")
        if state.type is StateType.RUNNING and self.started is None:
            self.started = event.at
        if state.is_at_rest():
            self.ended = event.at
            self.questions.clear()

    def _tasks_created(self, events: Iterator[TaskCreated]) -> None:
        # A map makes all of its task runs at once, one after the other: what they share is done once.
        for (site, source), alike in groupby(events, _CODE):
            made = list(alike)
            self._join(self._node_at(made[0]), source, [event.task_run for event in made])
            for links in [event.links for event in made if event.links]:
                for edges in links.values():
                    for kind, low, high in edges:
                        self._link(kind, low, high, site)

    def _join(self, node: Node, source: str, numbers: list[int]) -> None:
        """These task runs are members of that node, with that code."""
        first, beyond, highest = numbers[0], numbers[0] + len(numbers), max(numbers)
        self.runs.make_room(highest)
        self._nodes += [None] * (highest + 1 - len(self._nodes))
        self.total = max(self.total, highest)
        version = node.version(source)
        if numbers == list(range(first, beyond)):
            self._nodes[first:beyond] = [node] * len(numbers)
            self.runs.versions[first:beyond] = bytes((version,)) * len(numbers)
        else:
            node.in_a_row = False
            for number in numbers:
                self._nodes[number], self.runs.versions[number] = node, version
        if node.members and first != node.members[-1] + 1:
            node.in_a_row = False
        node.members += numbers
        self._open.add(node.site)

    def _node_at(self, first: TaskCreated) -> Node:
        node = self.nodes.get(first.site)
        if node is None:
            node = self.nodes[first.site] = Node(
                first.site, first.task, first.subflow, first.index, first.at, self.runs
            )
            self.grown = True
        return node

    def version(self, number: int) -> int:
        """With which version of the code of its node a task run began, counted from 1; 0 if it has not begun."""
        return self.runs.versions[number] if self.runs.attempts[number] else 0

    def _link(self, kind: LinkKind, first: int, last: int, target: int) -> None:
        if first == last:
            sources: Iterable[int] = (self._site(first),)
        else:
            found = self._ranges.get((first, last))
            if found is None:
                found = self._ranges[first, last] = frozenset(map(self._site, range(first, last + 1)))
            sources = found
        for source in sources:
            if source and source != target and (source, target) not in self.edges:
                self.edges[source, target] = kind
                self.grown = True
                self.dirty.add(target)

    def _site(self, number: int) -> int:
        node = self.node_of(number)
        return 0 if node is None else node.site

    def _task_states(self, events: Iterator[TaskState]) -> None:
        for event in events:
            node = self.node_of(event.task_run)  # null where what the record has of it is damaged
            if node is not None and not self.runs.write(event):
                self._task_state(node, event)

    def _sum_up(self, node: Node) -> None:
        """Take in what was written of the members of a node."""
        letters = self.letters(node)
        if letters == node.letters:
            return
        node.count(letters)
        if node.first_started is None:
            node.first_started = self._first_began(node)
        if not node.attempts:
            node.attempts = max(node.of(self.runs.attempts))
        if len(letters) == 1 and letters != node.told:
            node.state, node.told = _WRITTEN[letters], letters
        if node.ended == len(letters):
            self._open.discard(node.site)
        self.dirty.add(node.site)

    def _first_began(self, node: Node) -> float | None:
        """When the first member began, each with its last attempt; null if none has."""
        return min(filter(None, node.of(self.runs.since)), default=None)

    def _task_state(self, node: Node, event: TaskState) -> None:
        """Fold a state in of whatever kind."""
        runs, number, state, attempt = self.runs, event.task_run, event.state, event.attempt
        before, after = runs.letters[number], _LETTER[state.type]
        runs.letters[number] = after
        if before in ENDED:
            self._again(node, number)
        if node.first_started is None and (after == "r" or runs.attempts[number]):
            node.first_started = self._first_began(node) or event.at
        node.attempts = max(attempt, node.attempts)
        if event.source:
            runs.versions[number] = node.version(event.source)
        if after == "r":
            runs.since[number] = event.at
            runs.attempts[number] = min(attempt, MOST_ATTEMPTS)
        else:
            runs.until[number] = event.at
        if after == "f":
            self._failed(node, event)
        if runs.odd or after in _WAITING:
            self._count_odd(node, number, state.name)
        # What is written of it later is plain, and told by its letter.
        node.state, node.told, node.letters = only_told(state), after, ""
        self._open.add(node.site)

    def _again(self, node: Node, number: int) -> None:
        """A task run that had ended goes on, in a run that is resumed: what was kept of its end counts no more."""
        node.failures = [each for each in node.failures if each.number != number]
        node.errors.remove(number)

    def _count_odd(self, node: Node, number: int, name: str) -> None:
        odd = self.runs.odd
        was = odd.pop(number, "")
        node.not_ready -= was == "NotReady"
        node.throttled -= was == "Throttled"
        if name in _ODD:
            odd[number] = name
            node.not_ready += name == "NotReady"
            node.throttled += name == "Throttled"

    def _failed(self, node: Node, event: TaskState) -> None:
        node.errors.add(event.state, event.task_run, node.members)
        if len(node.failures) < KEPT_FAILURES:
            node.failures.append(Member(event.task_run, only_told(event.state), self._traceback(event.state)))

    def _traceback(self, state: State) -> str:
        text = traceback_text(state) if self._tracebacks < KEPT_TRACEBACKS else ""
        self._tracebacks += bool(text)
        return text
