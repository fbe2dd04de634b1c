"""Prints of a run go to its logger as well, line by line, and nobody else's do."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import contextvars
import io
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from support.flows import flow, in_time, seeded, task
from tidegate import get_run_logger
from tidegate.engine import Engine
from tidegate.logs import setup_logging
from tidegate.printing import PrintCapture, unheard
from tidegate.run_logs import capture_prints


class Heard:
    """Who takes lines, and how many of them at most."""

    def __init__(self, room: int = 10**9) -> None:
        self.lines: list[str] = []
        self.missed = 0
        self._room = room

    def line(self, text: str) -> bool:
        self.lines.append(text)
        return len(self.lines) < self._room

    def miss(self, lines: int) -> None:
        self.missed += lines

    def scope(self) -> PrintCapture:
        return PrintCapture(self.line, self.miss)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    """Everything is as it was, whatever happened."""
    out, before = sys.stdout, builtins.print
    yield
    assert sys.stdout is out
    assert builtins.print is before


@pytest.mark.conforms("B234")
def test_a_print_in_the_scope_is_a_record_at_info_and_outside_it_is_a_print(
    stored: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    @task
    def work() -> None:
        print("before")
        with capture_prints(get_run_logger()):
            print("in the", "task", 1)
        print("after")

    @flow
    def main() -> int:
        work()
        with capture_prints(get_run_logger()):
            print("in the flow")
        return 1

    print("no run")
    main()
    found = [(line.task_run, line.level, line.text) for _, line in stored.store.logs(1) if line.text.startswith("in")]
    assert found == [(1, logging.INFO, "in the task 1"), (0, logging.INFO, "in the flow")]
    assert not {"before", "after", "no run"} & {line.text for _, line in stored.store.logs(1)}
    # What is logged appears as it would without us, too.
    assert capsys.readouterr().out.splitlines() == ["no run", "before", "in the task 1", "after", "in the flow"]


def test_the_record_names_the_line_that_printed(engine: Engine) -> None:
    seen: list[logging.LogRecord] = []
    setup_logging()
    logger = logging.getLogger("tidegate.flow_runs")

    def watching(record: logging.LogRecord) -> bool:
        seen.append(record)
        return True

    logger.addFilter(watching)

    @flow
    def main() -> int:
        with capture_prints(get_run_logger()):
            print("here")
            seen.append(logging.makeLogRecord({"lineno": sys._getframe().f_lineno - 1}))
        return 1

    main()
    logger.removeFilter(watching)
    record = next(each for each in seen if each.msg == "here")
    assert (record.pathname, record.lineno) == (__file__, seen[seen.index(record) + 1].lineno)


@pytest.mark.conforms("B235")
def test_other_files_are_left_alone(heard: Heard, capsys: pytest.CaptureFixture[str]) -> None:
    other = io.StringIO()
    with heard.scope():
        print("to a file", file=other)
        print("to the error stream", file=sys.stderr)
        with contextlib.redirect_stdout(other):
            print("redirected")
        print("heard")
        assert builtins.print.__module__ == "builtins"
    assert heard.lines == ["heard"]
    assert other.getvalue() == "to a file\nredirected\n"
    assert capsys.readouterr() == ("heard\n", "to the error stream\n")


def test_pieces_are_joined_into_lines(heard: Heard) -> None:
    with heard.scope():
        print("a", end="")
        print("b", "c", sep="-", end=" ")
        print("d\ne\n\nf")
        print()
        print("unfinished", end="")
        assert heard.lines == ["ab-c d", "e", "", "f", ""]
    assert heard.lines[-1] == "unfinished"


def test_of_a_progress_bar_the_end_is_kept(heard: Heard) -> None:
    with heard.scope():
        for percent in range(0, 101, 10):
            print(f"\r{percent:3} %", end="")
        print()
        print("dos line\r")
    assert heard.lines == ["100 %", "dos line"]


def test_random_pieces_give_the_lines_of_the_whole(heard: Heard) -> None:
    chance = seeded("pieces")
    text = "".join(chance.choice("ab \nç") for _ in range(5_000)) + "x"
    with heard.scope():
        at = 0
        while at < len(text):
            size = chance.randint(1, 40)
            sys.stdout.write(text[at : at + size])
            at += size
    assert heard.lines == text.split("\n")


def test_an_unfinished_line_is_bounded(heard: Heard) -> None:
    with heard.scope():
        for _ in range(1_000):
            print("x" * 1_000, end="")
        print("\nnext")
    assert [len(line) for line in heard.lines] == [65_537 + 0, 4]


@pytest.mark.conforms("B235")
def test_threads_outside_of_the_scope_just_print(heard: Heard) -> None:
    with heard.scope():
        in_time(lambda: print("another thread"))
        context = contextvars.copy_context()
        in_time(lambda: context.run(print, "a thread of the scope"))
    in_time(lambda: context.run(print, "too late"))
    assert heard.lines == ["a thread of the scope"]


def test_threads_of_one_scope_do_not_mix_their_lines(heard: Heard, hectic: None) -> None:
    def say(name: str) -> None:
        for _ in range(200):
            print(name, name, name)

    with heard.scope():
        contexts = [contextvars.copy_context() for _ in range(4)]
        threads = [threading.Thread(target=each.run, args=(say, str(i))) for i, each in enumerate(contexts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(heard.lines) == sorted(f"{i} {i} {i}" for i in range(4) for _ in range(200))


def test_asyncio_tasks_of_one_scope_do_not_mix_their_lines(heard: Heard) -> None:
    async def say(name: str) -> None:
        for _ in range(5):
            print(name, end="")
            await asyncio.sleep(0)
        print()

    async def main() -> None:
        await asyncio.gather(say("a"), say("b"))

    with heard.scope():
        asyncio.run(main())
    assert sorted(heard.lines) == ["aaaaa", "bbbbb"]


def test_inner_scopes_hear_instead_of_outer_ones() -> None:
    outer, inner = Heard(), Heard()
    with outer.scope():
        print("outer")
        with inner.scope():
            print("inner")
        with unheard():
            print("nobody")
        print("outer again")
    assert (outer.lines, inner.lines) == (["outer", "outer again"], ["inner"])


@pytest.mark.conforms("B234")
def test_scopes_that_end_in_any_order_leave_the_stream_as_it_was(heard: Heard) -> None:
    out = sys.stdout
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with Heard().scope():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with heard.scope():
        thread.start()
        assert entered.wait(10)
        print("both")
    assert sys.stdout is not out  # the other one still listens
    print("one")
    leave.set()
    thread.join()
    assert sys.stdout is out
    assert heard.lines == ["both"]


def test_a_stream_put_back_late_by_somebody_else_still_prints(heard: Heard, capsys: pytest.CaptureFixture[str]) -> None:
    out = sys.stdout
    with contextlib.ExitStack() as stack:
        scope = contextlib.ExitStack()
        scope.enter_context(heard.scope())
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))  # remembers our stream
        scope.close()
    print("still there")
    with heard.scope():
        print("heard again")
    assert heard.lines == ["heard again"]
    assert sys.stdout is out
    assert capsys.readouterr().out == "still there\nheard again\n"


def test_whoever_takes_the_lines_may_print(heard: Heard, capsys: pytest.CaptureFixture[str]) -> None:
    def line(text: str) -> bool:
        print("taken:", text)
        return heard.line(text)

    with PrintCapture(line, heard.miss):
        print("once")
    assert heard.lines == ["once"]
    assert sorted(capsys.readouterr().out.splitlines()) == ["once", "taken: once"]


def test_it_is_otherwise_the_stream_below(heard: Heard) -> None:
    class Kernel(io.StringIO):
        parent = ""

        def set_parent(self, parent: str) -> None:
            self.parent = parent

    below = Kernel()
    with contextlib.redirect_stdout(below), heard.scope():
        sys.stdout.set_parent("cell 7")  # type: ignore[union-attr]
        sys.stdout.writelines(["a\n", "b\n"])
        print("c", flush=True)
        assert not sys.stdout.isatty()
        with pytest.raises(TypeError):
            sys.stdout.write(b"bytes")  # type: ignore[arg-type]
    assert below.parent == "cell 7"
    assert below.getvalue() == "a\nb\nc\n"
    assert heard.lines == ["a", "b", "c"]


def test_without_a_stream_nothing_is_heard_and_nothing_breaks(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        with heard.scope():
            print("nowhere")
    assert heard.lines == []


def test_beyond_what_is_wanted_lines_are_only_counted() -> None:
    heard = Heard(room=3)
    with heard.scope():
        for x in range(5):
            print(x)
        print("6\n7\n8")
        print("9", end="\n")
        print("unfinished", end="")
    assert heard.lines == ["0", "1", "2"]
    assert heard.missed == 6
