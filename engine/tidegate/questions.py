"""Questions: what a paused flow run asks a person, typed, so that it can be drawn as a form and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from .errors import InvalidInput, UsageError
from .model.record import record


@record
class Question:
    """A question that waits for an answer."""

    key: str
    """Which pause of its flow run it is; an answer that was given is not asked for again when the flow is retried."""
    title: str
    schema: Mapping[str, Any]
    """The JSON schema of the answer."""
    _adapter: Any = field(repr=False)

    @classmethod
    def of(cls, wanted: Any, key: str) -> Question:
        """The question for a pydantic model, or for a plain type such as ``str``.  Raises `UsageError`."""
        import pydantic  # 0.2 s: only for those who ask

        try:
            adapter: Any = pydantic.TypeAdapter(wanted)
            schema = adapter.json_schema()
        except pydantic.errors.PydanticUserError as error:
            text = str(error).partition("\n")[0]
            raise UsageError(
                f"wait_for_input takes a pydantic model or a plain type, not {wanted!r:.60}: {text}"
            ) from None
        title = schema.get("title") or getattr(wanted, "__name__", str(wanted))
        return cls(key, title, schema, adapter)

    def check(self, given: Any) -> Any:
        """The answer as the type wants it.  Raises `InvalidInput`, which lists all that is wrong with it."""
        import pydantic

        try:
            return self._adapter.validate_python({} if given is None and self._is_form() else given)
        except pydantic.ValidationError as error:
            problems = [(each["loc"], each["msg"]) for each in error.errors()]
            told = [f"{'.'.join(map(str, place)) or self.title}: {problem}" for place, problem in problems]
            raise InvalidInput(f"{self.title!r} was not answered: {'; '.join(told)}.", problems) from None

    def to_json(self, answer: Any) -> tuple[str, bool]:
        """The answer for the record, where secrets are masked; false if it cannot be read back from that."""
        text = str(self._adapter.dump_json(answer).decode())
        try:
            whole = bool(self._adapter.validate_json(text) == answer)
        except Exception:  # of a validator or a comparison of the user's
            whole = False
        return text, whole

    def read(self, text: str) -> Any:
        """The answer that a record holds.  Raises `InvalidInput` if it is none for this question."""
        import pydantic

        try:
            return self._adapter.validate_json(text)
        except pydantic.ValidationError as error:
            raise InvalidInput(f"{self.title!r} was answered when it was another question.", []) from error

    def _is_form(self) -> bool:
        return self.schema.get("type") == "object"

    def schema_json(self) -> str:
        """The schema as text."""
        return json.dumps(self.schema)
