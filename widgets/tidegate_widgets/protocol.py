"""What the kernel and the page say to each other, defined once.

The page draws a *view*: a picture whose layout, texts and colours' meaning were all decided in Python, so that
the live page, the static picture and a test see the same thing.  `widgets/js/src/protocol.ts` mirrors this file.

Kernel to page, as custom messages:

- ``{"kind": "snap", "view": View}``    everything; the answer to ``hello`` and ``resync``
- ``{"kind": "delta", "delta": Delta}`` what changed since the view or delta numbered ``seq - 1``
- ``{"kind": "problem", "error": str}`` something that was begun could not be done
- ``Ack``                               the answer to a ``do``
- ``{"kind": "detail", "id": str, "detail": Detail}``              the answer to a ``get`` of a node
- ``{"kind": "artifacts", "id": str, "version": int, "artifacts": [ArtifactView]}``
  the answer to a ``get`` of artifacts
- ``{"kind": "timeline", "id": str, "timeline": Timeline}``        the answer to a ``get`` of the timeline
- ``{"kind": "members", "id": str, "page": MemberPage}``          the answer to a ``get`` of members
- ``{"kind": "member", "id": str, "member": Member}``             the answer to a ``get`` of a task run

Page to kernel:

- ``{"kind": "hello", "id": str}``      a page model exists; repeated at 0, 0.3, 1, 2, 4 s until a ``snap`` comes
- ``{"kind": "resync"}``                a gap in ``seq`` was seen
- ``{"kind": "do", "id": str, "verb": Verb}``  repeated each second until it is answered; carried out once
- ``{"kind": "do", "id": str, "verb": "resume", "flow_run": int, "key": str, "input": {name: str | bool}}``
  the answer to that flow run's question of that key: what was typed, by field; a choice as its number
- ``{"kind": "get", "id": str, "node": int}``  what is to be known about a node
- ``{"kind": "get", "id": str, "artifacts": int}``  the artifacts that came or changed after that version
- ``{"kind": "get", "id": str, "timeline": true}``  when the task runs ran
- ``{"kind": "get", "id": str, "members": int, "first": int, "only": str}``  the task runs of that node from the place
  `first` on, those of one count (``failed``) or all (empty); `PAGE` of them at most
- ``{"kind": "get", "id": str, "member": int}``  what is to be known about the task run of that number
- ``{"kind": "get", "id": str, "failed_after": int}``  the same about the first failed one beyond that number, or of all
"""

from typing import Literal, NotRequired, TypedDict

VERSION = 1

PAGE = 25
"""Members in one answer at most."""

Family = Literal["idle", "active", "done", "attention", "bad"]
"""Five families of state, each with a colour and a shape of its own (never colour alone)."""

Verb = Literal["pause", "resume", "suspend", "retry", "cancel"]
"""``suspend`` releases the cell; ``resume`` and ``retry`` also go on with a run that no process has any more."""

FieldKind = Literal["text", "number", "integer", "boolean", "choice", "json"]
"""The control of a form's field; ``json`` is text, and ``boolean`` without a default is a choice of yes and no."""


class StateView(TypedDict):
    """A state as shown: its standard name, its family, and one line of text."""

    type: str
    """``SCHEDULED PENDING RUNNING PAUSED CANCELLING COMPLETED FAILED CRASHED CANCELLED``"""
    name: str
    """``Running``, ``AwaitingRetry``, ``NotReady``, ``Interrupted``, ..."""
    family: Family
    message: str


class Counts(TypedDict):
    """Task runs by what a person wants to know of them."""

    done: int
    running: int
    retrying: int
    """Waiting for their next attempt."""
    failed: int
    """Failed or crashed."""
    cancelled: int
    waiting: int
    """Known, but not begun; includes those that will never begin because an upstream failed."""


class FieldView(TypedDict):
    """One field of a form."""

    name: str
    """The key in the answer; empty for the only field of a plain type."""
    label: str
    kind: FieldKind
    required: bool
    """True if it may not be left empty."""
    default: str | bool | None
    """What it shows at first: text, the number of a choice as text, or a truth value; null for nothing."""
    description: str
    choices: list[str]
    """Labels; empty but for ``choice``."""


