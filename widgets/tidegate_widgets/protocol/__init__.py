"""What the kernel and the page say to each other, defined once.

The page draws a *view*: a picture whose layout, texts and colours' meaning were all decided in Python, so that
the live page, the static picture and a test see the same thing.  `widgets/js/src/protocol.ts` mirrors this package.

Kernel to page, as custom messages:

- ``{"kind": "snap", "view": View}``    everything; the answer to ``hello`` and ``resync``
- ``{"kind": "delta", "delta": Delta}`` what changed since the view or delta numbered ``seq - 1``
- ``{"kind": "problem", "error": str}`` something that was begun could not be done
- ``Ack``                               the answer to a ``do``
- ``{"kind": "detail", "id": str, "detail": Detail}``              the answer to a ``get`` of a node
- ``{"kind": "artifacts", "id": str, "version": int, "artifacts": [ArtifactView]}``
  the answer to a ``get`` of artifacts
- ``{"kind": "timeline", "id": str, "timeline": Timeline}``        the answer to a ``get`` of the timeline
- ``{"kind": "past", "id": str, "at": float, "view": View}``      the answer to a ``get`` of the past
- ``{"kind": "members", "id": str, "page": MemberPage}``          the answer to a ``get`` of members
- ``{"kind": "member", "id": str, "member": Member}``             the answer to a ``get`` of a task run

Page to kernel:

- ``{"kind": "hello", "id": str}``      a page model exists; repeated at 0, 0.3, 1, 2, 4 s until a ``snap`` comes
- ``{"kind": "resync"}``                a gap in ``seq`` was seen
- ``{"kind": "open", "id": str, "node": int, "open": bool}``  a subflow is to be a box with its nodes, or one node
- ``{"kind": "do", "id": str, "verb": Verb}``  repeated each second until it is answered; carried out once
- ``{"kind": "do", "id": str, "verb": "resume", "flow_run": int, "key": str, "input": {name: str | bool}}``
  the answer to that flow run's question of that key: what was typed, by field; a choice as its number
- ``{"kind": "do", "id": str, "verb": Action, "member": int}``  the same for what is done with that task run
- ``{"kind": "do", "id": str, "verb": "turn", "node": int, "dial": str, "value": str}``  what was typed for a dial of it
- ``{"kind": "get", "id": str, "node": int}``  what is to be known about a node
- ``{"kind": "get", "id": str, "artifacts": int}``  the artifacts that came or changed after that version
- ``{"kind": "get", "id": str, "timeline": true}``  when the task runs ran
- ``{"kind": "get", "id": str, "past": float}``  a run at rest as it was so many seconds after its timeline begins
- ``{"kind": "get", "id": str, "members": int, "first": int, "only": str, "sort": Sort}``  the task runs of that
  node from the place `first` on, those of one count (``failed``) or all (empty), in that order; `PAGE` at most
- ``{"kind": "get", "id": str, "member": int}``  what is to be known about the task run of that number
- ``{"kind": "get", "id": str, "failed_after": int}``  the same about the next failed one, in open boxes too
"""

from .action import Action
from .artifact import ArtifactCount, ArtifactView
from .detail import Detail, Dial, ErrorRun, ErrorView, Fact
from .graph import VERSION, Delta, EdgeView, NodeView, View
from .member import PAGE, InputView, LogView, Member, MemberPage, MemberRow, Sort, Steps
from .question import FieldKind, FieldView, QuestionView
from .run import Ack, RunView, Verb
from .state import Counts, Family, StateView
from .timeline import Bar, Lane, Timeline

__all__ = [
    "PAGE",
    "VERSION",
    "Ack",
    "Action",
    "ArtifactCount",
    "ArtifactView",
    "Bar",
    "Counts",
    "Delta",
    "Detail",
    "Dial",
    "EdgeView",
    "ErrorRun",
    "ErrorView",
    "Fact",
    "Family",
    "FieldKind",
    "FieldView",
    "InputView",
    "Lane",
    "LogView",
    "Member",
    "MemberPage",
    "MemberRow",
    "NodeView",
    "QuestionView",
    "RunView",
    "Sort",
    "StateView",
    "Steps",
    "Timeline",
    "Verb",
    "View",
]
