"""When may a task hand back what it returned before?  A policy says what must be the same.

Policies are added: ``INPUTS + TASK_SOURCE``.  ``INPUTS - "now"`` leaves a parameter out.  For your own, give a task a
``cache_key_fn``, or derive from `CachePolicy` and say what must be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .digests import digest, source_digest, source_parts
from .errors import UsageError
from .model.record import record

Parts: TypeAlias = Mapping[str, str]
"""What must be the same, each by a name such as ``"input airport"`` with the digest of its content."""


@dataclass(frozen=True, slots=True)
class CacheContext:
    """A task run that is about to begin, as policies and key functions see it."""

    task_key: str
    """What tells the task from others: the full name of its function, and the digest of one that holds something."""
    fn: Callable[..., Any]
    arguments: Mapping[str, Any]
    """The arguments by parameter, as the function shall see them: futures resolved, defaults filled in."""
    flow_run: int = 0
    """The number of the flow run; 0 where there is none."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The parameters of the flow."""
    task_run: Any = None
    task: Any = None


@record
class CacheKey:
    """Equal keys stand for equal results; the parts tell what makes two keys differ."""

    text: str
    parts: Parts


class CachePolicy:
    """What must be the same for a result to be used again.  Derive from it and define `parts`."""

    __slots__ = ()

    def parts(self, context: CacheContext) -> Parts | None:
        """What must be the same, each with its digest; null if it cannot be told, and so nothing may be kept."""
        raise NotImplementedError(f"{type(self).__name__} does not define parts().")

    def key(self, context: CacheContext) -> CacheKey | None:
        """The key of a task run; null for one whose result is neither looked up nor kept.

        Tasks never share a key, however equal their inputs; a ``cache_key_fn`` alone may let them.
        """
        parts = self.parts(context)
        if parts is None:
            return None
        text = digest((context.task_key, sorted(parts.items())))
        return None if text is None else CacheKey(text, dict(parts))

    def __add__(self, other: CachePolicy) -> CachePolicy:
        """What both ask for; `NO_CACHE` asks for nothing."""
        if not isinstance(other, CachePolicy):
            return NotImplemented
        own = _members(self)
        both = (*own, *(each for each in _members(other) if each not in own))
        return both[0] if len(both) == 1 else _Sum(both) if both else NO_CACHE

    def __sub__(self, name: str) -> CachePolicy:
        """The same without one parameter of the task.  Raises `UsageError` where no inputs count."""
        raise UsageError(f"{self!r} has no inputs to leave {name!r} out of; write INPUTS - {name!r}.")


@record
class _Inputs(CachePolicy):
    without: frozenset[str] = frozenset()

    def parts(self, context: CacheContext) -> Parts | None:
        return _digests("input", ((n, v) for n, v in context.arguments.items() if n not in self.without))

    def __sub__(self, name: str) -> CachePolicy:
        if not isinstance(name, str):
            return NotImplemented
        return _Inputs(self.without | {name})

    def __repr__(self) -> str:
        return " - ".join(["INPUTS", *map(repr, sorted(self.without))])


@record
class _TaskSource(CachePolicy):
    def parts(self, context: CacheContext) -> Parts:
        return source_parts(context.fn)

    def __repr__(self) -> str:
        return "TASK_SOURCE"


@record
class _RunId(CachePolicy):
    def parts(self, context: CacheContext) -> Parts | None:
        return _digests("", [("flow run", context.flow_run)]) if context.flow_run else None

    def __repr__(self) -> str:
        return "RUN_ID"


@record
class _FlowParameters(CachePolicy):
    def parts(self, context: CacheContext) -> Parts | None:
        return _digests("flow parameter", context.parameters.items()) if context.flow_run else None

    def __repr__(self) -> str:
        return "FLOW_PARAMETERS"


@record
class _NoCache(CachePolicy):
    def parts(self, context: CacheContext) -> None:
        return None

    def __repr__(self) -> str:
        return "NO_CACHE"


