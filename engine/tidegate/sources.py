"""What a function is made of: its own source, what it was given when it was made, and what of the user's it names.

The source is read from the file or cell and counts as a syntax tree, without what does not matter.  It is believed
only if it compiles to the very code that runs: a module that was edited after its import still runs the old code.
"""

from __future__ import annotations

import dis
import functools
import inspect
import operator
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

from .source_text import OVERRIDE, read

ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, type(...)})
"""The types whose values hold no others and are told by themselves."""

Literal: TypeAlias = Callable[[Any], str | None]
Check: TypeAlias = Callable[[Any], Any]

_CODE = (FunctionType, type, BuiltinFunctionType, functools.partial)
_MISSING = object()
_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_LARGE = 10_000
"""A constant with more members than this is looked through when it is bound, not at every call."""
_FEW = 100
"""Members up to which a container that is no plain data is searched for functions."""


def qualified(made: Any) -> str:
    """The full name of a class or function."""
    return f"{made.__module__}.{made.__qualname__}"


class Sources:
    """The parts of one function, by a name that a user understands, each with its digest.

    `literal` gives the digest of plain data and null for all else.
    """

    __slots__ = ("_guards", "_home", "_literal", "_seen", "_todo", "digest", "parts")

    def __init__(self, fn: Any, literal: Literal) -> None:
        self._literal = literal
        self._guards: list[Callable[[], bool]] = []
        self._seen: dict[int, Any] = {}
        self._todo: deque[tuple[str, Any]] = deque()
        self.parts: dict[str, str] = {}
        layers = _layers(fn)
        inner = layers[-1]
        name = getattr(inner, "__name__", type(inner).__name__)
        self._home = {"__main__", _module(inner)}
        if not isinstance(inner, (FunctionType, type)):
            self._put(f"source of {name}", getattr(inner, "__qualname__", name))
        self._seen[id(inner)] = inner
        self._todo.append((f"source of {name}", inner))
        for layer in layers[:-1]:
            self._layer(layer)
        while self._todo:
            label, each = self._todo.popleft()
            if isinstance(each, FunctionType):
                self._function(label, each)
            elif isinstance(each, type):
                self._class(label, each)
        self._seen.clear()  # it kept addresses from being used again; held on, it would keep the function alive
        self.digest = self._literal(self.parts) or ""

    def hold(self) -> bool:
        """True as long as nothing that was looked at has been defined anew or changed."""
        return all(guard() for guard in self._guards)

    def _put(self, label: str, value: Any) -> bool:
        token = self._literal(value)
        if token is None:
            return False
        number, name = 1, label
        while self.parts.get(name, token) != token:
            number += 1
            name = f"{label} ({number})"
        self.parts[name] = token
        return True

    def _layer(self, layer: Any, name: str = "") -> None:
        """One layer of a callable: a function, a partial, a method, an object that is called."""
        if isinstance(layer, functools.partial):
            self._put(f"bound arguments of {name}" if name else "bound arguments", [list(layer.args), layer.keywords])
        elif isinstance(layer, (FunctionType, type)):
            self._code(name or layer.__name__, layer)
        elif isinstance(layer, BuiltinFunctionType):
            self._put(f"global {name}", f"{layer.__module__}.{layer.__qualname__}")
        else:
            owner = layer.__self__ if isinstance(layer, MethodType) else layer
            kind = owner if isinstance(owner, type) else type(owner)
            self._code(kind.__name__, kind)

    def _function(self, label: str, fn: FunctionType) -> None:
        self._put(label, read(fn))
        suffix = "" if label.startswith("source of") else f" of {label.partition(' ')[2]}"
        for name, value in _given(fn):
            self._value(f"{name}{suffix}", value, f"{name.partition(' ')[2]}")
        names = _names(fn.__code__)
        space = fn.__globals__
        # Weak, and only through the function: the cache that holds this must not keep the function alive.
        globals_ = [(name, self._check(space.get(name, _MISSING))) for name in names]
        cells = [(at, self._check(value)) for at, value in enumerate(closure(fn))]
        self._guards.append(_guard(fn, globals_, cells))
        for name in names:
            if name in space:
                self._value(f"constant {name}", space[name], name)

    def _class(self, label: str, made: type) -> None:
        inherited = [qualified(base) for base in made.__bases__]
        self._put(label, [qualified(made), inherited, _declared(made), read(made)])
        for base in made.__bases__:
            self._code(base.__name__, base)
        before = _members(made)
        weak = weakref.ref(made)
        self._guards.append(lambda: (now := weak()) is not None and _members(now) == before)
        for name, member in vars(made).items():
            for fn in _functions(member):
                if _module(fn) in self._home:
                    self._code(f"{made.__name__}.{name}", fn)
            if name.startswith("__") or (name.startswith("_") and name.endswith("_")):
                continue  # Python's own, and Enum's
            if isinstance(member, type):
                self._code(f"{made.__name__}.{name}", member)
            elif not callable(member):
                self._put(f"constant {made.__name__}.{name}", member)

    def _value(self, label: str, value: Any, name: str) -> None:
        """A global, a default or what a closure holds: plain data counts, functions and classes are followed."""
        if isinstance(value, ModuleType):
            self._put(f"global {name}", value.__name__)
        elif not isinstance(value, (FunctionType, type)) and self._put(label, value):
            if _module(type(value)) in self._home:  # data of a class with methods
                self._layer(value)
        else:
            layers = _layers(value)
            for layer in layers:
                outer = isinstance(layer, FunctionType) and layer is not layers[-1]
                self._layer(layer, f"{name} (decorated)" if outer else name if isinstance(layer, _CODE) else "")
            for key, member in _few(value):
                if isinstance(member, (FunctionType, type)):
                    self._code(f"{name}[{key!r}]", member)

    def _code(self, name: str, code: FunctionType | type) -> None:
        """A helper if it lives at home; a library's counts by its name."""
        if id(code) in self._seen:
            return
        self._seen[id(code)] = code
        if _module(code) in self._home:
            self._todo.append((f"helper {name}", code))
        elif code is not object:
            self._put(f"global {name}", qualified(code))

    def _check(self, value: Any) -> Check:
        """What tells whether a global still is what it was."""
        if type(value) in ATOMS or value is _MISSING or isinstance(value, Enum):
            return functools.partial(operator.is_, value)
        literal = self._literal
        size = len(value) if isinstance(value, (list, tuple, dict, set, frozenset)) else 0
        if size > _LARGE:
            return lambda now: now is value and len(now) == size
        token = None if isinstance(value, (FunctionType, type, ModuleType)) else literal(value)
        if token is not None:
            return lambda now: literal(now) == token
        if size:
            checks = [(key, _same(member)) for key, member in _few(value)]
            kind = type(value)
            return lambda now: type(now) is kind and len(now) == size and _all_hold(checks, dict(_few(now)))
        return _same(value)


