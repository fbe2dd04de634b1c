"""What the extension shows: a graph under the cell for each root flow run, and its static picture beside it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from IPython.display import HTML, display

from tidegate import host
from tidegate.engine import engine
from tidegate.latch import Latch, block
from tidegate.run.flow_run import FlowRun
from tidegate_widgets.picture import picture
from tidegate_widgets.protocol import View
from tidegate_widgets.run_graph import RunGraph

from .pump import Pump
from .settings import TideGate
from .wire import Wire, keep_page_shell

FINAL_SECONDS = 2.0
"""How long a cell waits for its final picture at most, once its flow has ended."""

SETTLE_SECONDS = 0.05
"""By then the kernel has said idle for a comm message that it handled itself."""


@dataclass
class _Shown:
    """A graph that stands under the present cell, and the place of its static picture."""

    run: FlowRun
    graph: RunGraph
    place: Any
    drawn: Latch


class Session:
    """The extension in one IPython shell."""

    def __init__(self, shell: Any, settings: TideGate) -> None:
        self._shell = shell
        self._settings = settings
        self._shown: list[_Shown] = []
        wire = Wire.of(shell)
        self._pump = Pump(wire, self.flow_ended) if wire is not None else None

    def start(self) -> None:
        """Watch for flow runs and host the main thread."""
        engine().observers.append(self.flow_began)
        host.use(self._pump)

    def stop(self) -> None:
        """Back to how it was."""
        engine().observers.remove(self.flow_began)
        host.use(None)
        if self._pump is not None:
            self._pump.close()

    def flow_began(self, run: FlowRun) -> None:
        """Show the graph of a root flow run, in the thread that runs it."""
        if not self._settings.auto_display or threading.current_thread() is not threading.main_thread():
            return
        graph = RunGraph.follow(run)
        keep_page_shell(graph.comm)
        drawn = Latch()

        def final(view: View) -> None:
            drawn.set()

        graph.on_final = final
        if self._pump is not None:
            pump, portal = self._pump, run.engine.portal
            graph.on_msg(lambda *_: portal.after(SETTLE_SECONDS, pump.heard))
        display(graph)
        place = display(HTML(""), display_id=True)
        # Where no form can be drawn, the picture says what the run waits for.
        graph.on_question = lambda view: place.update(HTML(picture(view) if "question" in view["run"] else ""))
        self._shown.append(_Shown(run, graph, place, drawn))

    def flow_ended(self) -> None:
        """Leave the final picture under the cell; on the main thread, when the root flow run has ended."""
        ended = [each for each in self._shown if each.run.finished.done()]
        self._shown = [each for each in self._shown if each not in ended]
        for each in ended:
            block(each.drawn, FINAL_SECONDS)
            each.place.update(HTML(picture(each.graph.view)))

    def show_record(self, number: int) -> None:
        """Show a run of the record: its graph, and the picture for whoever cannot show a widget."""
        graph = RunGraph.of_record(engine(), number)
        keep_page_shell(graph.comm)
        display(graph)
        display(HTML(picture(graph.view)))