class QuestionView(TypedDict):
    """What a paused run asks, as a form."""

    key: str
    flow_run: int
    """Whom to answer: the run, or a subflow of it."""
    asker: str
    """The subflow that asks, ``clean 'amber-otter'``; empty for the run itself."""
    title: str
    """What is asked for: ``Approval``, ``a whole number``."""
    about: str
    """A few words on it, or empty."""
    fields: list[FieldView]
    code: str
    """The call that answers from code."""


class ArtifactCount(TypedDict):
    """That there are artifacts; they themselves are sent to a page that asks for them."""

    count: int
    version: int
    """Grows with each change of one of them."""


class ArtifactView(TypedDict):
    """Something to look at that was kept with the run."""

    id: int
    title: str
    """Its key, or what it is: ``Table``."""
    maker: str
    """Who made it: ``clean[3]``, or a subflow; empty for the flow itself."""
    description: str
    kind: Literal["text", "table", "link", "image", "progress"]
    text: str
    """Of a text, and what a link says."""
    url: str
    """Where a link leads, or an image as ``data:image/...``."""
    columns: list[str]
    """Of a table; empty if they have no names."""
    rows: list[list[str]]
    progress: float
    """0 to 100."""
    note: str
    """What is not shown, and why; or empty."""


class RunView(TypedDict):
    """The header: what the run is, how far it is, what one may do."""

    id: str
    number: int
    """Of the flow run in its store."""
    flow: str
    name: str
    state: StateView
    started: float | None
    """Seconds since the epoch; null until it has started."""
    elapsed: float
    """Seconds, at the time of the message; the page lets it tick while `running` is true."""
    running: bool
    left: float | None
    """Estimated seconds left; null where nothing honest can be said."""
    counts: Counts
    total: int
    """Task runs known so far."""
    can: list[Verb]
    """What may be asked now, in the order of the buttons; without ``resume`` while the run itself has a `question`."""
    note: str
    """One line under the header (who paused it, what failed), or empty."""
    saved: bool
    durability: str
    """Whether it is saved, false while the store cannot be written, as `note` then says; its `Durability`, or empty."""
    question: NotRequired[QuestionView]
    """What is asked, by the run or by a subflow, the oldest question; missing where nothing is."""
    questions: NotRequired[int]
    """How many questions are open, with that one."""
    answered: NotRequired[str]
    """One line on the last question that was answered."""
    artifacts: NotRequired[ArtifactCount]
    """Missing while there are none."""


class NodeView(TypedDict):
    """One drawn node: a task run, or all runs of one call site or one mapped call, or a subflow."""

    id: int
    kind: Literal["task", "group", "flow"]
    """``group``: several runs of one call site, drawn as stacked sheets with a bar and a strip."""
    name: str
    line: str
    """The second line: ``0.2s``, ``running``, ``waits for 3,588``, ``6,412 of 10,000 · 16 running``."""
    alert: str
    """A short text in the colour of failures (``3 failed``), or empty."""
    state: StateView
    total: int
    counts: Counts
    strip: str
    """For groups, one letter a cell in index order, at most 336 cells (one cell may stand for several runs, the
    worst of them): ``d`` done, ``r`` running, ``a`` awaiting retry, ``f`` failed, ``c`` cancelled, ``w`` waiting.
    Empty for single runs."""
    progress: float | None
    """0 to 1 for groups of known size, else null."""
    x: float
    y: float
    w: float
    h: float


class EdgeView(TypedDict):
    """A drawn edge; data flowed from `source` to `target`."""

    source: int
    target: int
    kind: Literal["future", "value", "map", "wait_for", "subflow"]
    waiting: bool
    """Drawn dashed: the target has not begun."""
    path: str
    """An SVG path (``M … C … L …``) in the coordinates of the view."""


class View(TypedDict):
    """The whole picture."""

    v: int
    seq: int
    run: RunView
    width: float
    height: float
    """The extent of the drawn graph, in px at zoom 1."""
    nodes: list[NodeView]
    edges: list[EdgeView]