def _same(value: Any) -> Check:
    """What tells whether this is the very object, without keeping it alive if that can be."""
    try:
        weak = weakref.ref(value)
    except TypeError:
        return functools.partial(operator.is_, value)
    return lambda now: weak() is now


def _guard(fn: FunctionType, names: list[tuple[Any, Check]], cells: list[tuple[Any, Check]]) -> Callable[[], bool]:
    weak, before = weakref.ref(fn), _made_of(fn)

    def holds() -> bool:
        now = weak()
        # An automatic reload puts new code into the old function.
        if now is None or not all(map(operator.is_, _made_of(now), before)):
            return False
        return _all_hold(names, now.__globals__) and (not cells or _all_hold(cells, dict(enumerate(closure(now)))))

    return holds


def _made_of(fn: FunctionType) -> tuple[Any, ...]:
    return fn.__code__, fn.__defaults__, fn.__kwdefaults__, fn.__dict__.get(OVERRIDE)


def _all_hold(checks: list[tuple[Any, Check]], space: Mapping[Any, Any]) -> bool:
    return all(check(space.get(name, _MISSING)) for name, check in checks)


def _layers(fn: Any) -> list[Any]:
    """A callable and what is inside it, inwards; a wrapper's inside is the function that it wraps."""
    layers = [fn]
    while len(layers) < _FEW and (inner := _inside(layers[-1])) is not None:
        layers.append(inner)
    return layers


