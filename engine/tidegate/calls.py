"""What flows and tasks have in common: a function that can be called, named, checked and given options."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from types import CodeType
from typing import Any

from .errors import InvalidName, InvalidOption, ParameterBindError, ReservedArgument
from .generators import collected, is_async_generator, is_kind
from .hooks import STATES, hooks_of
from .model.durability import LEVELS, Durability
from .registry import register
from .retries import is_seconds, senseless
from .run.terms import Rerun
from .run_names import RunName, check_run_name
from .saving import check_saving
from .tags import tags_of

_BANNED = frozenset("/%&><")
_RESERVED = ("return_state", "wait_for")
_PLAIN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


class CallFace:
    """A user's function with a name, a checked signature, and the options that flows and tasks share.

    Raises `InvalidOption` for what is not callable, `InvalidName` for a name with any of ``/ % & > <``,
    `ReservedArgument` for a parameter called `return_state` or `wait_for`, and `UsageError` for an option that makes no
    sense.
    """

    kind = "task"
    rerun: Rerun = "always"
    known = True
    """Whether others find it by its name."""
    durability: Durability | None

    def __init__(self, fn: Callable[..., Any], options: Mapping[str, Any]) -> None:
        kind = self.kind
        if not callable(fn):
            raise InvalidOption(f"@{kind} needs a function, not {type(fn).__name__}: {fn!r:.60}")
        default = getattr(fn, "__name__", None) or type(fn).__name__
        name = options["name"]
        if name is None:
            name = default.replace("_", "-") if kind == "flow" else default
        if not isinstance(name, str) or not name or _BANNED & set(name):
            raise InvalidName(f"{name!r} cannot name a {kind}: it must be a text without any of / % & > <.")
        self.fn = fn
        self.name = name
        self.options: Mapping[str, Any] = {option: _kept(option, value) for option, value in options.items()}
        self.key = getattr(fn, "__qualname__", None) or type(fn).__qualname__
        # As a function has it: by this `%autoreload` knows what belongs to a module that it loads again.
        self.__module__ = getattr(fn, "__module__", None) or type(self).__module__
        inner = inspect.unwrap(fn) if kind == "flow" else fn
        self.is_async = is_async(inner)
        self.body = collected(fn, inner)
        self.__doc__ = inspect.getdoc(fn)
        self.description: str = options["description"] or self.__doc__ or ""
        self.version: str | None = options["version"]
        if self.version is not None and not isinstance(self.version, str):
            raise senseless("version", name, "a text", self.version)
        self.tags = tags_of(self.options["tags"], repr(name))
        self.hooks = hooks_of(self.options, name)
        self.log_prints: bool | None = options["log_prints"]
        check_saving(name, options)
        self.durability = options["durability"]
        if self.durability not in (None, *LEVELS):
            raise senseless("durability", name, f"one of {', '.join(LEVELS)}", self.durability)
        self.limit_seconds = _limit(name, options["timeout_seconds"])
        self._signature(fn)
        self.run_name: RunName | None = options[f"{kind}_run_name"]
        open_ended = any(each.kind is each.VAR_KEYWORD for each in self.signature.parameters.values())
        check_run_name(self.run_name, f"{kind}_run_name", name, self.names, open_ended)
        if self.known:
            register(self)

    def _signature(self, fn: Callable[..., Any]) -> None:
        self.signature = _signature(fn)
        parameters = self.signature.parameters
        for reserved in _RESERVED:
            if reserved in parameters:
                raise ReservedArgument(
                    f"The {self.kind} {self.name!r} has a parameter {reserved!r}, which Tidegate needs for itself. "
                    "Rename it."
                )
        self.names = tuple(parameters)
        self._plain = all(each.kind in _PLAIN for each in parameters.values())

    @property
    def timeout_seconds(self) -> float | None:
        """Seconds that an attempt may take; null for any."""
        return self.limit_seconds

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises `InvalidOption` for one that does not exist."""
        unknown = options.keys() - (cls.__init__.__kwdefaults__ or {}).keys()
        if unknown:
            raise InvalidOption(f"@{cls.kind} has no option {', '.join(map(repr, sorted(unknown)))}.")

    def changed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with some of them changed.  Raises `InvalidOption` for one that does not exist."""
        unknown = options.keys() - self.options.keys()
        if unknown:
            raise InvalidOption(f"with_options() of {self.name!r} does not know {', '.join(sorted(unknown))}.")
        return {**self.options, **options}

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[tuple[str, Any]]:
        """The arguments of a call as (parameter, value), only those given.  Raises `ParameterBindError`."""
        if self._plain and not kwargs and len(args) == len(self.names):
            return zip(self.names, args, strict=True)  # a tenth of the price of Signature.bind
        try:
            return self.signature.bind(*args, **kwargs).arguments.items()
        except TypeError as error:
            raise ParameterBindError(f"{self.name}{self.signature}: {error}.") from None

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by parameter, defaults filled in."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def call_with(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The reverse of `arguments`: what to call the function with."""
        bound = inspect.BoundArguments(self.signature, dict(arguments))
        return bound.args, bound.kwargs

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {self.name!r}>"


def _kept(option: str, value: Any) -> Any:
    """An option as copies take it over: several things as they are now, whatever becomes of the list."""
    several = option == "tags" or option in STATES
    if several and isinstance(value, Iterable) and not isinstance(value, str) and not callable(value):
        return tuple(value)
    return value


def _limit(name: str, given: Any) -> float | None:
    """The time limit in seconds; 0 and null are none."""
    if given is None:
        return None
    if not is_seconds(given):
        raise senseless("timeout_seconds", name, "a number of seconds from 0 on", given)
    return float(given) or None


def _signature(fn: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(fn)
    except ValueError:  # a builtin that does not tell: whatever is given goes to it
        kinds = {"args": inspect.Parameter.VAR_POSITIONAL, "kwargs": inspect.Parameter.VAR_KEYWORD}
        return inspect.Signature([inspect.Parameter(name, kind) for name, kind in kinds.items()])


def is_async(fn: Callable[..., Any]) -> bool:
    """True if what it does is to be awaited; looks through callable objects."""
    return is_async_generator(fn) or is_kind(inspect.iscoroutinefunction, fn)


def call_site(depth: int) -> tuple[CodeType, int]:
    """Where a call was written: `depth` frames above the caller of this function."""
    caller = sys._getframe(depth + 1)
    return caller.f_code, caller.f_lineno
