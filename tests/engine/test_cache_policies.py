"""Cache policies: what makes a key, what makes it differ, and what is said about it."""

from __future__ import annotations

import dataclasses
import linecache
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pydantic
import pytest

from tidegate.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    CacheContext,
    CacheKeyFnPolicy,
    CachePolicy,
    task_input_hash,
    why_missed,
)
from tidegate.digests import digest
from tidegate.errors import UsageError

RATE = 2


def clean(x: int) -> int:
    return x * RATE


def locate(airport: str, now: int = 0) -> tuple[str, int]:
    return airport, clean(now)


def other(airport: str) -> str:
    return airport


def context(fn: Callable[..., Any] = locate, arguments: Mapping[str, Any] | None = None, **more: Any) -> CacheContext:
    arguments = {"airport": "BER", "now": 1} if arguments is None else arguments
    return CacheContext(**{"task_key": fn.__qualname__, "fn": fn, "arguments": arguments, "flow_run": 7, **more})


def text(policy: CachePolicy, made: CacheContext) -> str:
    key = policy.key(made)
    assert key is not None
    return key.text


def defined(source: str, name: str, filename: str) -> Any:
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, filename, "exec", dont_inherit=True), space)
    return space[name]


BASE = context()
CHANGES = {
    "nothing": context(arguments={"now": 1, "airport": "BER"}, task_run=object(), task=object()),
    "an input": context(arguments={"airport": "BER", "now": 2}),
    "the code": dataclasses.replace(BASE, fn=other),
    "the task": dataclasses.replace(BASE, task_key="stranger"),
    "the flow run": context(flow_run=8),
    "a flow parameter": context(parameters={"city": "Berlin"}),
}
NOTICED = {
    "INPUTS": (INPUTS, "an input, the task"),
    "INPUTS - 'now'": (INPUTS - "now", "the task"),
    "INPUTS - 'a' - 'now'": (INPUTS - "now" - "a", "the task"),
    "TASK_SOURCE": (TASK_SOURCE, "the code, the task"),
    "RUN_ID": (RUN_ID, "the task, the flow run"),
    "FLOW_PARAMETERS": (FLOW_PARAMETERS, "the task, a flow parameter"),
    "INPUTS + TASK_SOURCE + RUN_ID": (DEFAULT, "an input, the code, the task, the flow run"),
    "INPUTS - 'now' + TASK_SOURCE + RUN_ID": (DEFAULT - "now", "the code, the task, the flow run"),
    "INPUTS + FLOW_PARAMETERS": (INPUTS + FLOW_PARAMETERS, "an input, the task, a flow parameter"),
}


@pytest.mark.parametrize("name", NOTICED)
def test_what_a_policy_notices(name: str) -> None:
    policy, expected = NOTICED[name]
    different = [change for change, made in CHANGES.items() if text(policy, made) != text(policy, BASE)]
    assert ", ".join(different) == expected
    assert repr(policy) == name


def test_policies_are_values() -> None:
    assert INPUTS + TASK_SOURCE + RUN_ID == DEFAULT == INPUTS + (TASK_SOURCE + RUN_ID)
    assert INPUTS + INPUTS == INPUTS == NO_CACHE + INPUTS == INPUTS + NO_CACHE
    assert NO_CACHE + NO_CACHE == NO_CACHE
    assert INPUTS - "a" == INPUTS - "a" - "a" != INPUTS
    assert len({DEFAULT, INPUTS + TASK_SOURCE + RUN_ID}) == 1


def test_the_parts_of_a_key() -> None:
    key = (INPUTS + TASK_SOURCE + RUN_ID + FLOW_PARAMETERS).key(context(parameters={"city": 1}))
    assert key is not None
    assert set(key.parts) == {
        "input airport",
        "input now",
        "source of locate",
        "default now",
        "helper clean",
        "constant RATE",
        "flow run",
        "flow parameter city",
    }
    assert key.parts["input airport"] == digest("BER")