def _inside(made: Any) -> Any:
    if isinstance(made, type):
        return None
    if isinstance(made, MethodType):
        return made.__func__
    if isinstance(made, functools.partial):
        return made.func
    try:
        own = vars(made)
    except TypeError:
        own = {}
    inner = own.get("__wrapped__")
    if inner is None and not isinstance(made, FunctionType):
        inner = own.get("fn")  # a task or a flow
        if not callable(inner):
            inner = getattr(type(made), "__call__", None)  # noqa: B004  # its code is wanted
            return inner if isinstance(inner, FunctionType) else None
    return inner if callable(inner) else None


def _module(code: Any) -> str:
    """Where code was written; `functools.wraps` gives a wrapper the module of what it wraps."""
    space = getattr(code, "__globals__", None)
    return str(getattr(code, "__module__", "") if space is None else space.get("__name__", ""))


def _given(fn: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function got when it was made: defaults and closure."""
    code = fn.__code__
    defaults = fn.__defaults__ or ()
    positional = code.co_varnames[: code.co_argcount]
    for name, value in zip(positional[len(positional) - len(defaults) :], defaults, strict=True):
        yield f"default {name}", value
    for name, value in (fn.__kwdefaults__ or {}).items():
        yield f"default {name}", value
    for name, value in zip(code.co_freevars, closure(fn), strict=True):
        if value is not _MISSING:
            yield f"closure {name}", value


def closure(fn: FunctionType) -> list[Any]:
    """What a function closes over; `_MISSING` for what is not bound yet."""
    found = []
    for cell in fn.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            found.append(_MISSING)
    return found


@functools.lru_cache(maxsize=1024)
def _names(code: CodeType) -> tuple[str, ...]:
    """The globals that code names, also from inside its own functions; attributes are none.

    One that it sets itself is no constant: a counter would make it other code with each call.
    """
    found: set[str] = set()
    changed: set[str] = set()
    todo = [code]
    while todo:
        each = todo.pop()
        for step in dis.get_instructions(each):
            if step.opname in _GLOBAL:
                found.add(step.argval)
            elif step.opname == "STORE_GLOBAL":
                changed.add(step.argval)
        todo.extend(const for const in each.co_consts if isinstance(const, CodeType))
    return tuple(sorted(found - changed))


def _functions(member: Any) -> list[FunctionType]:
    """The functions in a member of a class: a method, a property, one that a decorator holds."""
    if isinstance(member, property):
        inner = [member.fget, member.fset, member.fdel]
    else:
        inner = [getattr(member, "__func__", None) or getattr(member, "wrapped", None) or inspect.unwrap(member)]
    return [each for each in inner if isinstance(each, FunctionType)]


def _members(made: type) -> list[tuple[str, int, Any]]:
    """What a class holds, by identity; a function's code may be exchanged."""
    return [(name, id(each), id(getattr(each, "__code__", None))) for name, each in vars(made).items()]


def _few(value: Any) -> Iterator[tuple[Any, Any]]:
    """The members of a short builtin container, by key."""
    if isinstance(value, (list, tuple, dict)) and len(value) <= _FEW:
        yield from value.items() if isinstance(value, dict) else enumerate(value)


def _declared(made: type) -> dict[str, str]:
    """What a class says of its fields; for those of a notebook there may be no source that tells it."""
    said = {**vars(made).get("__annotations__", {}), **vars(made).get("__pydantic_fields__", {})}
    texts = {name: qualified(each) if isinstance(each, type) else str(each) for name, each in said.items()}
    return {name: text for name, text in texts.items() if " at 0x" not in text}  # tomorrow it is another address
