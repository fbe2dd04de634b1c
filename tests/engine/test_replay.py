"""Replay: what was recorded stands in for the tasks, and nothing runs that is not in the cassette."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from support.flows import engine_over, flow, in_time, task
from tidegate import InvalidOption, NotRecorded, UsageError, temporary_settings, use_cassette
from tidegate.model.record_modes import RecordMode
from tidegate.store.memory import MemoryStore

ran: Counter[str] = Counter()
"""How often the code of each task ran, by task and input."""


@dataclass
class Place:
    name: str
    at: tuple[float, float]


class Refused(Exception):
    """Takes other arguments than it gives to `Exception`."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{why} ({code})")
        self.code = code


@task
def locate(name: str) -> Place:
    ran[f"locate {name}"] += 1
    return Place(name, (ran.total(), 0.5))


@task
def refuse(code: int) -> None:
    ran[f"refuse {code}"] += 1
    raise Refused(code, "not today")


@task
async def ask_later(name: str) -> list[str]:
    ran[f"ask_later {name}"] += 1
    await asyncio.sleep(0)
    return [name, str(ran.total())]


@task(retries=2)
def stumble(name: str) -> str:
    ran[f"stumble {name}"] += 1
    if ran[f"stumble {name}"] < 3:
        raise OSError(5, "a moment", "line")
    return name


@task
def broken_at_first(number: int) -> int:
    ran[f"broken_at_first {number}"] += 1
    if number == 1 and ran[f"broken_at_first {number}"] == 1:
        raise ValueError("once")
    return number


@task
def outer_of_replay(name: str) -> str:
    return str(locate(name).name)


@flow
def inner_of_replay(name: str) -> str:
    return str(locate(name).name)


@flow(name="replayed-all-ways")
def all_ways() -> dict[str, Any]:
    mapped = locate.map(["a", "b", "c"])
    first = locate("a")
    second = locate("a")
    chained = ask_later.submit(mapped[0]).result()
    refused = refuse.submit(7)
    return {
        "mapped": mapped.result(),
        "twice": [first, second],
        "chained": chained,
        "awaited": ask_later("x"),
        "stumbled": stumble("s"),
        "nested": outer_of_replay("n"),
        "subflow": inner_of_replay("i"),
        "refused": repr(refused.result(raise_on_failure=False)),
    }


@flow(name="replayed-async")
async def gathered(names: list[str]) -> list[list[str]]:
    return list(await asyncio.gather(*(ask_later(name) for name in names)))


@flow(name="replayed-refusal")
def refused_flow() -> None:
    refuse(7)


