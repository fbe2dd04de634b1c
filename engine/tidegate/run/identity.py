"""What makes a call of a task the same as one before: the task, its inputs, and how often it was called with them.

The identity of a task run is kept with it, so that a retry of the flow, or a resume in another process, knows what is
done already.  It never says which call of the flow it was: a loop that has changed misses, instead of getting the
result of something else, and concurrent calls may come in any order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from marshal import dumps
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from ..digests import digest
from ..futures import TaskFuture
from ..inputs import ATOMS, CONTAINERS
from ..results.policy import KNOW_THEIR_SIZE

if TYPE_CHECKING:
    from ..links import LinkTable
    from .called import Called
    from .task_run import TaskRun

LARGE = 1_000_000
"""Bytes, or a hundred times as many as members, from which an input is not read to tell it from another one."""


MOST = 20_000
"""Objects of an input that are looked at: a task is not to wait for its name, and a mock has no end."""


class Identity(NamedTuple):
    """Which call of a task a task run is.

    Task runs have its two parts: kept as a tuple they would be one object more for each, for the garbage collector.
    """

    key: str
    """Digest of the task and its inputs, 32 hex digits; empty if the inputs cannot be told."""
    nth: int
    """How many calls with the same key came before it in its flow run."""


class Identities:
    """Gives the calls of one attempt of a flow run their identities.  Safe from any thread."""

    __slots__ = ("_calls", "_flow_run", "_links", "_lock", "_parameters")

    def __init__(self, flow_run: int, links: LinkTable, parameters: Mapping[str, Any]) -> None:
        self._flow_run = flow_run
        self._parameters = parameters
        self._lock = Lock()
        self._links = links
        self._calls: defaultdict[str, int] = defaultdict(int)

    def next(self, task: Called, given: Sequence[tuple[str, Any]], parent: TaskRun | None) -> tuple[str, int]:
        """The identity of a call that is made now, as its parts."""
        scope = task.key if parent is None else f"{parent.key}/{parent.nth}/{task.key}"
        key = self._key(scope, given)
        with self._lock:
            # Where the inputs cannot be told, the place among the calls of the task is all there is to go by.
            place = key or scope
            nth = self._calls[place]
            self._calls[place] = nth + 1
        return key, nth

    def _key(self, scope: str, given: Sequence[tuple[str, Any]]) -> str:
        if ATOMS.issuperset([type(value) for _, value in given]):
            # The usual case, at a tenth of the price: what marshal makes of atoms depends on nothing else.
            call: Any = (scope, given)
            return blake2b(dumps(call, 2), digest_size=16).hexdigest()
        whole = digest((scope, given), self._token, MOST)
        if whole is not None:
            return whole
        # What has no content to tell, such as a client or a lock, counts by its type, and the others by theirs.
        each = [(name, digest(value, self._token, MOST) or self._kind(value)) for name, value in given]
        return "" if _TOO_LARGE in dict(each).values() else digest((scope, each)) or ""

    def _kind(self, value: Any) -> str:
        return _TOO_LARGE if _is_large(value) else type(value).__qualname__

    def _token(self, value: Any) -> str | None:
        """A future stands for the call that it is of, something large that a task run returned for its number.

        Something large that the flow was called with stands for the parameter.
        """
        if isinstance(value, TaskFuture):
            call = value.identity
            here = value.flow_run == self._flow_run and call.key
            return f"call {call.key}/{call.nth}" if here else f"task run {value.flow_run}/{value.number}"
        if not _is_large(value):
            return None
        task_run = self._links.find(value)
        if task_run:
            return f"task run {task_run}"
        for name, given in self._parameters.items():
            if given is value:
                return f"parameter {name}"
        raise ValueError(_TOO_LARGE)


_TOO_LARGE = "too large"
"""Of an input that is not worth reading, and that nobody is known to have made: a call with it has no identity."""


def _is_large(value: Any) -> bool:
    try:
        if type(value) in CONTAINERS:
            return len(value) > LARGE // 100
        if type(value).__module__.partition(".")[0] not in KNOW_THEIR_SIZE:
            return False  # to ask just any object could run anything
        size = getattr(value, "nbytes", None)
        return bool((getattr(value, "size", 0) if size is None else size) > LARGE)
    except Exception:  # of one that only says that it is one of these
        return False
