"""The server of the graph pages: plain HTTP on 127.0.0.1, for whoever has the token.

Everything lies below ``/TOKEN/``: the list of runs with its script and its ``rows``, and for each run below its number
the page, its two scripts, ``events`` (server-sent events, all the way down) and ``hear`` (a POST for each message up).
Nothing else is there, and nothing is looked at before host and token are right.
"""

from __future__ import annotations

import json
import secrets
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty
from typing import Any

from tidegate.errors import StoreError

from . import runs_page
from .graph_page import GraphPage
from .graph_pages import GraphPages

HOST = "127.0.0.1"

MAX_BODY = 2_000_000
"""Bytes of a message at most: the largest is an answer to a form, whose fields are bounded (`form.MAX_TEXT`)."""

QUIET = 10.0
"""Seconds without news after which something is sent all the same, to find out whether the page is still there."""

STALLED = 30.0
"""Seconds that a connection may neither take nor bring anything."""

_STATIC = Path(__file__).parent / "static"
_HTML, _SCRIPT, _TEXT = (f"text/{kind}; charset=utf-8" for kind in ("html", "javascript", "plain"))
_LIST = {"": ("runs.html", _HTML), "runs.js": ("runs.js", _SCRIPT)}
_PAGE = {
    "": ("page.html", _HTML),
    "page.js": ("page.js", _SCRIPT),
    "run_graph.js": ("run_graph.js", _SCRIPT),
}

# The style sheet of the panel is text in its script; images are artifacts, which come as data.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class PageServer(ThreadingHTTPServer):
    """Serves the graph pages of a store, that of `run` first, or else the list.

    Raises `OSError` if the port is taken; port 0 is any that is free.
    """

    daemon_threads = True

    def __init__(self, pages: GraphPages, run: int | None = None, port: int = 0) -> None:
        self.pages = pages
        self._first = "" if run is None else f"{run}/"
        self._token = secrets.token_urlsafe(32)
        self._once = secrets.token_urlsafe(32)
        super().__init__((HOST, port), _Handler)
        self.hosts = tuple(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    @property
    def address(self) -> str:
        """Where the first page is; whoever knows it may look at all runs and control them."""
        return f"http://{self.hosts[0]}/{self._token}/{self._first}"

    @property
    def first_address(self) -> str:
        """An address that leads there once: other users of the machine can read what a browser is started with."""
        return f"http://{self.hosts[0]}/{self._once}/"

    def place(self, path: str) -> str | None:
        """What a path names below the token; null without the right one."""
        _, token, *rest = path.split("/", 2)
        known = compare_digest(token.encode(), self._token.encode())
        return rest[0] if known and rest else None

    def lets_in(self, path: str) -> bool:
        """True for the first visit at the address that leads there once."""
        if not compare_digest(path.encode(), f"/{self._once}/".encode()):
            return False
        self._once = secrets.token_urlsafe(32)
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that has gone away is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "tidegate", ""
    timeout = STALLED

    def do_GET(self) -> None:
        place = self._place()
        if place is None:
            return
        if place in _LIST:
            self._file(*_LIST[place])
        elif place == "rows":
            self._rows()
        elif (found := self._page(place, {*_PAGE, "events"})) is not None:
            page, name = found
            if name == "events":
                self._tell(page)
            else:
                self._file(*_PAGE[name])

    def do_POST(self) -> None:
        place = self._place()
        found = None if place is None else self._page(place, {"hear"})
        if found is None:
            return
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or len(size) > 8 or int(size) > MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A message has {MAX_BODY:,} bytes at most.")
            return
        body = self.rfile.read(int(size))
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A message is JSON.")
            return
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST, "This is not JSON.")
            return
        found[0].hear(message)
        self._reply(HTTPStatus.NO_CONTENT)

    def _place(self) -> str | None:
        """What is asked for; null if it was refused, or led elsewhere."""
        hosts, origins = self.headers.get_all("Host", []), self.headers.get_all("Origin", [])
        if len(hosts) != 1 or hosts[0] not in self.server.hosts or origins not in ([], [f"http://{hosts[0]}"]):
            self._refuse(HTTPStatus.FORBIDDEN, "This server is for pages of its own on this machine.")
        elif self.command == "GET" and self.server.lets_in(self.path):
            self._reply(HTTPStatus.SEE_OTHER, location=self.server.address)
        elif (place := self.server.place(self.path)) is not None:
            return place
        else:
            self._refuse(HTTPStatus.FORBIDDEN, "The token is missing or wrong; the terminal shows the whole address.")
        return None

    def _page(self, place: str, names: set[str]) -> tuple[GraphPage, str] | None:
        """The page of the run that a place is below of, and which of these names it is; null if it was refused."""
        number, slash, name = place.partition("/")
        known = slash and name in names and number.isascii() and number.isdecimal() and len(number) < 16
        try:
            page = self.server.pages.of(int(number)) if known else None
        except StoreError as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            return None
        if page is None:
            told = f"There is no flow run {number} in this store." if known else "There is nothing here."
            self._refuse(HTTPStatus.NOT_FOUND, told)
            return None
        return page, name

    def _rows(self) -> None:
        try:
            text = runs_page.rows(self.server.pages.store)
        except StoreError as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        else:
            self._reply(HTTPStatus.OK, text.encode(), _HTML)

    def _file(self, name: str, kind: str) -> None:
        self._reply(HTTPStatus.OK, (_STATIC / name).read_bytes(), kind)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True  # there may be a body that nobody has read
        self._reply(status, f"{why}\n".encode(), _TEXT)

    def _reply(self, status: HTTPStatus, body: bytes = b"", kind: str = "", location: str = "") -> None:
        self._head(status, {"Content-Type": kind, "Content-Length": str(len(body)), "Location": location})
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, text in {**_HEADERS, **headers}.items():
            if text:
                self.send_header(name, text)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _tell(self, page: GraphPage) -> None:
        """Everything that the page is told, until it goes away."""
        self.close_connection = True
        self._head(HTTPStatus.OK, {"Content-Type": "text/event-stream; charset=utf-8"})
        listening = page.open()
        try:
            while True:
                try:
                    told = listening.get(timeout=QUIET)
                except Empty:
                    self.wfile.write(b":\n\n")
                    continue
                if told is None:
                    return
                self.wfile.write(f"event: {told[0]}\ndata: {told[1]}\n\n".encode())
        finally:
            page.close(listening)

    def log_message(self, *args: Any) -> None:
        """The terminal is for the address alone."""
