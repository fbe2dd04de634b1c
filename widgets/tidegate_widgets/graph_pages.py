"""The graph pages of the flow runs of one store: a run has its page, and a thread for it, once somebody looks."""

from __future__ import annotations

import threading

from tidegate.errors import NotRunning
from tidegate.ports import EventStore

from .graph_page import GraphPage


class GraphPages:
    """Makes pages as they are asked for; they stay until `close`: of a task run there are a few bytes."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self._pages: dict[int, tuple[GraphPage, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def of(self, number: int) -> GraphPage | None:
        """The page of a flow run; null if there is no such run.  Raises `StoreError` if it cannot be read."""
        with self._lock:
            known = self._pages.get(number)
            if known is not None:
                return known[0]
            if self._closed or self.store.flow_run(number) is None:
                return None
            try:
                page = GraphPage(self.store, number)
            except NotRunning:  # it was removed this moment
                return None
            thread = threading.Thread(target=page.run, name=f"tidegate-page-{number}", daemon=True)
            self._pages[number] = page, thread
            thread.start()
            return page

    def close(self) -> None:
        """No page looks into the store any more when this returns."""
        with self._lock:
            self._closed = True
            ended = list(self._pages.values())
        for page, _ in ended:
            page.end()
        for _, thread in ended:
            thread.join(5)