@dataclass(frozen=True, slots=True)
class CacheKeyFnPolicy(CachePolicy):
    """A function of the user's that is given the context and the arguments and returns a key, or null for no caching.

    Alone, its text is the whole key, so tasks that return the same text share results.  Raises `UsageError` if it
    returns anything else, and whatever it raises.
    """

    cache_key_fn: Callable[[CacheContext, dict[str, Any]], str | None]

    def key(self, context: CacheContext) -> CacheKey | None:
        """The text that the function returns."""
        text = self._text(context)
        return None if text is None else CacheKey(text, self._parts(text))

    def parts(self, context: CacheContext) -> Parts | None:
        """The digest of the text that the function returns, as one part among others."""
        text = self._text(context)
        return None if text is None else self._parts(text)

    def _text(self, context: CacheContext) -> str | None:
        text = self.cache_key_fn(context, dict(context.arguments))
        if text is None or isinstance(text, str):
            return text
        raise UsageError(
            f"The cache_key_fn of {context.task_key!r} must return a text, or None for no caching, not {text!r:.60}."
        )

    def _parts(self, text: str) -> Parts:
        return {"key of cache_key_fn": digest(text) or ""}


@record
class _Sum(CachePolicy):
    policies: tuple[CachePolicy, ...]

    def parts(self, context: CacheContext) -> Parts | None:
        found: dict[str, str] = {}
        for policy in self.policies:
            parts = policy.parts(context)
            if parts is None:  # a key without this part would match what differs in it
                return None
            found.update(parts)
        return found

    def __sub__(self, name: str) -> CachePolicy:
        if not any(isinstance(policy, _Inputs) for policy in self.policies):
            return CachePolicy.__sub__(self, name)
        return _Sum(tuple(policy - name if isinstance(policy, _Inputs) else policy for policy in self.policies))

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.policies))


def _members(policy: CachePolicy) -> tuple[CachePolicy, ...]:
    if isinstance(policy, _NoCache):
        return ()
    return policy.policies if isinstance(policy, _Sum) else (policy,)


def _digests(kind: str, named: Iterable[tuple[str, Any]]) -> Parts | None:
    """The digest of each value; null if one of them has none."""
    found: dict[str, str] = {}
    for name, value in named:
        token = digest(value)
        if token is None:
            return None
        found[f"{kind} {name}".lstrip()] = token
    return found


INPUTS = _Inputs()
"""The arguments of the task."""
TASK_SOURCE = _TaskSource()
"""The code of the task, with the helpers and constants of the user's that it names."""
RUN_ID = _RunId()
"""The flow run: results are used again within it only."""
FLOW_PARAMETERS = _FlowParameters()
"""The parameters of the flow."""
NO_CACHE = _NoCache()
"""Never use a result again."""
DEFAULT = INPUTS + TASK_SOURCE + RUN_ID
"""Inputs, source and flow run: the same work is not done twice in one run."""


def task_input_hash(context: CacheContext, arguments: Mapping[str, Any]) -> str | None:
    """For ``cache_key_fn=``: a key of the task, its code with its helpers, and its arguments.

    Null, so that nothing is cached, if an argument cannot be told.
    """
    return digest((context.task_key, source_digest(context.fn), dict(arguments)))


_SHOWN = 4
"""Changes that are named in a sentence."""


def why_missed(parts: Parts, previous_parts: Parts | None) -> str:
    """Why a result could not be used again, in one short sentence.

    `parts` are those of the key that was looked for, `previous_parts` those of the latest that was kept for the task.
    """
    if previous_parts is None or (parts and not previous_parts):
        return "never computed before"
    names = [*parts, *(name for name in previous_parts if name not in parts)]
    changed = [name for name in names if parts.get(name) != previous_parts.get(name)]
    if not changed:
        return "nothing changed, but what was kept is gone or too old"
    if len(changed) == 1:
        name = changed[0]
        verb = "is new" if name not in previous_parts else "is gone" if name not in parts else "changed"
        return f"the {name} {verb}"
    inputs = all(name.startswith("input ") for name in changed)
    shown = [name.removeprefix("input ") if inputs else f"the {name}" for name in changed[:_SHOWN]]
    if len(changed) > _SHOWN:
        shown.append(f"{len(changed) - _SHOWN} more")
    return f"{len(changed)} {'inputs' if inputs else 'things'} changed: {', '.join(shown)}"
