"""What a paused run asks, as a form."""

from typing import Literal, TypedDict

FieldKind = Literal["text", "number", "integer", "boolean", "choice", "json"]
"""The control of a form's field; ``json`` is text, and ``boolean`` without a default is a choice of yes and no."""


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