@pytest.mark.parametrize(
    ("policy", "made"),
    [
        (NO_CACHE, BASE),
        (INPUTS, context(arguments={"airport": threading.Lock()})),
        (DEFAULT, context(arguments={"airport": threading.Lock()})),
        (RUN_ID, context(flow_run=0)),
        (FLOW_PARAMETERS, context(flow_run=0)),
        (DEFAULT, context(flow_run=0)),
        (FLOW_PARAMETERS + INPUTS, context(parameters={"lock": threading.Lock()})),
        (CacheKeyFnPolicy(lambda context, arguments: None), BASE),
        (CacheKeyFnPolicy(lambda context, arguments: None) + INPUTS, BASE),
    ],
)
def test_where_a_part_cannot_be_told_nothing_is_cached(policy: CachePolicy, made: CacheContext) -> None:
    assert policy.key(made) is None
    assert policy.parts(made) is None


def test_an_input_that_is_left_out_need_not_be_told() -> None:
    made = context(arguments={"airport": "BER", "now": threading.Lock()})
    assert (DEFAULT - "now").key(made) is not None


def test_a_task_without_inputs_is_cached_by_its_name() -> None:
    assert text(INPUTS, context(arguments={})) != text(INPUTS, context(other, arguments={}))


def test_a_key_function_is_given_context_and_arguments() -> None:
    given: list[Any] = []

    def key(context: CacheContext, arguments: dict[str, Any]) -> str:
        given.append((context, arguments))
        return f"{context.flow_run}-{arguments['airport']}"

    policy = CacheKeyFnPolicy(key)
    run, task = object(), object()
    made = context(task_run=run, task=task)
    assert text(policy, made) == "7-BER"
    assert given == [(made, {"airport": "BER", "now": 1})]
    assert (given[0][0].task_run, given[0][0].task) == (run, task)
    # Two tasks share a key if their functions say so; together with another policy they no longer do.
    assert text(policy, context(other)) == "7-BER"
    assert text(policy + INPUTS, context(other)) != text(policy + INPUTS, made)
    assert text(policy + RUN_ID, made) != text(CacheKeyFnPolicy(lambda context, arguments: "x") + RUN_ID, made)


def test_what_a_key_function_gets_is_its_own() -> None:
    def key(context: CacheContext, arguments: dict[str, Any]) -> str:
        arguments.clear()
        return "k"

    made = context()
    assert text(CacheKeyFnPolicy(key), made) == "k"
    assert made.arguments == {"airport": "BER", "now": 1}


def test_a_key_that_is_no_text_is_refused() -> None:
    wrong: Any = lambda context, arguments: 5  # noqa: E731
    with pytest.raises(UsageError, match=r"^The cache_key_fn of 'locate' must return a text, or None .*, not 5\.$"):
        CacheKeyFnPolicy(wrong).key(BASE)


def test_what_a_key_function_raises_is_what_one_sees() -> None:
    def key(context: CacheContext, arguments: dict[str, Any]) -> str:
        raise KeyError("no such airport")

    for policy in (CacheKeyFnPolicy(key), CacheKeyFnPolicy(key) + INPUTS):
        with pytest.raises(KeyError, match="no such airport"):
            policy.key(BASE)


@pytest.mark.parametrize("policy", [TASK_SOURCE, RUN_ID + TASK_SOURCE, NO_CACHE])
def test_only_inputs_can_be_left_out(policy: CachePolicy) -> None:
    with pytest.raises(UsageError, match=r"no inputs to leave 'now' out of; write INPUTS - 'now'"):
        policy - "now"


