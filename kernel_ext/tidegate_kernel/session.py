"""What the extension shows: a graph under the cell for each root flow run, and its static picture beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from IPython.display import HTML, display

from tidegate import Flow, host
from tidegate.dead_runs import look
from tidegate.engine import engine
from tidegate.errors import TidegateError, UsageError
from tidegate.latch import Latch, block
from tidegate.model.views import FlowRow
from tidegate.recovery import resume, resume_plan
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
    """A graph that stands under a cell, and the place of its static picture."""

    run: FlowRun | None
    """The run in this process; null for one of the record."""
    graph: RunGraph
    place: Any
    drawn: Latch

    def leave_picture(self) -> None:
        """Put the final picture in its place."""
        block(self.drawn, FINAL_SECONDS)
        self.place.update(HTML(picture(self.graph.view)))


class Session:
    """The extension in one IPython shell."""

    def __init__(self, shell: Any, settings: TideGate) -> None:
        self._shell = shell
        self._settings = settings
        self._shown: list[_Shown] = []
        """Those whose run has not ended."""
        self._last: dict[int, _Shown] = {}
        """The last graph of each run, by its number."""
        self._resuming: set[int] = set()
        """Runs that were resumed from their page and have not begun yet."""
        self.flow_again: Callable[[int], Flow[..., Any]] | None = None
        """Gives the flow of a run of the record as it is now; may raise anything."""
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
        if run.number in self._resuming:
            self._resuming.discard(run.number)
            self._again(run)
            return
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
        self._keep(_Shown(run, graph, place, drawn), run.number)

    def _keep(self, shown: _Shown, number: int) -> None:
        if shown.run is not None:
            self._shown.append(shown)
        self._last[number] = shown
        shown.graph.offer_resume(partial(self.resume_here, number))

    def flow_ended(self) -> None:
        """Leave the final picture under the cell; on the main thread, when the root flow run has ended."""
        ended = [each for each in self._shown if each.run is None or each.run.finished.done()]
        self._shown = [each for each in self._shown if each not in ended]
        for each in ended:
            each.leave_picture()

    def show_record(self, number: int) -> _Shown:
        """Show a run of the record: its graph, and the picture for whoever cannot show a widget."""
        graph = RunGraph.of_record(engine(), number)
        keep_page_shell(graph.comm)
        display(graph)
        place = display(HTML(picture(graph.view)), display_id=True)
        drawn = Latch()
        drawn.set()
        return _Shown(None, graph, place, drawn)

    def attach(self, row: FlowRow) -> None:
        """Bring the graph of a run back: of one that this kernel runs as it goes on, else from the record, with a
        button that resumes it."""
        last = self._last.get(row.number)
        if last is not None and row.number in engine().live:
            display(last.graph)
            return
        look(engine(), row)
        self._keep(self.show_record(row.number), row.number)

    # Resume from the page -------------------------------------------------------------------------------------------

    def resume_here(self, number: int) -> None:
        """Go on with a run, on a thread of its own: the kernel is free meanwhile.

        Its graph goes on where it stands, and so does its output.  Raises `TidegateError` if it cannot be.
        """
        plan = resume_plan(number)
        assert self.flow_again is not None
        context = self._last[number].graph.context.copy()  # and not that of a cell that runs, and serves the page
        try:
            made = context.run(self.flow_again, number)
        except TidegateError:
            raise
        except Exception as error:  # a cell that does not compile any more, or a magic that refuses it
            raise UsageError(f"{plan.title} cannot be resumed: {error}") from error
        if made.is_async:
            raise UsageError(f"{plan.title} awaits. `await tidegate.resume({number})` in a cell goes on with it.")
        self._resuming.add(number)
        call = partial(context.run, self._carry_on, number, made)
        threading.Thread(target=call, name=f"tidegate-run-{number}", daemon=True).start()

    def _carry_on(self, number: int, flow: Flow[..., Any]) -> None:
        shown = self._last[number]
        try:
            resume(number, flow)
        except Exception as error:  # nobody waits for this thread: the page is told
            shown.graph.tell(str(error))
        finally:
            self._resuming.discard(number)
        shown.leave_picture()

    def _again(self, run: FlowRun) -> None:
        shown = self._last[run.number]
        shown.run, drawn = run, Latch()
        shown.drawn = drawn
        shown.graph.on_final = lambda view: drawn.set()
        shown.graph.again(run)
