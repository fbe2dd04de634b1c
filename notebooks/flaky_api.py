"""A small HTTP service about airports that behaves like the ones people have to live with.

It runs in a process of its own on a free port of this machine, needs nothing but the standard library, and ends with
the process that started it::

    api = flaky_api.start(seed=7)
    httpx.get(f"{api.url}/v1/airports/SEA", params={"state": "WA"}).json()
    api.stats()
    api.stop()

`GET /v1/airports/{iata}?state=XX` answers with the census region and the time zone of a US airport.  It has

* a quota: at most `quota` requests in any second, and 429 with `Retry-After` in (decimal) seconds above that;
* accidents: a share `failure_rate` of the attempts ends in a 500;
* a slow tail: most answers take 5 to 20 ms, a share `slow_rate` takes `slow_seconds`;
* a rule: a row without a state is refused with 422.  `latitude` and `longitude` may stand in for the state.

Accidents and delays are drawn from the seed, the airport and the number of the attempt, so they are the same in every
run; a request that was throttled or refused is no attempt.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import re
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import weakref
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

# State, census region, main time zone, and roughly where its middle is.
_TABLE = """
AK West America/Anchorage 64.0 -152.0|AL South America/Chicago 32.8 -86.8|AR South America/Chicago 34.8 -92.4
AS Territories Pacific/Pago_Pago -14.3 -170.7|AZ West America/Phoenix 34.3 -111.7
CA West America/Los_Angeles 37.2 -119.3|CO West America/Denver 39.0 -105.5
CQ Territories Pacific/Saipan 15.2 145.7|CT Northeast America/New_York 41.6 -72.7
DC South America/New_York 38.9 -77.0|DE South America/New_York 39.0 -75.5|FL South America/New_York 28.6 -82.4
GA South America/New_York 32.6 -83.4|GU Territories Pacific/Guam 13.4 144.8|HI West Pacific/Honolulu 20.3 -156.4
IA Midwest America/Chicago 42.1 -93.5|ID West America/Boise 44.4 -114.6|IL Midwest America/Chicago 40.0 -89.2
IN Midwest America/Indiana/Indianapolis 39.9 -86.3|KS Midwest America/Chicago 38.5 -98.4
KY South America/New_York 37.5 -85.3|LA South America/Chicago 31.1 -92.0
MA Northeast America/New_York 42.3 -71.8|MD South America/New_York 39.0 -76.8
ME Northeast America/New_York 45.4 -69.2|MI Midwest America/Detroit 44.9 -85.7
MN Midwest America/Chicago 46.3 -94.3|MO Midwest America/Chicago 38.4 -92.5|MS South America/Chicago 32.7 -89.7
MT West America/Denver 47.0 -109.6|NC South America/New_York 35.6 -79.4|ND Midwest America/Chicago 47.4 -100.5
NE Midwest America/Chicago 41.5 -99.8|NH Northeast America/New_York 43.7 -71.6
NJ Northeast America/New_York 40.2 -74.7|NM West America/Denver 34.4 -106.1
NV West America/Los_Angeles 39.3 -116.6|NY Northeast America/New_York 42.9 -75.5
OH Midwest America/New_York 40.4 -82.8|OK South America/Chicago 35.6 -97.5
OR West America/Los_Angeles 43.9 -120.6|PA Northeast America/New_York 40.9 -77.8
PR Territories America/Puerto_Rico 18.2 -66.4|RI Northeast America/New_York 41.7 -71.6
SC South America/New_York 33.9 -80.9|SD Midwest America/Chicago 44.4 -100.2|TN South America/Chicago 35.9 -86.4
TX South America/Chicago 31.5 -99.3|UT West America/Denver 39.3 -111.7|VA South America/New_York 37.5 -78.9
VI Territories America/St_Thomas 18.0 -64.8|VT Northeast America/New_York 44.1 -72.7
WA West America/Los_Angeles 47.4 -120.4|WI Midwest America/Chicago 44.6 -90.0
WV South America/New_York 38.6 -80.6|WY West America/Denver 43.0 -107.6
"""
_MISSING = {"", "NA", "N/A", "NAN", "NONE", "NULL"}
_PATH = re.compile(r"/v1/airports/([A-Za-z0-9]{3,4})")
_MAX_CONNECTIONS = 256
_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class State:
    """One row of the service's only table."""

    code: str
    region: str
    timezone: str
    latitude: float
    longitude: float

    def degrees_from(self, latitude: float, longitude: float) -> float:
        """Return the angle between its middle and a point, in degrees."""
        a, b = math.radians(self.latitude), math.radians(latitude)
        turn = math.radians(longitude - self.longitude)
        cosine = math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(turn)
        return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def _read_states() -> dict[str, State]:
    rows = (row.split() for row in re.split(r"[|\n]", _TABLE.strip()))
    return {code: State(code, region, zone, float(lat), float(lon)) for code, region, zone, lat, lon in rows}


STATES = _read_states()


@dataclass(frozen=True, slots=True)
class Faults:
    """How the service misbehaves."""

    seed: int = 7
    quota: int = 400
    failure_rate: float = 0.02
    slow_rate: float = 0.01
    slow_seconds: float = 0.3
    usual_seconds: tuple[float, float] = (0.005, 0.020)

    def draw(self, iata: str, attempt: int) -> tuple[bool, float]:
        """Return whether this attempt fails and how many seconds it takes."""
        dice = random.Random(f"{self.seed}/{iata}/{attempt}")
        fails = dice.random() < self.failure_rate
        slow = dice.random() < self.slow_rate
        return fails, self.slow_seconds if slow else dice.uniform(*self.usual_seconds)


