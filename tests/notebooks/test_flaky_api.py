"""The service that the notebooks talk to, over real sockets."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from notebooks import flaky_api
from notebooks.flaky_api import STATES, Faults, FlakyApi

FOLDER = Path(flaky_api.__file__).parent


@pytest.fixture(scope="module")
def api() -> Iterator[FlakyApi]:
    with flaky_api.start(seed=7, quota=100_000, slow_seconds=0.05) as running:
        yield running


@pytest.fixture(scope="module")
def client(api: FlakyApi) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.url, trust_env=False) as running:
        yield running


def codes(count: int) -> list[str]:
    return [f"{number:04X}" for number in range(count)]


def statuses(api: FlakyApi, iatas: list[str]) -> list[int]:
    with httpx.Client(base_url=api.url, trust_env=False) as client, ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda iata: client.get(f"/v1/airports/{iata}?state=WA").status_code, iatas))


def first_that(faults: Faults, *, fails: bool) -> str:
    return next(iata for iata in codes(10_000) if faults.draw(iata, 1)[0] is fails)


def test_it_answers_with_facts(client: httpx.Client) -> None:
    response = client.get("/v1/airports/sea", params={"state": "WA"})
    assert response.status_code == 200
    assert response.http_version == "HTTP/1.1"
    assert response.json() == {
        "iata": "SEA",
        "state": "WA",
        "region": "West",
        "timezone": "America/Los_Angeles",
        "basis": "state",
    }


def test_connections_are_kept_alive(api: FlakyApi) -> None:
    with httpx.Client(base_url=api.url, trust_env=False, limits=httpx.Limits(max_connections=1)) as client:
        ports = {
            client.get("/v1/airports/PDX?state=OR").extensions["network_stream"].get_extra_info("client_addr")
            for _ in range(5)
        }
    assert len(ports) == 1


@pytest.mark.parametrize("state", ["", "NA", "nan", None])
def test_a_row_without_a_state_is_refused_every_time(client: httpx.Client, state: str | None) -> None:
    for _ in range(3):
        response = client.get("/v1/airports/CLD", params={} if state is None else {"state": state})
        assert response.status_code == 422
        assert response.json() == {"error": "state is required", "iata": "CLD"}


def test_an_unknown_state_is_refused(client: httpx.Client) -> None:
    response = client.get("/v1/airports/CLD", params={"state": "XX"})
    assert (response.status_code, response.json()["error"]) == (422, "unknown state 'XX'")


def test_coordinates_may_stand_in_for_the_state(client: httpx.Client) -> None:
    place: dict[str, str | float] = {"state": "NA", "latitude": 33.127231, "longitude": -117.278727}
    found = client.get("/v1/airports/CLD", params=place).json()
    assert (found["state"], found["region"], found["basis"]) == ("CA", "West", "coordinates")
    far = client.get("/v1/airports/ROP", params={"latitude": 14.078333, "longitude": 101.378334}).json()
    assert far["degrees_away"] > 30
    assert client.get("/v1/airports/CLD", params={**place, "latitude": 91}).status_code == 422


@pytest.mark.parametrize("path", ["/", "/v1/airports/", "/v1/airports/TOOLONG", "/v2/airports/SEA"])
def test_other_paths_are_not_found(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_some_attempts_fail_and_the_next_one_works(api: FlakyApi, client: httpx.Client) -> None:
    unlucky = first_that(api.faults, fails=True)
    assert [client.get(f"/v1/airports/{unlucky}?state=WA").status_code for _ in range(2)] == [500, 200]


def test_the_quota_is_kept_and_says_when_to_come_back() -> None:
    with flaky_api.start(quota=2, failure_rate=0, slow_rate=0) as api:
        with httpx.Client(base_url=api.url, trust_env=False) as client:
            answers = (client.get("/v1/airports/SEA?state=WA") for _ in range(200))
            throttled = next(answer for answer in answers if answer.status_code == 429)
            wait = float(throttled.headers["Retry-After"])
            assert 0 < wait <= 1
            time.sleep(wait)  # what the service asks of its users, and the point of the test
            assert client.get("/v1/airports/SEA?state=WA").status_code == 200
        assert api.stats().throttled == 1


def test_a_throttled_request_is_no_attempt() -> None:
    faults = Faults()
    unlucky = first_that(faults, fails=True)
    with flaky_api.start(quota=0) as api, httpx.Client(base_url=api.url, trust_env=False) as client:
        assert client.get(f"/v1/airports/{unlucky}?state=WA").status_code == 429
        assert api.stats().failed == 0


def test_the_same_seed_gives_the_same_accidents() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    iatas = codes(300)
    runs = []
    for _ in range(2):
        with flaky_api.start(seed, quota=100_000, failure_rate=0.2, slow_rate=0) as api:
            random.shuffle(iatas)
            runs.append(sorted(zip(iatas, statuses(api, iatas), strict=True)))
    assert runs[0] == runs[1]
    expected = {iata: 500 if Faults(seed, failure_rate=0.2, slow_rate=0).draw(iata, 1)[0] else 200 for iata in iatas}
    assert dict(runs[0]) == expected


def test_another_seed_gives_other_accidents() -> None:
    def unlucky(seed: int) -> set[str]:
        return {iata for iata in codes(1000) if Faults(seed).draw(iata, 1)[0]}

    assert unlucky(1) == unlucky(1) != unlucky(2)


def test_the_shares_are_as_asked() -> None:
    drawn = [Faults().draw(iata, attempt) for iata in codes(3000) for attempt in (1, 2)]
    assert sum(fails for fails, _ in drawn) / len(drawn) == pytest.approx(0.02, abs=0.006)
    assert sum(seconds == 0.3 for _, seconds in drawn) / len(drawn) == pytest.approx(0.01, abs=0.005)
    assert all(0.005 <= seconds <= 0.020 for _, seconds in drawn if seconds != 0.3)


def test_slow_answers_are_slow() -> None:
    with flaky_api.start(slow_rate=1, slow_seconds=0.2) as api:
        response = httpx.get(f"{api.url}/v1/airports/SEA?state=WA", trust_env=False)
        assert response.elapsed.total_seconds() >= 0.2
        assert api.stats().slow == 1


def test_the_counts_add_up() -> None:
    with flaky_api.start(quota=40, failure_rate=0.2, slow_rate=0) as api:
        got = statuses(api, codes(80))
        with httpx.Client(base_url=api.url, trust_env=False) as client:
            got.append(client.get("/v1/airports/SEA?state=NA").status_code)
        stats = api.stats()
    assert stats.requests == 81
    assert (stats.served, stats.throttled, stats.failed, stats.refused) == tuple(
        got.count(status) for status in (200, 429, 500, 422)
    )
    assert api.stats() == stats, "the last counts stay readable after the end"


def test_stop_ends_the_process_and_may_be_repeated() -> None:
    api = flaky_api.start()
    assert "running" in repr(api)
    api.stop()
    api.stop()
    assert "stopped" in repr(api)
    with pytest.raises(ProcessLookupError):
        os.kill(api.pid, 0)
    with pytest.raises(httpx.ConnectError):
        httpx.get(api.url, trust_env=False)


def test_a_service_that_died_can_be_stopped() -> None:
    api = flaky_api.start()
    os.kill(api.pid, signal.SIGKILL)
    api.stop()
    assert "stopped" in repr(api)


def test_a_service_that_does_not_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="did not start"):
        flaky_api.start()


PARENT = """
import json, os, sys
sys.path.insert(0, {folder!r})
import flaky_api
api = flaky_api.start()
{extra}
print(json.dumps([api.pid, api.url]), flush=True)
sys.stdin.read()
"""


def launch(extra: str = "") -> tuple[subprocess.Popen[bytes], int, str]:
    code = PARENT.format(folder=str(FOLDER), extra=extra)
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid, url = json.loads(parent.stdout.readline())
    return parent, pid, url


def finish(parent: subprocess.Popen[bytes]) -> None:
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdin.close()
    parent.stdout.close()
    parent.wait(10)


def ended(pidfd: int, timeout: float = 10.0) -> bool:
    ready, _, _ = select.select([pidfd], [], [], timeout)
    return bool(ready)


def test_it_ends_when_its_parent_is_killed() -> None:
    parent, pid, url = launch()
    service = os.pidfd_open(pid)
    try:
        assert httpx.get(f"{url}/v1/airports/SEA?state=NA", trust_env=False).status_code == 422
        os.kill(parent.pid, signal.SIGKILL)
        assert ended(service)
    finally:
        os.close(service)
        finish(parent)


def test_it_ends_with_its_parent_even_if_a_forked_child_lives_on() -> None:
    # The child holds the service's standard input open, so the end of the pipe is not seen.
    parent, pid, _ = launch("if (fork := os.fork()) == 0: sys.stdin.read(); os._exit(0)")
    service = os.pidfd_open(pid)
    try:
        os.kill(parent.pid, signal.SIGKILL)
        assert ended(service)
    finally:
        os.close(service)
        finish(parent)


def test_it_ends_when_its_parent_ends_in_order() -> None:
    parent, pid, _ = launch()
    service = os.pidfd_open(pid)
    try:
        finish(parent)
        assert parent.returncode == 0
        assert ended(service)
    finally:
        os.close(service)


def test_an_interrupt_of_the_parent_s_process_group_does_not_reach_it() -> None:
    with flaky_api.start() as api:
        assert os.getpgid(api.pid) != os.getpgid(0)
        os.kill(api.pid, signal.SIGINT)
        assert httpx.get(f"{api.url}/v1/airports/SEA?state=NA", trust_env=False).status_code == 422


def test_every_state_has_a_middle_that_is_nearest_to_itself() -> None:
    assert len(STATES) == 56
    for state in STATES.values():
        nearest = min(STATES.values(), key=lambda other: other.degrees_from(state.latitude, state.longitude))
        assert nearest is state


def test_the_airports_of_the_notebook_are_known() -> None:
    vega = pytest.importorskip("vega_datasets")
    airports = vega.data.airports(keep_default_na=False)
    assert len(airports) == 3376
    assert set(airports.state) - set(STATES) == {"NA"}
    assert (airports.state == "NA").sum() == 12
