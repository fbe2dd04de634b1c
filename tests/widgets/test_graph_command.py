"""``tidegate graph``: what it says, what it opens, and what it refuses in one line."""

from __future__ import annotations

import socket
import threading
import urllib.request
import webbrowser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.flows import engine_over, flow, opened
from tidegate.cli import main
from tidegate.store.sqlite import SQLiteStore
from tidegate_widgets.page_server import PageServer


@flow
def graph_command_flow() -> None:
    """Does nothing."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    store = SQLiteStore(tmp_path / "store.db")
    with engine_over(store):
        graph_command_flow()
    store.close()
    return tmp_path


def call(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home), "graph", *arguments])


def refused(result: Result) -> str:
    assert result.exit_code == 2
    assert result.stdout == ""
    line: str = result.stderr
    assert line.count("\n") == 1, line
    return line


@pytest.mark.parametrize(("given", "script"), [(["1"], "page.js"), ([], "runs.js")], ids=["a run", "the list"])
def test_the_browser_is_started_with_an_address_that_works_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], script: str
) -> None:
    came, pages, serve = threading.Event(), list[str](), PageServer.serve_forever

    def open_browser(address: str) -> bool:
        with urllib.request.urlopen(address, timeout=10) as answer:
            pages.extend((address, answer.geturl(), answer.read().decode()))
        came.set()
        return True

    def run(server: PageServer) -> None:
        threading.Thread(target=serve, args=(server, 0.01), daemon=True).start()
        opened(came, "the browser")
        server.shutdown()
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", open_browser)
    monkeypatch.setattr(PageServer, "serve_forever", run)
    result = call(home, *given)
    assert result.exit_code == 0, result.output
    first, address, text = pages
    assert address in result.stdout
    assert first not in result.stdout
    assert script in text
    assert "Ctrl-C ends these pages, and no run." in result.stdout


def test_no_browser_is_started_where_none_is_wanted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: PageServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", lambda _: pytest.fail("a browser was started"))
    monkeypatch.setattr(PageServer, "serve_forever", run)
    assert call(home, "1", "--no-browser").exit_code == 0


def test_what_cannot_be_shown_is_refused_in_one_line(home: Path) -> None:
    assert "There is no flow run 7. `tidegate runs` lists" in refused(call(home, "7"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refused(call(home, "1", "--port", str(port), "--no-browser"))
        assert told.startswith(f"tidegate: Port {port} cannot be used: ")
        assert told.endswith("Leave out --port for a free one.\n")
