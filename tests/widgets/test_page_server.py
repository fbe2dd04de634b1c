"""The server of the graph pages: who is let in, what is there, and that a look runs nothing."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from support.flows import SOON, engine_over, flow, task
from tidegate.errors import StoreError
from tidegate.store.sqlite import SQLiteStore
from tidegate_widgets.graph_page import BACKLOG, GraphPage
from tidegate_widgets.graph_pages import GraphPages
from tidegate_widgets.page_server import MAX_BODY, PageServer

JSON = {"Content-Type": "application/json"}
HELLO = json.dumps({"kind": "hello", "id": "a"})
METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT")
UNPICKLED: list[bool] = []


def note_unpickled() -> None:
    UNPICKLED.append(True)


class Trap:
    """Tells when it is unpickled."""

    def __reduce__(self) -> Any:
        return note_unpickled, ()


@task(persist_result=True)
def trapped() -> Trap:
    return Trap()


@flow(persist_result=True)
def page_server_flow() -> None:
    trapped()


@flow(flow_run_name='<script>alert("name")</script>')
def page_server_other() -> None:
    raise ValueError("<b>no</b> " + "x" * 500)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    """One that has a run which has ended."""
    store = SQLiteStore(tmp_path / "home" / "store.db")
    with engine_over(store):
        page_server_flow(return_state=True)
    store.close()
    looking = SQLiteStore(tmp_path / "home" / "store.db")
    yield looking
    looking.close()


@pytest.fixture
def page(store: SQLiteStore) -> GraphPage:
    """The page of that run, whose calls are done by `turn`."""
    return GraphPage(store, 1)


@pytest.fixture
def server(store: SQLiteStore) -> Iterator[PageServer]:
    pages = GraphPages(store)
    with PageServer(pages, 1) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join(SOON)
    pages.close()
    assert [each.name for each in threading.enumerate() if each.name.startswith("tidegate-page-")] == []


class Answer(NamedTuple):
    status: int
    headers: Message
    text: str


def ask(server: PageServer, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=SOON)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return Answer(answer.status, answer.headers, text)


def below(server: PageServer, name: str = "", run: str = "1/") -> str:
    """A path below the page of a run, or with an empty `run` below the list."""
    return urlsplit(server.address).path.removesuffix("1/") + run + name


@pytest.mark.parametrize("place", ["", "rows", "runs.js", "1/", "1/page.js", "1/run_graph.js", "1/events", "1/hear"])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_there_for_whoever_has_no_token(server: PageServer, place: str, method: str) -> None:
    token = below(server, run="").strip("/")
    wrong = (token[:-1] + ("a" if token[-1] != "a" else "b"), token[:-1], token + "a", "", "%" + token, "%C3%A9" * 43)
    paths = [f"/{place}", *(f"/{each}/{place}" for each in wrong), f"/x/../{token}/{place}"]
    for path in paths:
        status = ask(server, path, method, HELLO, **JSON).status
        assert status in (400, 403, 501), path


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
    ],
    ids=str,
)
def test_another_site_is_refused_although_it_has_the_token(server: PageServer, headers: dict[str, str]) -> None:
    port = server.server_port
    sent = {name: text.replace("{port}", str(port)) for name, text in headers.items()}
    for place in ("", "rows", "1/", "1/page.js", "1/run_graph.js", "1/events"):
        assert ask(server, below(server, place, run=""), **sent).status == 403
    assert ask(server, below(server, "hear"), "POST", HELLO, **JSON, **sent).status == 403


def test_what_is_there_with_the_token(server: PageServer) -> None:
    for place, kind in (("", "text/html"), ("page.js", "text/javascript"), ("run_graph.js", "text/javascript")):
        for host in ("127.0.0.1", "localhost"):
            answer = ask(server, below(server, place), Host=f"{host}:{server.server_port}")
            assert (answer.status, answer.headers.get_content_type()) == (200, kind)
        answer = ask(server, below(server, place))
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert [name for name in answer.headers if name.startswith("Access-Control")] == []
    for place in ("x", "../page.js", "%2e%2e/page_server.py", "page.js/", "page.js?x", "events/x", "hear"):
        assert ask(server, below(server, place)).status == 404, place
    for place, kind in (("", "text/html"), ("runs.js", "text/javascript"), ("rows", "text/html")):
        answer = ask(server, below(server, place, run=""))
        assert (answer.status, answer.headers.get_content_type()) == (200, kind)
    for place in (
        "x",
        "1",
        "2/",
        "0/",
        "-1/",
        "1e0/",
        "%31/",
        "9" * 400 + "/",
        "events",
    ):
        assert ask(server, below(server, place, run="")).status == 404, place
    assert "There is no flow run 2 in this store." in text_of(server, "2/")
    for method in METHODS[2:]:
        assert ask(server, below(server), method).status in (400, 501)


def text_of(server: PageServer, place: str) -> str:
    """What is there, below the list."""
    return ask(server, below(server, place, run="")).text


def test_the_list_has_the_newest_run_first_and_nothing_that_a_run_says_is_markup(
    server: PageServer, store: SQLiteStore
) -> None:
    with engine_over(SQLiteStore(store.path)) as other:
        page_server_other(return_state=True)
        other.store.close()
    found = text_of(server, "rows")
    assert [each[1] for each in re.findall(r'<a href="(\d+)/">(\d+)</a>', found)] == ["2", "1"]
    first, second = found.split("</tr>")[:2]
    assert "&lt;script&gt;alert(&quot;name&quot;)&lt;/script&gt;" in first
    assert ">Failed</td>" in first
    assert "&lt;b&gt;no&lt;/b&gt;" in first
    assert "x" * 120 not in first
    assert "page-server-flow" in second
    assert ">Completed</td>" in second
    assert "<script" not in found
    assert ask(server, below(server, run="2/")).status == 200


def test_subflows_are_not_in_the_list(server: PageServer, store: SQLiteStore) -> None:
    @flow
    def page_server_caller() -> None:
        for _ in range(3):
            page_server_flow(return_state=True)

    with engine_over(SQLiteStore(store.path)) as other:
        page_server_caller(return_state=True)
        other.store.close()
    assert re.findall(r'<a href="(\d+)/">', text_of(server, "rows")) == ["2", "1"]


def test_a_store_that_cannot_be_read_is_said(
    server: PageServer, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise StoreError("The store is locked.")

    monkeypatch.setattr(store, "flow_run", locked)
    monkeypatch.setattr(store, "flow_runs", locked)
    for place in ("rows", "1/"):
        answer = ask(server, below(server, place, run=""))
        assert (answer.status, answer.text) == (503, "The store is locked.\n")


def test_what_may_be_said_is_json_of_a_size(server: PageServer) -> None:
    def say(body: str, **headers: str) -> int:
        return ask(server, below(server, "hear"), "POST", body, **{**JSON, **headers}).status

    assert say(HELLO) == 204
    assert say(HELLO, **{"Content-Type": "text/plain"}) == 415
    assert say("{") == 400
    assert say("[" * 100_000) == 400
    for length in ("-1", "1e3", str(MAX_BODY + 1), "9" * 400):
        assert say("", **{"Content-Length": length}) == 413
    for odd in ("null", "[]", '{"kind":"do","id":1,"verb":"pause"}', '{"kind":"do","id":"a","verb":"__init__"}'):
        assert say(odd) == 204


def test_the_address_for_the_browser_leads_there_once(server: PageServer) -> None:
    first = urlsplit(server.first_address).path
    assert ask(server, first, Host="evil.example").status == 403
    answer = ask(server, first)
    assert (answer.status, answer.headers["Location"]) == (303, server.address)
    assert ask(server, first).status == 403
    assert ask(server, below(server)).status == 200


def turn(page: GraphPage) -> None:
    """Do what is to be done on the thread of the page."""
    while (call := page._next_call(0.0)) is not None:
        call()


def told(listening: Queue[Any]) -> list[tuple[str, Any]]:
    found = list[tuple[str, Any]]()
    while not listening.empty():
        kind, text = listening.get_nowait()
        found.append((kind, json.loads(text)))
    return found


def test_a_look_at_a_task_run_loads_no_result(page: GraphPage) -> None:
    listening = page.open()
    turn(page)
    page.hear({"kind": "hello", "id": "a"})
    page.hear({"kind": "get", "id": "b", "member": 1})
    found = list[tuple[str, Any]]()
    while len(found) < 3:  # the last one comes from a thread that reads the store
        call = page._next_call(SOON + time.monotonic())
        assert call is not None
        call()
        found += told(listening)
    live, (_, snap), (_, answer) = found
    assert (live, snap["view"]["run"]["state"]["name"]) == (("live", False), "Completed")
    assert "not loaded for a look" in answer["member"]["result_note"]
    assert UNPICKLED == []


def test_a_page_that_does_not_listen_is_let_go(page: GraphPage) -> None:
    deaf, listening = page.open(), page.open()
    turn(page)
    for number in range(BACKLOG + 5):
        page.hear({"kind": "hello", "id": str(number)})
        turn(page)
        told(listening)
    assert deaf.qsize() == BACKLOG
    page.hear({"kind": "hello", "id": "last"})
    turn(page)
    assert [kind for kind, _ in told(listening)] == ["message"]
    last = [deaf.get_nowait() for _ in range(BACKLOG)][-1]
    assert last is None
