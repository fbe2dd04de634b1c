"""The form of a question: the fields in which a person answers it, and the answer that was typed into them.

Fields come from the question's JSON schema: simple properties get a control of their own, anything deeper is JSON in a
text field.  What comes back is text and truth values by field; whether that fits is for the question to say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tidegate.errors import ControlError, InvalidInput
from tidegate.rules.outcome import describe

from .picture_svg import shortened
from .protocol import FieldKind, FieldView, QuestionView

MAX_FIELDS: Final = 40
"""A model with more fields than this is asked for as one JSON text."""
MAX_CHOICES: Final = 200
"""Choices of a field at most; one with more of them is typed."""
MAX_NAME: Final = 100
"""Characters of a field's name at most."""
MAX_TEXT: Final = 20_000
"""Characters of an answer at most, and of a default that is shown."""

LEFT_OUT: Final = object()
"""The value of an empty field that is not part of the answer: the model's own default steps in, where there is one."""

_Schema = Mapping[str, Any]
_KINDS: Mapping[str, FieldKind] = {
    "string": "text",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
}
_PLAIN: Mapping[FieldKind, str] = {
    "text": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "yes or no",
    "choice": "a choice",
}
_HOPS = 20
"""References followed at most: a schema may lead in a circle."""


@dataclass(frozen=True, slots=True)
class Field:
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
    choices: tuple[tuple[str, Any], ...]
    """Labels and values."""
    blank: Any
    """The value of an empty field, or `LEFT_OUT`."""

    def view(self) -> FieldView:
        """The field as the page draws it."""
        return {
            "name": self.name,
            "label": self.label,
            "kind": self.kind,
            "required": self.required,
            "default": self.default,
            "description": self.description,
            "choices": [label for label, _ in self.choices],
        }

    def read(self, given: object) -> Any:
        """The value of what was typed; what is no number is left for the question to refuse.  Raises `ValueError`."""
        if isinstance(given, bool) and self.kind == "boolean":
            return given
        if given is None or given == "":
            return self.blank
        if not isinstance(given, str):
            raise ValueError("This cannot be understood.")
        if len(given) > MAX_TEXT:
            raise ValueError(f"At most {MAX_TEXT:,} characters can be sent from here.")
        if self.kind == "text":
            return given
        text = given.strip()
        return self._value(text) if text else self.blank

    def _value(self, text: str) -> Any:
        if self.kind == "choice":
            number = int(text) if text.isdecimal() and len(text) < 4 else -1
            if not 0 <= number < len(self.choices):
                raise ValueError("This is none of the choices.")
            return self.choices[number][1]
        if self.kind in ("integer", "number"):
            try:
                value = int(text) if self.kind == "integer" else float(text)
            except ValueError:
                return text
            if not math.isfinite(value):
                raise ValueError("A finite number is needed.")
            return value
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"This is not JSON: {error}.") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"This is not JSON that can be read: {error}.") from None