@dataclass(frozen=True, slots=True)
class Stats:
    """What the service has done so far."""

    requests: int = 0
    served: int = 0
    throttled: int = 0
    failed: int = 0
    refused: int = 0
    slow: int = 0


class FlakyApi:
    """A running service.  It stops on `stop()`, at the end of a `with` block, or when this process ends."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, faults: Faults) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.faults = faults
        self.pid = process.pid
        self._last = Stats()
        self._stop = weakref.finalize(self, _end, process)

    def stats(self) -> Stats:
        """Return the counts of the service; after `stop()` those of its last moment."""
        if self._stop.alive:
            self._last = Stats(**self._get("/stats"))
        return self._last

    def stop(self) -> None:
        """End the service; requests under way are dropped.  Stopping twice is fine."""
        if self._stop.alive:
            with contextlib.suppress(OSError):  # it may be gone already, which is what is wanted
                self.stats()
            self._stop()

    def _get(self, path: str) -> dict[str, int]:
        # No proxy, whatever the environment says: this never leaves the machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + path, timeout=_STOP_TIMEOUT) as response:
            counts: dict[str, int] = json.load(response)
        return counts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<flaky API at {self.url}, {'running' if self._stop.alive else 'stopped'}>"


def start(
    seed: int = 7,
    *,
    quota: int = 400,
    failure_rate: float = 0.02,
    slow_rate: float = 0.01,
    slow_seconds: float = 0.3,
) -> FlakyApi:
    """Start the service and return when it accepts requests."""
    faults = Faults(seed, quota, failure_rate, slow_rate, slow_seconds)
    options = json.dumps({**asdict(faults), "parent": os.getpid()})
    command = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), options]
    # A session of its own: an interrupt of the notebook goes to the kernel's whole process group.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdout is not None
    with process.stdout:
        ready, _, _ = select.select([process.stdout], [], [], _START_TIMEOUT)
        line = process.stdout.readline() if ready else b""
    if not line.strip().isdigit():
        _end(process)
        raise RuntimeError(f"the flaky API did not start (exit status {process.returncode})")
    return FlakyApi(process, int(line), faults)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# -- from here on: the process of the service


class _Service(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults = faults
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self._recent: deque[float] = deque()
        self._connections = threading.BoundedSemaphore(_MAX_CONNECTIONS)

    def answer(self, iata: str, query: Mapping[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Return status, body and headers for one request, in the time that it takes."""
        wait = self._over_quota()
        if wait is not None:
            return 429, {"error": "quota exceeded", "quota": self.faults.quota}, {"Retry-After": f"{wait:.2f}"}
        facts = _facts(iata, query)
        if isinstance(facts, str):
            self.count("refused")
            return 422, {"error": facts, "iata": iata}, {}
        with self.lock:
            self._attempts[iata] += 1
            attempt = self._attempts[iata]
        fails, seconds = self.faults.draw(iata, attempt)
        if seconds == self.faults.slow_seconds:
            self.count("slow")
        time.sleep(seconds)
        self.count("failed" if fails else "served")
        if fails:
            return 500, {"error": "something went wrong; it may work next time", "attempt": attempt}, {}
        return 200, facts, {}

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def _over_quota(self) -> float | None:
        now = time.monotonic()
        with self.lock:
            self.counts["requests"] += 1
            while self._recent and self._recent[0] <= now - 1.0:
                self._recent.popleft()
            if len(self._recent) < self.faults.quota:
                self._recent.append(now)
                return None
            self.counts["throttled"] += 1
            oldest = self._recent[0] if self._recent else now
            return math.ceil((oldest + 1.0 - now) * 100) / 100

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._connections.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together
    timeout = 30
    server: _Service
    server_version = "flaky"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/stats":
            with self.server.lock:
                self._send(200, dict(self.server.counts), {})
            return
        match = _PATH.fullmatch(parts.path)
        if match is None:
            self._send(404, {"error": f"there is nothing at {parts.path[:200]}"}, {})
            return
        query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self._send(*self.server.answer(match[1].upper(), query))

    def _send(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(payload)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


def _facts(iata: str, query: Mapping[str, str]) -> dict[str, Any] | str:
    """Return what is known about an airport, or why it is refused."""
    code = query.get("state", "").strip().upper()
    if code not in _MISSING:
        state = STATES.get(code)
        if state is None:
            return f"unknown state {code[:20]!r}"
        return {"iata": iata, "state": code, "region": state.region, "timezone": state.timezone, "basis": "state"}
    try:
        point = float(query["latitude"]), float(query["longitude"])
    except (KeyError, ValueError):
        return "state is required"
    if not (abs(point[0]) <= 90 and abs(point[1]) <= 180):
        return "latitude or longitude is out of range"
    state = min(STATES.values(), key=lambda state: state.degrees_from(*point))
    return {
        "iata": iata,
        "state": state.code,
        "region": state.region,
        "timezone": state.timezone,
        "basis": "coordinates",
        "degrees_away": round(state.degrees_from(*point), 1),
    }


def _wait_for_parent(pid: int) -> None:
    """Return when the parent closes our standard input or ends.

    A process that the parent forks may hold the other end of the pipe open, so its end is watched as well.
    """
    watched: list[int] = [sys.stdin.fileno()]
    if hasattr(os, "pidfd_open"):
        try:
            watched.append(os.pidfd_open(pid))
        except ProcessLookupError:
            return
    if os.getppid() == pid:
        select.select(watched, [], [])


def _serve(options: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = options.pop("parent")
    with _Service(Faults(**options)) as service:
        threading.Thread(target=service.serve_forever, args=(0.05,), daemon=True).start()
        sys.stdout.write(f"{service.server_port}\n")
        sys.stdout.close()
        _wait_for_parent(parent)
        service.shutdown()


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
