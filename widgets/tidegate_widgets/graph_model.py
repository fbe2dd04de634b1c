"""The run graph as a fold of events: nodes are call sites, edges are where data really flowed.

Task runs are kept as columns of a few bytes each; what a person sees at once is the node, one for all runs of one call
site, so that ten thousand mapped runs are one box with a strip.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
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
from tidegate.model.states import COMPLETED, RUNNING, TERMINAL, State, StateType

from .artifacts import Artifacts
from .node import PENDING, Member, Node
from .picture_svg import shortened
from .same_errors import only_told, traceback_text

KEPT_FAILURES = 20
"""Failed members of a node whose story is kept; the others are counted."""

KEPT_TRACEBACKS = 100
"""Failures of a run whose traceback is kept; those of the others are looked up in the log."""

MOST_ATTEMPTS = 255
"""Attempts of a task run that are told apart."""

_ROOM = 1024
"""So many task runs the columns grow by."""

_ENDED = "dfc"
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

_ODD = frozenset({"NotReady", "Throttled"})

TASK_RUNS = frozenset((TaskCreated, TaskState))
"""The events of task runs: nearly all that come."""

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
        self._room = 0
        self._nodes: list[Node | None] = []
        self._letters: list[str] = []
        self._since = array("d")
        self._until = array("d")
        self._attempts = bytearray()
        self._versions = bytearray()
        self._make_room(0)
        self._odd: dict[int, str] = {}
        """Task runs that are NotReady or Throttled: the letter alone does not tell them."""
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
        members = node.members
        if node.in_a_row:
            return "".join(self._letters[members[0] : members[-1] + 1])
        return "".join(map(self._letters.__getitem__, members))

    def letter(self, number: int) -> str:
        """What a task run is, as one of `LETTERS`."""
        return self._letters[number]

    def node_of(self, number: int) -> Node | None:
        """The node of a task run; null for a number that nobody has heard of."""
        return self._nodes[number] if 0 < number <= self.total else None

    def attempts(self, number: int) -> int:
        """How often a task run was begun, as far as that is counted."""
        return self._attempts[number]

    def failed_after(self, number: int) -> int | None:
        """The first failed task run beyond that number; null if there is none."""
        with suppress(ValueError):
            return self._letters.index("f", max(0, number) + 1)
        return None

    def span(self, number: int) -> tuple[float, float | None] | None:
        """When the last attempt of a task run began and ended, or null for the end while it is at work; null for one
        that never ran.  What was not run because its result was there has the moment when that was found."""
        letter = self.letter(number)
        if letter == "r":
            return self._since[number], None
        if self._attempts[number] and letter in "dfca":
            return self._since[number], self._until[number]
        return (self._until[number], self._until[number]) if letter == "d" else None

    def apply(self, events: Iterable[Event]) -> None:
        """Fold events in."""
        # By the run of one kind: a storm is made of states of task runs, and must cost next to nothing for each.
        for kind, alike in groupby(events, type):
            if kind is TaskState:
                self._task_states(cast("Iterator[TaskState]", alike))
            elif kind is TaskCreated:
                self._tasks_created(cast("Iterator[TaskCreated]", alike))
            else:
                for event in alike:
                    self._take(event)

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
        nodes, versions = self._nodes, self._versions
        node, source, version = None, "", 0
        members: list[int] = []
        for event in events:
            number, site = event.task_run, event.site
            if node is None or site != node.site:
                node, version = self._node_at(event), 0
                members = node.members
                self.dirty.add(site)
            if number > self.total:
                if number >= self._room:
                    self._make_room(number)
                self.total = number
            nodes[number] = node
            if not version or event.source != source:
                version, source = _version(node, event.source), event.source
            versions[number] = version
            if members and number != members[-1] + 1:
                node.in_a_row = False
            members.append(number)
            node.counts["w"] += 1
            for edges in event.links.values():
                for kind, first, last in edges:
                    self._link(kind, first, last, site)

    def _node_at(self, first: TaskCreated) -> Node:
        node = self.nodes.get(first.site)
        if node is None:
            node = self.nodes[first.site] = Node(first.site, first.task, first.subflow, first.index, first.at)
            self.grown = True
        return node

    def _make_room(self, number: int) -> None:
        more = number + _ROOM - self._room
        self._room += more
        self._nodes += [None] * more
        self._letters += "w" * more
        self._since.frombytes(bytes(8 * more))
        self._until.frombytes(bytes(8 * more))
        self._attempts += bytes(more)
        self._versions += bytes(more)

    def version(self, number: int) -> int:
        """With which version of the code of its node a task run began, counted from 1; 0 if it has not begun."""
        return self._versions[number] if self._attempts[number] else 0

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
        # What is looked up once here is paid for by each of ten thousand task runs otherwise; so is what is summed.
        nodes, letters, attempts, since, until = self._nodes, self._letters, self._attempts, self._since, self._until
        total, last, state = self.total, None, PENDING
        begun, done, seconds = 0, 0, 0.0
        plain = not self._odd
        for event in events:
            number = event.task_run
            node = nodes[number] if number <= total else None
            if node is None:
                continue  # what the record has of it is damaged
            if node is not last:
                if last is not None:
                    self._changed(last, state, begun, done, seconds)
                last, begun, done, seconds = node, 0, 0, 0.0
            state = event.state
            kind, before = state.type, letters[number]
            if before == "r" and kind is COMPLETED and plain:
                letters[number] = "d"
                until[number] = at = event.at
                seconds += at - since[number]
                done += 1
            elif before == "w" and kind is RUNNING and plain and event.attempt == 1 and not event.source:
                letters[number] = "r"
                since[number] = at = event.at
                attempts[number] = 1
                if node.first_started is None:
                    node.first_started = at
                begun += 1
            else:
                self._task_state(node, event)
                plain = not self._odd
        if last is not None:
            self._changed(last, state, begun, done, seconds)

    def _changed(self, node: Node, state: State, begun: int, done: int, seconds: float) -> None:
        """A node has got states, of which that is the last: how many task runs began and completed, and took in all."""
        node.seconds += seconds
        counts = node.counts
        counts["w"] -= begun
        counts["r"] += begun - done
        counts["d"] += done
        if begun and not node.attempts:
            node.attempts = 1
        node.state = only_told(state)
        self.dirty.add(node.site)

    def _task_state(self, node: Node, event: TaskState) -> None:
        """Fold a state in of whatever kind."""
        number, state, attempt = event.task_run, event.state, event.attempt
        before, after = self._letters[number], _LETTER[state.type]
        self._letters[number] = after
        node.counts[before] -= 1
        node.counts[after] += 1
        if before in _ENDED:
            self._again(node, number)
        node.attempts = max(attempt, node.attempts)
        if event.source:
            self._versions[number] = _version(node, event.source)
        if after == "r":
            self._since[number] = event.at
            self._attempts[number] = min(attempt, MOST_ATTEMPTS)
            if node.first_started is None:
                node.first_started = event.at
        else:
            self._until[number] = event.at
            if after in _ENDED:
                self._ended(node, event)
        if self._odd or after in _WAITING:
            self._count_odd(node, number, state.name)

    def _again(self, node: Node, number: int) -> None:
        """A task run that had ended goes on, in a run that is resumed: what was counted of its end counts no more."""
        if self._attempts[number]:
            node.seconds -= self._until[number] - self._since[number]
        node.failures = [each for each in node.failures if each.number != number]
        node.errors.remove(number)

    def _count_odd(self, node: Node, number: int, name: str) -> None:
        was = self._odd.pop(number, "")
        node.not_ready -= was == "NotReady"
        node.throttled -= was == "Throttled"
        if name in _ODD:
            self._odd[number] = name
            node.not_ready += name == "NotReady"
            node.throttled += name == "Throttled"

    def _ended(self, node: Node, event: TaskState) -> None:
        if event.attempt:
            node.seconds += event.at - self._since[event.task_run]
        if self._letters[event.task_run] == "f":
            node.errors.add(event.state, event.task_run, node.members)
            if len(node.failures) < KEPT_FAILURES:
                node.failures.append(Member(event.task_run, only_told(event.state), self._traceback(event.state)))

    def _traceback(self, state: State) -> str:
        text = traceback_text(state) if self._tracebacks < KEPT_TRACEBACKS else ""
        self._tracebacks += bool(text)
        return text


def _version(node: Node, digest: str) -> int:
    """The number of that code among those of a node, which may be new."""
    known = node.versions
    return min(known.setdefault(digest, len(known) + 1), MOST_ATTEMPTS)
