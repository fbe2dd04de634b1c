"""Who follows a run hears of it until it has ended and is saved."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import copy_context
from itertools import count
from queue import SimpleQueue

import pytest

from support.flows import SOON, flow, opened
from tidegate.engine import Engine, using
from tidegate.errors import StoreError
from tidegate.model.events import Event, FlowState, Links, SavingChanged, TaskCreated, TaskState
from tidegate.model.states import Completed, Failed, Paused, Running
from tidegate.run.flow_run import FlowRun
from tidegate.store.memory import MemoryStore
from tidegate_widgets import follow
from tidegate_widgets.follow import Follower
from tidegate_widgets.graph_model import MoreCreated, News


class Behind(MemoryStore):
    """A store that cannot keep the end of a run at once."""

    def __init__(self, behind: bool) -> None:
        super().__init__()
        self.behind = behind

    def commit(self, event: Event) -> None:
        super().commit(event)
        if self.behind:
            raise StoreError("The disk is full.")

    def is_behind(self) -> bool:
        return self.behind


@pytest.mark.parametrize("unsaved", [True, False])
def test_an_end_that_is_not_saved_is_not_the_last_that_is_heard(unsaved: bool) -> None:
    store = Behind(unsaved)
    engine = Engine(store)
    heard: list[News] = []
    ended, saved = threading.Event(), threading.Event()

    def draw(news: Sequence[News]) -> None:
        heard.extend(news)
        if any(isinstance(each, FlowState) and each.state.is_final() for each in news):
            ended.set()
        if any(isinstance(each, SavingChanged) and not each.problem for each in news):
            saved.set()

    def begin(run: FlowRun) -> None:
        Follower(engine, run.number, draw, copy_context())

    engine.observers.append(begin)
    with using(engine):
        flow(lambda: 1, name="work")()
    opened(ended, "the end")
    assert not saved.is_set()
    store.behind = False
    if unsaved:
        opened(saved, "that it is saved")
        assert isinstance(heard[-1], SavingChanged)
        assert heard[-1].problem == ""
    done = threading.Event()
    engine.portal.after(0.0, done.set)  # behind what drew it
    opened(done)
    assert 1 not in engine._subscribers, "nobody listens any more"


def test_a_state_of_the_run_is_drawn_in_the_middle_of_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "INTERVAL", 3600.0)
    engine, drawn = Engine(MemoryStore()), SimpleQueue[Sequence[News]]()
    follower = Follower(engine, 1, drawn.put, copy_context())

    def happens(*events: Event) -> None:
        for event in events:
            follower._note((event,))

    first, second = (TaskCreated(1, 0.0, number, "step", 1, number - 1, {}) for number in (1, 2))
    of_subflow, paused = FlowState(2, 0.0, Running()), FlowState(1, 0.0, Paused())
    happens(first)
    assert drawn.get(timeout=SOON) == [first]
    happens(second, of_subflow)
    for _ in range(3):  # whatever was to come of it has come
        done = threading.Event()
        engine.portal.after(0.0, done.set)
        opened(done)
    assert drawn.empty(), "what is not pressing waits for its time"
    happens(paused)
    assert drawn.get(timeout=SOON) == [MoreCreated(1, 1, "", [2]), of_subflow, paused]
    happens(FlowState(1, 0.0, Completed()))
    assert drawn.get(timeout=SOON)


def test_an_end_that_comes_while_something_else_is_drawn_is_drawn_as_well() -> None:
    engine, drawn = Engine(MemoryStore()), SimpleQueue[Sequence[News]]()
    end = FlowState(1, 0.0, Completed())

    def draw(news: Sequence[News]) -> None:
        if end not in news:
            follower._note((end,))
        drawn.put(news)

    follower = Follower(engine, 1, draw, copy_context())
    follower._note((first := TaskCreated(1, 0.0, 1, "step", 1, 0, {}),))
    assert drawn.get(timeout=SOON) == [first]
    assert drawn.get(timeout=SOON) == [end]


def test_a_state_that_was_written_is_no_news_and_is_drawn_all_the_same() -> None:
    engine, drawn = Engine(MemoryStore()), SimpleQueue[Sequence[News]]()
    written = list[Event]()

    def write(event: TaskState) -> bool:
        if event.state.is_failed():
            return False
        written.append(event)
        return True

    began, failed, done = (TaskState(1, 0.0, 1, state, 1) for state in (Running(), Failed("bad"), Completed()))
    busy = threading.Event()

    def draw(news: Sequence[News]) -> None:
        drawn.put(news)
        opened(busy)

    follower = Follower(engine, 1, draw, copy_context(), write)
    follower._note((began,))
    assert drawn.get(timeout=SOON) == []
    assert written == [began]
    follower._note((failed,))
    follower._note((done,))
    assert written == [began], "what comes behind one that waits waits as well"
    busy.set()
    assert drawn.get(timeout=SOON) == [failed, done]
    engine.portal.after(0.0, (drew := threading.Event()).set)  # behind what drew it
    opened(drew)
    follower._note((done,))
    assert written == [began, done], "nothing waits any more"
    assert drawn.get(timeout=SOON) == []


def test_task_runs_that_differ_in_nothing_that_is_shown_come_together() -> None:
    engine, drawn, busy = Engine(MemoryStore()), SimpleQueue[Sequence[News]](), threading.Event()

    def draw(news: Sequence[News]) -> None:
        drawn.put(news)
        opened(busy)

    def created(number: int, site: int, links: Links, source: str = "a") -> TaskCreated:
        return TaskCreated(1, 0.0, number, "step", site, number - 1, links, source=source)

    follower = Follower(engine, 1, draw, copy_context())
    linked: Links = {"x": (("map", 1, 1),)}
    told = [created(1, 1, {}), created(2, 2, linked)]
    for event in told:
        follower._note((event,))
    for number in (3, 4, 5):
        follower._note((created(number, 2, dict(linked)),))
    follower._note((created(6, 2, linked, "b"),))
    follower._note((created(7, 1, {}),))
    follower._note((other := created(8, 2, {"x": (("future", 7, 7),)}),))
    follower._note((began := TaskState(1, 0.0, 3, Running(), 1),))
    follower._note((again := created(9, 2, linked),))
    busy.set()
    heard = list(drawn.get(timeout=SOON))
    while len(heard) < 8:
        heard += drawn.get(timeout=SOON)
    more = [MoreCreated(1, 2, "a", [3, 4, 5]), MoreCreated(1, 2, "b", [6]), MoreCreated(1, 1, "a", [7])]
    assert heard == [*told, *more, other, began, again]


@pytest.mark.parametrize(("cost", "due"), [(0.0, 0.1), (0.001, 0.2), (9.0, 0.5)])
def test_a_dear_drawing_puts_the_next_one_off(monkeypatch: pytest.MonkeyPatch, cost: float, due: float) -> None:
    engine, drawn = Engine(MemoryStore()), threading.Event()
    worked, asked = count(0.0, cost), list[float]()
    loop = engine.portal.loop()

    def thread_time() -> float:
        asked.append(loop.time())
        return next(worked)

    monkeypatch.setattr(follow, "thread_time", thread_time)
    follower = Follower(engine, 1, lambda news: drawn.set(), copy_context())
    follower._note((TaskCreated(1, 0.0, 1, "step", 1, 0, {}),))
    opened(drawn)
    done = threading.Event()
    engine.portal.after(0.0, done.set)  # behind what drew it
    opened(done)
    assert follower._next - asked[0] == pytest.approx(due, abs=0.02)
