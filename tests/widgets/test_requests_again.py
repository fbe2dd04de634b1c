"""A page sends a request again until it is answered; it is carried out once, whichever of them comes in first."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from support.flows import Feed, flow, opened
from tidegate.engine import Engine, using
from tidegate.model.states import StateType
from tidegate.store.memory import MemoryStore
from tidegate_widgets.conversation import KNOWN_IDS
from tidegate_widgets.run_graph import RunGraph


def test_a_request_that_comes_in_twice_is_carried_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, answered = threading.Event(), threading.Semaphore(0)
    sent: list[dict[str, Any]] = []

    def send(_: RunGraph, content: dict[str, Any], buffers: Any = None) -> None:
        sent.append(content)
        if content["kind"] == "ack":
            answered.release()

    monkeypatch.setattr(RunGraph, "send", send)

    @flow
    def work() -> None:
        go_on.wait()

    with using(Engine(MemoryStore())) as engine:
        feed, graphs = Feed(engine), list[RunGraph]()
        engine.observers.append(lambda run: graphs.append(RunGraph.follow(run)))
        thread = threading.Thread(target=work)
        thread.start()
        feed.await_flow(StateType.RUNNING)

        def ask(verb: str, key: str) -> None:
            graphs[0].conversation.hear({"kind": "do", "id": key, "verb": verb})

        for verb, key in (("pause", "a"), ("pause", "a"), ("resume", "b"), ("pause", "a"), ("resume", "b")):
            ask(verb, key)
        assert answered.acquire(timeout=5)
        assert answered.acquire(timeout=5)
        go_on.set()
        thread.join(5)
        ended = threading.Event()
        feed.runs[0].finished.on_done(ended.set)
        opened(ended)
        assert feed.flow_states() == ["Running", "Paused", "Resuming", "Completed"]
        for number in range(3 * KNOWN_IDS):
            assert graphs[0].conversation._is_new(f"c{number}")
        assert len(graphs[0].conversation._known) <= KNOWN_IDS
    acks = [(each["id"], each["ok"]) for each in sent if each["kind"] == "ack"]
    assert acks == [("a", True), ("b", True)]