@dataclass(frozen=True, slots=True)
class Form:
    """The form of one question."""

    key: str
    """The key of the pause that asks."""
    title: str
    """What is asked for, in a few words."""
    about: str
    """What the model says of itself, or empty."""
    fields: tuple[Field, ...]
    whole: bool
    """True if the only field is the answer itself."""

    @classmethod
    def of(cls, key: str, title: str, schema: _Schema) -> Form:
        """The form for a question's schema."""
        defs = schema.get("$defs", {})
        top = _resolved(schema, defs)
        about = shortened(_text(top.get("description")), 400)
        properties = top.get("properties")
        if top.get("type") == "object" and isinstance(properties, dict) and _can_be_fields(properties):
            needed = set(top.get("required", ()))
            fields = tuple(_field(name, each, defs, name in needed) for name, each in properties.items())
            return cls(key, shortened(title, 80), about, fields, whole=False)
        field = _field("", {**top, "title": "Answer", "description": ""}, defs, needed=True)
        if not top.get("title"):
            title = _PLAIN.get(field.kind, f"{title}, as JSON")
        return cls(key, shortened(title, 80), about, (field,), whole=True)

    def view(self, flow_run: int, asker: str = "") -> QuestionView:
        """The form as the page draws it; `asker` names a subflow that asks."""
        return {
            "key": self.key,
            "flow_run": flow_run,
            "asker": asker,
            "title": self.title,
            "about": self.about,
            "fields": [field.view() for field in self.fields],
            "code": self.code(flow_run),
        }

    def code(self, flow_run: int) -> str:
        """The call that answers from code: ``resume_flow_run(7, run_input={"reason": ...})``."""
        if self.whole:
            return f"resume_flow_run({flow_run}, run_input=...)"
        named = [field for field in self.fields if field.required and field.default is None] or list(self.fields)
        inner = ", ".join(f"{json.dumps(field.name, ensure_ascii=False)}: ..." for field in named)
        return f"resume_flow_run({flow_run}, run_input={{{shortened(inner, 200)}}})"

    def answer(self, given: object) -> Any:
        """The answer, from what was typed by field.  Raises `InvalidInput` for what cannot even be read."""
        if not isinstance(given, dict):
            raise InvalidInput("An answer is text by field.")
        found: dict[str, Any] = {}
        problems: list[tuple[tuple[str | int, ...], str]] = []
        for field in self.fields:
            try:
                value = field.read(given.get(field.name))
            except ValueError as error:
                problems.append(((field.name,), str(error)))
                continue
            if value is not LEFT_OUT:
                found[field.name] = value
            elif self.whole:
                problems.append(((field.name,), "An answer is needed."))
        if problems:
            raise InvalidInput(f"{self.title!r} was not answered.", problems)
        return found[""] if self.whole else found

    def submit(self, given: object, resume: Callable[[Any], None]) -> tuple[str | None, dict[str, str]]:
        """Resume with the answer that was typed by field; what is wrong with it, in all and by field.

        Raises `ControlError` if there is nothing to be resumed.
        """
        try:
            resume(self.answer(given))
        except InvalidInput as refused:
            return self.explain(refused)
        except ControlError:
            raise
        except Exception as broken:
            # A validator of the user's may raise anything, and whoever has answered should hear of it.
            return f"{sentence(describe(broken))} The run is still paused.", {}
        return None, {}

    def explain(self, error: InvalidInput) -> tuple[str, dict[str, str]]:
        """An error as one line for the form and lines for its fields, by name."""
        fields: dict[str, str] = {}
        rest: list[str] = []
        names = {field.name for field in self.fields}
        for place, problem in error.problems:
            name, inner = ("", place) if self.whole else (str(place[0]) if place else None, place[1:])
            where = ".".join(map(str, inner))
            text = shortened(f"{where}: {sentence(problem)}" if where else sentence(problem), 300)
            if name in names:
                fields[name] = f"{fields[name]} {text}" if name in fields else text
            else:
                rest.append(text if not place else f"{name}: {text}")
        if not error.problems:
            rest.append(shortened(str(error), 300))
        if fields and not rest:
            rest.append("One answer does not fit." if len(fields) == 1 else f"{len(fields)} answers do not fit.")
        return f"{' '.join(rest[:5])} The run is still paused.", fields


def _can_be_fields(properties: Mapping[str, Any]) -> bool:
    return len(properties) <= MAX_FIELDS and all(
        len(name) <= MAX_NAME and isinstance(each, dict) for name, each in properties.items()
    )


def _field(name: str, schema: _Schema, defs: _Schema, needed: bool) -> Field:
    """The field of one property; `needed` if the model has no default for it."""
    title = _text(schema.get("title"))
    inner, nullable = _without_null(schema, defs)
    kind, choices, has_null = _control(inner)
    nullable |= has_null
    if kind == "boolean" and nullable:
        kind, choices = "choice", (("Yes", True), ("No", False))
    default = _shown(kind, choices, schema["default"]) if "default" in schema else None
    blank, required = _when_empty(kind, needed, nullable, default)
    return Field(
        name=name,
        label=_label(name, title),
        kind=kind,
        required=required,
        default=default,
        description=shortened(_text(inner.get("description")), 300),
        choices=choices,
        blank=blank,
    )