@pytest.mark.parametrize("wrong", [lambda: INPUTS + "now", lambda: INPUTS - INPUTS, lambda: INPUTS + (lambda: 1)])  # type: ignore[operator]
def test_what_is_no_policy_cannot_be_added(wrong: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        wrong()


def test_a_policy_of_ones_own() -> None:
    class Weekly(CachePolicy):
        def parts(self, context: CacheContext) -> dict[str, str]:
            return {"week": str(context.arguments["now"] // 7)}

    weekly = Weekly() + (INPUTS - "now")
    one, same, later = (context(arguments={"airport": "BER", "now": day}) for day in (1, 5, 8))
    assert text(weekly, one) == text(weekly, same) != text(weekly, later)
    with pytest.raises(NotImplementedError, match="CachePolicy does not define parts"):
        CachePolicy().key(BASE)


class Thing:
    def __init__(self, x: int) -> None:
        self.x = x


class Model(pydantic.BaseModel):
    x: int


@pytest.mark.conforms("B148")
def test_the_built_in_input_hash() -> None:
    def hashed(made: CacheContext = BASE, **arguments: Any) -> str | None:
        return task_input_hash(made, arguments)

    values: list[Callable[[int], Any]] = [int, str, lambda x: bytes([x]), Thing, lambda x: Model(x=x), lambda x: [{x}]]
    for value in values:
        assert hashed(a=value(1)) == hashed(a=value(1)) != hashed(a=value(2)) != None  # noqa: E711
        assert hashed(a=value(1)) != hashed(b=value(1))
        assert hashed(a=value(1)) != hashed(dataclasses.replace(BASE, task_key="stranger"), a=value(1))
        assert hashed(a=value(1)) != hashed(dataclasses.replace(BASE, fn=other), a=value(1))
    assert hashed(a=threading.Lock()) is None
    # The same code gives the same hash whatever it once returned.
    source = "def count():\n    global seen\n    return 5\n"
    first, again = (defined(source, "count", f"<count {i}>") for i in range(2))
    assert first() == 5
    assert hashed(context(first)) == hashed(context(again))
    assert text(CacheKeyFnPolicy(task_input_hash), BASE) == task_input_hash(BASE, BASE.arguments)


@pytest.mark.conforms("B149")
def test_the_built_in_input_hash_counts_constants_defaults_closures_and_helpers() -> None:
    source = (
        "def helper(x): return x\n"
        "def make(n):\n    def work(x=1): return helper(x) + n + 2\n    return work\n"
        "work = make(3)"
    )
    edits = [("return x\n", "return -x\n"), ("x=1", "x=4"), ("+ 2", "+ 3"), ("make(3)", "make(4)")]
    made = [source, *(source.replace(old, new) for old, new in edits)]
    assert len(set(made)) == 5
    found = [task_input_hash(context(defined(each, "work", f"<edit {at}>")), {"x": 1}) for at, each in enumerate(made)]
    assert len(set(found)) == 5
    assert None not in found


MISSES: dict[str, tuple[dict[str, str], dict[str, str] | None]] = {
    "never computed before": ({"input a": "1"}, None),
    "never computed before ": ({"input a": "1"}, {}),
    "the source of locate changed": (
        {"source of locate": "1", "input a": "1"},
        {"source of locate": "2", "input a": "1"},
    ),
    "the helper clean changed": ({"helper clean": "1"}, {"helper clean": "2"}),
    "the input airport changed": ({"input airport": "1"}, {"input airport": "2"}),
    "2 inputs changed: a, b": ({"input a": "1", "input b": "1"}, {"input a": "2", "input b": "2"}),
    "the helper clean is new": ({"input a": "1", "helper clean": "1"}, {"input a": "1"}),
    "the helper clean is gone": ({"input a": "1"}, {"input a": "1", "helper clean": "1"}),
    "2 things changed: the flow run, the input a": (
        {"flow run": "1", "input a": "1", "input b": "1"},
        {"flow run": "2", "input a": "2", "input b": "1"},
    ),
    "6 inputs changed: 0, 1, 2, 3, 2 more": (
        {f"input {i}": "1" for i in range(6)},
        {f"input {i}": "2" for i in range(6)},
    ),
    "nothing changed, but what was kept is gone or too old": ({"input a": "1"}, {"input a": "1"}),
}  # fmt: skip


@pytest.mark.parametrize("said", MISSES)
def test_why_a_result_was_missed(said: str) -> None:
    assert why_missed(*MISSES[said]) == said.strip()


def test_why_missed_after_an_edit() -> None:
    source = "def helper(x): return x\ndef work(x): return helper(x)"
    policy = TASK_SOURCE + INPUTS
    before = policy.key(context(defined(source, "work", "<before>"), {"x": 1}))
    for old, new, x, said in [
        ("return x", "return x + 1", 1, "the helper helper changed"),
        ("return helper(x)", "return helper(x) + 1", 1, "the source of work changed"),
        ("", "", 2, "the input x changed"),
    ]:
        after = policy.key(context(defined(source.replace(old, new), "work", f"<after {said}>"), {"x": x}))
        assert before is not None
        assert after is not None
        assert why_missed(after.parts, before.parts) == said