class Delta(TypedDict):
    """What changed.  `nodes` replace those of the same id; when the structure changed, `edges` and the extent come
    too and replace the old ones, and every node that moved is among `nodes`.  Nodes never disappear."""

    seq: int
    run: RunView
    nodes: list[NodeView]
    edges: NotRequired[list[EdgeView]]
    width: NotRequired[float]
    height: NotRequired[float]


class Ack(TypedDict):
    """The answer to a ``do``."""

    kind: Literal["ack"]
    id: str
    ok: bool
    error: str | None
    """Why not, in one line."""
    fields: NotRequired[dict[str, str]]
    """What is wrong with an answer, by the name of the field."""


class ErrorRun(TypedDict):
    """A task run that failed."""

    number: int
    label: str
    """``locate[17]``"""


class ErrorView(TypedDict):
    """An error, and the task runs of a node that failed with it: they differ in numbers at most."""

    error: str
    """``ValueError: bad row …``"""
    total: int
    runs: list[ErrorRun]
    """The first five of them."""
    traceback: str
    """Of the first one, trimmed to the user's own frames; may be empty."""


class Fact(TypedDict):
    """A row of the inspector."""

    label: str
    text: str


class Detail(TypedDict):
    """What the inspector shows about the selected node."""

    node: int
    name: str
    state: StateView
    facts: list[Fact]
    """``Attempts``, ``Duration``, ``Inputs``, … in the order to show."""
    member: int | None
    """The number of the only task run; null where there are several."""
    errors: list[ErrorView]
    """At most 21."""


class Bar(TypedDict):
    """When one task run ran, in seconds since the timeline begins; of several attempts the last."""

    letter: str
    """What it is, as in a strip."""
    start: float
    end: float


class Lane(TypedDict):
    """The task runs of one node over time.  A lane has a bounded size, whatever the number of its runs."""

    node: int
    bars: list[Bar]
    """One for each run that has begun, where the node has few."""
    heights: list[int]
    """Where it has many: how many ran at some time in each of as many equal parts of the timeline; else empty."""
    failed: list[float]
    """With `heights`: when runs failed, the first 24 of them."""


class Timeline(TypedDict):
    """When the task runs ran.  It begins with the first of them."""

    seconds: float
    """From its begin to now, or to the end of the run."""
    lanes: list[Lane]
    """In the order of the nodes, the drawn ones only."""


class MemberRow(TypedDict):
    """One task run in the list of its node."""

    number: int
    """Of the task run, in its flow run."""
    label: str
    """``locate[17]``, by its place among the runs of the node."""
    state: StateView
    line: str
    """``0.2s``, or the error."""


class MemberPage(TypedDict):
    """Some task runs of a node."""

    node: int
    first: int
    """The place of the first one, among those that were asked for."""
    only: str
    total: int
    """How many there are of those that were asked for."""
    rows: list[MemberRow]


class InputView(TypedDict):
    """Where an input of a task run came from."""

    parameter: str
    label: str
    """``list_files[3817]``, or ``parse (10,000 runs)``."""
    node: int
    member: int | None
    """The task run; null for many."""


class LogView(TypedDict):
    """A line of a log."""

    clock: str
    level: str
    """``DEBUG INFO WARNING ERROR CRITICAL``, or a number."""
    text: str


class Steps(TypedDict):
    """The failed task runs of a node, seen from one of its runs."""

    at: int
    """Which of them it is, from 1; 0 for one that has not failed."""
    of: int
    before: int | None
    """The number of the failed one before it; null for none."""
    after: int | None


class Member(TypedDict):
    """What is to be known about one task run.  All but its state is what the record has."""

    number: int
    node: int
    place: int
    """Among the runs of the node, from 0."""
    label: str
    state: StateView
    steps: Steps
    facts: list[Fact]
    inputs: list[InputView]
    error: str
    traceback: str
    logs: list[LogView]
    more: bool
    """True if there are more lines than these."""
    result: str
    """Its text, where that can be shown without loading anything; or empty."""
    result_note: str
    """What is kept of the result, and why there is no more."""
    code: str
    code_note: str