def _when_empty(kind: FieldKind, needed: bool, nullable: bool, default: str | bool | None) -> tuple[Any, bool]:
    """What an empty field means, and whether it may not be left empty."""
    if nullable:
        return (None if needed or default is not None else LEFT_OUT), False
    if default is None:
        return LEFT_OUT, needed
    # Emptied by hand: an empty text is a text; an empty number is none, and the question says so.
    return "", kind not in ("text", "boolean")


def _control(schema: _Schema) -> tuple[FieldKind, tuple[tuple[str, Any], ...], bool]:
    """Which control fits, its choices, and whether null is one of them."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    named = schema.get("type")
    kind = _KINDS.get(named, "json") if isinstance(named, str) else "json"
    if not isinstance(values, list) or not values or not all(isinstance(each, _SCALAR) for each in values):
        return kind, (), False
    some = [each for each in values if each is not None]
    if len(some) > MAX_CHOICES or not some:
        return kind, (), len(some) < len(values)
    return "choice", tuple((_choice(each), each) for each in some), len(some) < len(values)


_SCALAR = (str, int, float, bool, type(None))


def _choice(value: Any) -> str:
    return shortened(value if isinstance(value, str) else json.dumps(value), 120)


def _shown(kind: FieldKind, choices: tuple[tuple[str, Any], ...], default: Any) -> str | bool | None:
    """A default as its control shows it; null for what the control cannot show."""
    if default is None:
        return None
    if kind == "choice":
        # By type too: to Python, 1 and True are one.
        found = [at for at, (_, each) in enumerate(choices) if type(each) is type(default) and each == default]
        return str(found[0]) if found else None
    if kind == "boolean":
        return default if isinstance(default, bool) else None
    if kind == "text":
        text = default if isinstance(default, str) else None
    else:
        text = json.dumps(default, ensure_ascii=False)
    return text if text is None or len(text) <= MAX_TEXT else None


def _label(name: str, title: str) -> str:
    """What a person reads: the title that was given, or the name as words."""
    words = name.replace("_", " ").strip()
    if not title or title.lower() == words.lower():
        title = words[:1].upper() + words[1:]
    return shortened(title, 80) or "Answer"


def _resolved(schema: _Schema, defs: _Schema) -> dict[str, Any]:
    """A schema with its references replaced by what they mean; what stands beside a reference goes before it."""
    found = dict(schema)
    for _ in range(_HOPS):
        reference, parts = found.pop("$ref", None), found.get("allOf")
        if isinstance(reference, str):
            meant = defs.get(reference.rpartition("/")[2])
        elif isinstance(parts, list) and len(parts) == 1:
            meant = found.pop("allOf")[0]
        else:
            break
        found = {**(meant if isinstance(meant, dict) else {}), **found}
    return found


def _without_null(schema: _Schema, defs: _Schema) -> tuple[dict[str, Any], bool]:
    """A schema without its null, and whether it had one."""
    found = _resolved(schema, defs)
    options = found.get("anyOf")
    if not isinstance(options, list):
        return found, found.get("type") == "null"
    known = [_resolved(each, defs) for each in options if isinstance(each, dict)]
    some = [each for each in known if each.get("type") != "null"]
    if len(some) == 1:
        outer = {name: value for name, value in found.items() if name != "anyOf"}
        return {**some[0], **outer}, len(known) > 1
    return found, len(some) < len(known)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def sentence(problem: str) -> str:
    """A problem of a validator as a sentence."""
    for prefix in ("Value error, ", "Assertion failed, "):
        problem = problem.removeprefix(prefix)
    problem = problem[:1].upper() + problem[1:]
    return problem if problem.endswith((".", "!", "?")) else problem + "."


def told(answer: str) -> str:
    """An answer, as JSON, in a few words: ``reason "fine", rows 7``."""
    value = json.loads(answer)
    if not isinstance(value, dict):
        return shortened(json.dumps(value, ensure_ascii=False), 80)
    parts = (f"{name} {shortened(json.dumps(each, ensure_ascii=False), 40)}" for name, each in value.items())
    return shortened(_listed(parts, 6), 160)


def _listed(parts: Iterable[str], most: int) -> str:
    every = list(parts)
    return ", ".join([*every[:most], "…"] if len(every) > most else every)
