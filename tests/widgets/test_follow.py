"""Who follows a run hears of it until it has ended and is saved."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import copy_context

import pytest

from support.flows import flow, opened
from tidegate.engine import Engine, using
from tidegate.errors import StoreError
from tidegate.model.events import Event, FlowState, SavingChanged
from tidegate.run.flow_run import FlowRun
from tidegate.store.memory import MemoryStore
from tidegate_widgets.follow import Follower


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
    heard: list[Event] = []
    ended, saved = threading.Event(), threading.Event()

    def draw(news: Sequence[Event]) -> None:
        heard.extend(news)
        if any(isinstance(each, FlowState) and each.state.is_final() for each in news):
            ended.set()
        if any(isinstance(each, SavingChanged) and not each.problem for each in news):
            saved.set()

    def follow(run: FlowRun) -> None:
        Follower(engine, run.number, draw, copy_context())

    engine.observers.append(follow)
    with using(engine):
        flow(lambda: 1, name="work")()
    opened(ended, "the end")
    assert not saved.is_set()
    store.behind = False
    if unsaved:
        opened(saved, "that it is saved")
        assert heard[-1] == SavingChanged(1, heard[-1].at, "")
    done = threading.Event()
    engine.portal.after(0.0, done.set)  # behind what drew it
    opened(done)
    assert 1 not in engine._subscribers, "nobody listens any more"
