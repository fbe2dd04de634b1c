"""The fold that is quick for a storm of states comes to what the one comes to that takes them one by one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

import pytest

from support.flows import seeded
from tidegate.engine import Engine
from tidegate.model.events import Event, FlowCreated, TaskCreated, TaskState
from tidegate.model.states import (
    AwaitingRetry,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    NotReady,
    Running,
    State,
    Throttled,
)
from tidegate.store.memory import MemoryStore
from tidegate_widgets.follow import Follower
from tidegate_widgets.graph_model import GraphModel, MoreCreated
from tidegate_widgets.wording import node_state

CREATED = FlowCreated(1, 0.0, "0" * 32, "work", "brave-otter", "{}", None, "")


def a_state(chance: random.Random, at: float) -> State:
    return chance.choice([
        Running(at=at), Running(at=at), Running("Retrying", at=at), Completed(1, at=at), Completed(1, at=at),
        Failed(ValueError("x"), at=at), Cancelled("c", at=at), AwaitingRetry(at + 1, at=at), NotReady("b", at=at),
        Throttled(at + 1, at=at), Crashed("z", at=at),
    ])  # fmt: skip


def a_history(chance: random.Random) -> list[Event]:
    """Task runs of three call sites, created and changed in any order; some states are of runs that nobody knows."""
    events: list[Event] = []
    attempts: dict[int, int] = {}
    at, last = 1.0, 0
    for _ in range(chance.randrange(5, 120)):
        at += chance.random()
        if not last or chance.random() < 0.25:
            last += chance.choice([1, 1, 1, 2])
            source = chance.choice(["", "s", "u"])
            events.append(
                TaskCreated(1, at, last, "step", chance.randrange(1, 4), last - 1, {}, 0, False, (), "k", 0, source)
            )
            attempts[last] = 0
        else:
            number = chance.choice(list(attempts)) if chance.random() < 0.97 else last + 5
            state = a_state(chance, at)
            begins = state.is_running()
            attempts[number] = attempts.get(number, 0) + begins
            source = chance.choice(["", "", "w"]) if begins else ""
            events.append(TaskState(1, at, number, state, attempts[number], source=source))
            if number > last:
                del attempts[number]
    return events


def one_by_one(events: Sequence[Event]) -> GraphModel:
    model = GraphModel()
    model.apply([CREATED])
    for event in events:
        if not isinstance(event, TaskState):
            model.apply([event])
        elif (node := model.node_of(event.task_run)) is not None:
            model._task_state(node, event)
            model.apply()
    return model


def written(engine: Engine, events: Sequence[Event], chance: random.Random) -> GraphModel:
    """As a follower does it: states are written where they happen, unless others wait for the next drawing, and of task
    runs that are made there is little more than the number."""
    model = GraphModel()
    model.apply([CREATED])
    follower = Follower(engine, 1, lambda news: None, copy_context(), model.runs.write)
    follower._asleep = False  # it is not to draw by itself
    for event in events:
        follower._note((event,))
        if chance.random() < 0.1:
            model.apply(follower._take())
            follower._waiting.clear()
    model.apply(follower._take())
    follower._end()
    return model


def told(model: GraphModel) -> list[Any]:
    """All that is known of each node and each task run."""
    found: list[Any] = [sorted(model.dirty)]
    for site, node in model.nodes.items():
        known = (
            node.counts,
            str(node_state(node)),
            node.attempts,
            node.first_started,
            round(node.seconds, 6),
            node.ended,
        )
        found += [site, node.members, node.in_a_row, known, node.not_ready, node.throttled, node.versions]
        found += [[each.number for each in node.failures], model.letters(node)]
        found += [[(model.runs.span(each), model.runs.attempts[each], model.version(each)) for each in node.members]]
    return found


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_states_in_a_row_come_to_what_they_come_to_one_by_one(most: int) -> None:
    chance = seeded(f"fold_{most}")
    for _ in range(200):
        events = a_history(chance)
        model = GraphModel()
        model.apply([CREATED])
        at = 0
        while at < len(events):
            step = chance.randint(1, most)
            model.apply(events[at : at + step])
            at += step
        assert told(model) == told(one_by_one(events))


def test_more_of_a_call_site_that_nobody_heard_of_is_passed_over() -> None:
    model = GraphModel()
    model.apply([CREATED, MoreCreated(1, 3, "", [1, 2]), TaskState(1, 1.0, 1, Running(at=1.0), 1)])
    model.apply([TaskCreated(1, 1.0, 3, "step", 4, 2, {})])
    assert [(node.site, node.members) for node in model.nodes.values()] == [(4, [3])]


def test_states_that_are_written_where_they_happen_come_to_the_same() -> None:
    chance, engine = seeded("fold_written"), Engine(MemoryStore())
    for _ in range(300):
        known, events = set[int](), list[Event]()
        for event in a_history(chance):  # what happens here is of task runs that exist
            if isinstance(event, TaskCreated):
                known.add(event.task_run)
            if not isinstance(event, TaskState) or event.task_run in known:
                events.append(event)
        assert told(written(engine, events, chance)) == told(one_by_one(events))