@flow(name="replayed-one")
def one(name: str) -> Any:
    return locate(name)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Each test counts for itself, over a store of its own."""
    ran.clear()
    with engine_over(MemoryStore()):
        yield


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "tape.json"


def recorded(tape: Path, call: Any, mode: RecordMode = "once", **options: Any) -> Any:
    """What a call gives while the cassette is in use; what ran before is forgotten."""
    ran.clear()
    with engine_over(MemoryStore()), use_cassette(tape, mode, **options):
        return in_time(call)


def test_every_kind_of_call_ends_as_it_did_and_nothing_runs(tape: Path) -> None:
    first = recorded(tape, all_ways)
    assert ran.total() > 8
    assert recorded(tape, all_ways, "none") == first
    assert not ran
    assert first["refused"] == "Refused('not today (7)')"


def test_async_flows_are_replayed(tape: Path) -> None:
    def call() -> Any:
        return asyncio.run(gathered(["a", "b", "a"]))

    first = recorded(tape, call)
    assert recorded(tape, call, "none") == first
    assert not ran


def test_a_failure_is_the_same_error(tape: Path) -> None:
    for mode in ("once", "none"):
        with pytest.raises(Refused, match=r"^not today \(7\)$") as caught:
            recorded(tape, refused_flow, mode)
        assert (type(caught.value), caught.value.code) == (Refused, 7)
    assert not ran


def test_a_replayed_run_reads_as_the_recorded_one(tape: Path) -> None:
    def states() -> list[tuple[str, int, str]]:
        with engine_over(MemoryStore()) as engine, use_cassette(tape, "once"):
            in_time(all_ways)
            rows = engine.store.task_runs(1)
        top = [row for row in rows if not row.parent]
        return [(row.task, row.attempts, row.state.name) for row in top]

    first = states()
    assert ("stumble", 3, "Completed") in first
    ran.clear()
    assert states() == first
    assert not ran


def test_the_retry_of_a_map_fails_first_and_then_completes(tape: Path) -> None:
    def retried() -> tuple[list[str], list[int]]:
        mapped = broken_at_first.map(range(3))
        mapped.wait()
        before = [each.state.name for each in mapped]
        mapped.retry().wait()
        return before, mapped.result()

    body = flow(retried, name="replayed-retry")
    for mode in ("once", "none"):
        assert recorded(tape, body, mode) == (["Completed", "Failed", "Completed"], [0, 1, 2])
    assert not ran


def test_the_retry_of_a_flow_is_replayed(tape: Path) -> None:
    body = flow(lambda: broken_at_first(1), name="replayed-again", retries=1)
    for mode in ("once", "none"):
        assert recorded(tape, body, mode) == 1
    assert not ran


def test_a_call_that_is_not_there_is_one_clear_error(tape: Path) -> None:
    recorded(tape, lambda: one("a"))
    with pytest.raises(NotRecorded) as caught:
        recorded(tape, lambda: one("b"), "once")
    text = str(caught.value)
    assert 'locate(name="b") is not in the cassette ' in text
    assert 'tape.json. It has locate(name="a").' in text
    assert "--tidegate-record=new_episodes" in text
    assert "\n" not in text
    assert not ran


def test_a_miss_that_code_swallows_is_told_at_the_end(tape: Path) -> None:
    recorded(tape, lambda: one("a"))

    def careful() -> str:
        try:
            return str(locate("b"))
        except Exception:
            return "fallback"

    with pytest.raises(NotRecorded, match="locate"):
        recorded(tape, flow(careful, name="replayed-careful"), "none")


def test_none_needs_a_cassette_and_says_how_to_make_one(tape: Path) -> None:
    told = r"locate\(name=\"a\"\) cannot be replayed: there is no cassette .*tape\.json\..*record_mode='once'"
    with pytest.raises(NotRecorded, match=told):
        recorded(tape, lambda: one("a"), "none")
    recorded(tape, lambda: None, "none")
    recorded(tape, lambda: None, "once")
    assert not tape.exists(), "an empty one would make the next `once` fail"


def test_flows_on_several_threads_are_recorded_together(tape: Path) -> None:
    def several() -> list[Any]:
        runs = [one.submit(f"{at}") for at in range(20)]
        return [run.result().name for run in runs]

    assert recorded(tape, several, "once") == recorded(tape, several, "none") == [f"{at}" for at in range(20)]
    assert not ran


def test_new_episodes_runs_what_is_missing_and_keeps_the_rest(tape: Path) -> None:
    first = recorded(tape, lambda: one("a"))
    both = flow(lambda: [locate("a"), locate("b")], name="replayed-one")
    second = recorded(tape, both, "new_episodes")
    assert (second[0], dict(ran)) == (first, {"locate b": 1})
    assert recorded(tape, both, "none") == second


def test_all_runs_everything_and_records_it_anew(tape: Path) -> None:
    recorded(tape, lambda: one("a"))
    recorded(tape, lambda: one("b"), "all")
    assert dict(ran) == {"locate b": 1}
    assert '"a"' not in tape.read_text()


def test_the_file_is_the_same_for_the_same_runs_and_shows_what_was_called(tape: Path) -> None:
    def call() -> Any:
        return asyncio.run(gathered(["a", "b"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Counter, "total", lambda _: 1)
        recorded(tape, call, "all")
        first = tape.read_text()
        recorded(tape, call, "all")
    assert tape.read_text() == first
    call_a = json.loads(first)["runs"]["replayed-async#1"][0]
    assert (call_a["task"], call_a["inputs"], call_a["ends"]) == (
        "ask_later",
        {"name": "a"},
        [{"returned": ["a", "1"]}],
    )


def test_a_result_that_is_no_plain_data_is_told_and_kept_as_a_pickle_if_allowed(tape: Path) -> None:
    @task
    def odd() -> Any:
        ran["odd"] += 1
        return Counter(a=1)

    body = flow(lambda: odd(), name="replayed-odd")
    with pytest.raises(NotRecorded, match=r"odd\(\) is not in the cassette.*returned Counter.*allow_pickle"):
        recorded(tape, body, "all")
    recorded(tape, body, "all", allow_pickle=True)
    with pytest.raises(NotRecorded, match="allow_pickle=True"):
        recorded(tape, body, "none")
    assert recorded(tape, body, "none", allow_pickle=True) == Counter(a=1)
    assert not ran


def test_new_episodes_record_what_could_not_be_recorded_before(tape: Path) -> None:
    @task
    def improved() -> Any:
        ran["improved"] += 1
        return Results.now

    class Results:
        now: ClassVar[Any] = Counter(a=1)

    body = flow(lambda: improved(), name="replayed-improved")
    with pytest.raises(NotRecorded, match="Counter"):
        recorded(tape, body, "once")
    Results.now = {"a": 1}
    assert recorded(tape, body, "new_episodes") == {"a": 1}
    assert ran["improved"] == 1
    assert recorded(tape, body, "none") == {"a": 1}
    assert not ran


def test_no_secret_goes_into_the_file(tape: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @task
    def log_in(user: str, api_key: str) -> Any:
        return SecretStr("hush")

    @task
    def tell() -> str:
        return f"Bearer {os.environ['SERVICE_TOKEN']}"

    with pytest.raises(NotRecorded, match="holds a secret"):
        recorded(tape, flow(lambda: log_in("me", "abc-123-xyz"), name="replayed-login"), "all", allow_pickle=True)
    text = tape.read_text()
    assert "hush" not in text
    assert "abc-123" not in text
    assert '"<hidden>"' in text
    monkeypatch.setenv("SERVICE_TOKEN", "abcdef-12345")
    with pytest.raises(UsageError, match=r"not written.*SERVICE_TOKEN"):
        recorded(tape, flow(lambda: tell(), name="replayed-tell"), "all")
    assert "abcdef" not in tape.read_text()


def test_settings_replay_in_the_whole_process(tape: Path) -> None:
    recorded(tape, lambda: one("a"))
    ran.clear()
    with engine_over(MemoryStore()):
        with temporary_settings({"cassette": tape}):
            assert one("a").name == "a"
            with pytest.raises(NotRecorded, match="locate"):
                one("b")
            assert not ran
        one("b")
    assert dict(ran) == {"locate b": 1}


def test_a_wrong_mode_and_a_foreign_file_are_one_line(tape: Path) -> None:
    with pytest.raises(InvalidOption, match="record_mode must be one of 'none', 'once', 'new_episodes', 'all'"):
        recorded(tape, lambda: one("a"), "some")  # type: ignore[arg-type]
    tape.parent.mkdir()
    tape.write_text("[]")
    with pytest.raises(UsageError, match="is no cassette"):
        recorded(tape, lambda: one("a"))
