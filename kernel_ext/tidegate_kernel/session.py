"""What the extension shows: a graph under the cell for each root flow run, and its static picture beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from IPython.display import HTML, display

from tidegate import Flow, detached, host
from tidegate.dead_runs import call_off, look
from tidegate.detached import carry_out_detached
from tidegate.engine import engine
from tidegate.errors import NotRunning, TidegateError, UsageError
from tidegate.failed_inputs import FailedInputs
from tidegate.flow_runs import new_flow_run
from tidegate.interrupts import guard
from tidegate.latch import Latch, block
from tidegate.model.states import State
from tidegate.model.views import FlowRow
from tidegate.portal import spawn
from tidegate.recovery import Ended, rerun, resume, resume_plan, resumption
from tidegate.run.flow_run import FlowRun
from tidegate.run.terms import OnChange
from tidegate.settings import settings
from tidegate_widgets.picture import picture
from tidegate_widgets.protocol import View
from tidegate_widgets.run_graph import RunGraph

from .cell import Body
from .detached import DetachedCell
from .displays import CellDisplays
from .nested_asyncio import explain
from .notebook import LoadedResults
from .pump import Pump
from .settings import TideGate
from .wire import Wire, keep_page_shell

RUN = "run"
"""What a detached run is called in the notebook, unless its cell says otherwise."""

FINAL_SECONDS = 2.0
"""How long a cell waits for its final picture at most, once its flow has ended."""

SETTLE_SECONDS = 0.05
"""By then the kernel has said idle for a comm message that it handled itself."""


class Again(NamedTuple):
    """The flow of a run of the record, as it is now."""

    flow: Flow[..., Any]
    body: Body | None
    """The cell that it is; null for a function."""
    detached: str | None
    """What the run of a detached cell is to be called; null for any other."""


@dataclass
class _Shown:
    """A graph that stands under a cell, and the place of its static picture."""

    run: FlowRun | None
    """The run in this process, while it has not ended; null for one of the record."""
    graph: RunGraph
    place: Any
    drawn: Latch

    def leave_picture(self) -> None:
        """Put the final picture in its place."""
        block(self.drawn, FINAL_SECONDS)
        self.place.update(HTML(picture(self.graph.view)))


class _Nowhere:
    """The place of a picture in a terminal, which shows none."""

    def update(self, shown: object) -> None:
        """Show nothing."""


class Session:
    """The extension in one IPython shell."""

    def __init__(self, shell: Any, settings: TideGate) -> None:
        self._shell = shell
        self._settings = settings
        self._shown: list[_Shown] = []
        """Those whose run has not ended."""
        self._last: dict[int, _Shown] = {}
        """The last graph of each run, by its number."""
        self._failed: tuple[int, FailedInputs] = 0, {}
        """The last run with failures, by its number, and their inputs.  All else that a run was given, returned and
        raised is let go when it has ended, or it would live as long as the notebook."""
        self._resuming: dict[int, Future[FlowRun]] = {}
        """Runs that were resumed on a thread of their own and have not begun yet."""
        self._handles: WeakValueDictionary[int, DetachedCell] = WeakValueDictionary()
        """What the notebook holds of detached runs, by their number."""
        self._displays = CellDisplays(shell)
        self._results = LoadedResults(lambda: self.names)
        self.flow_again: Callable[[int], Again] | None = None
        """Gives the flow of a run of the record as it is now; may raise anything."""
        self._loop = asyncio._get_running_loop()
        """The kernel's own; null in a terminal, which has one only while a cell awaits."""
        wire = Wire.of(shell)
        self._pump = Pump(wire, self.flow_ended) if wire is not None else None

    def start(self) -> None:
        """Watch for flow runs and host the main thread."""
        engine().observers.append(self.flow_began)
        host.use(self._pump)
        detached.use(self.begin_detached)
        self._displays.start()

    def stop(self) -> None:
        """Back to how it was."""
        engine().observers.remove(self.flow_began)
        host.use(None)
        detached.use(None)
        self._displays.stop()
        if self._pump is not None:
            self._pump.close()

    @property
    def names(self) -> dict[str, Any]:
        """The names of the notebook."""
        names: dict[str, Any] = self._shell.user_ns
        return names

    def failed_inputs(self, number: int) -> FailedInputs:
        """The inputs of the failures of a run that goes on here, or was the last to have any."""
        live, (last, inputs) = engine().live.get(number), self._failed
        if live is not None:
            return live.failed_inputs
        return inputs if last == number else {}

    def settings_shown(self) -> list[tuple[str, str, str]]:
        """Those of the notebook that it has set itself: name, value, and what set it."""
        usual = {"auto_display": settings().auto_display, "nested_asyncio": False}
        now = {name: getattr(self._settings, name) for name in usual}
        ours = [name for name in usual if now[name] != usual[name]]
        return [(f"TideGate.{name}", str(now[name]).lower(), "%config") for name in ours]

    def flow_began(self, run: FlowRun) -> None:
        """Show the graph of a root flow run, in the thread that runs it."""
        run.finished.on_done(lambda: explain(run.state.data))
        begun = self._resuming.pop(run.number, None)
        if begun is not None:
            self._again(run)
            begun.set_result(run)
            return
        if not self._settings.auto_display or threading.current_thread() is not threading.main_thread():
            return
        with self._displays.kept():
            graph = RunGraph.follow(run)
        graph.conversation.actions.bind = partial(self._results.bind, run.number)
        keep_page_shell(graph.comm)
        drawn = Latch()

        def final(view: View) -> None:
            drawn.set()

        graph.on_final = final
        if self._pump is not None:
            pump, portal = self._pump, run.engine.portal
            graph.on_msg(lambda *_: portal.after(SETTLE_SECONDS, pump.heard))
        display(graph)
        place = self._place("")
        # Where no form can be drawn, the picture says what the run waits for.
        graph.on_question = lambda view: place.update(HTML(picture(view) if "question" in view["run"] else ""))
        self._keep(_Shown(run, graph, place, drawn), run.number)

    def _keep(self, shown: _Shown, number: int) -> None:
        if shown.run is not None:
            self._shown.append(shown)
            shown.run.finished.on_done(partial(self._let_go, shown))
        self._last[number] = shown
        shown.graph.offer_resume(partial(self.resume_here, number), partial(self.call_off_here, number))
        shown.graph.conversation.actions.rerun = partial(self.rerun_here, number)

    def flow_ended(self) -> None:
        """Leave the final picture under the cell; on the main thread, when the root flow run has ended."""
        ended = [each for each in self._shown if each.run is None or each.run.finished.done()]
        self._shown = [each for each in self._shown if each not in ended]
        for each in ended:
            each.leave_picture()

    def _let_go(self, shown: _Shown) -> None:
        run, shown.run = shown.run, None
        if run is not None and run.failed_inputs:
            self._failed = run.number, run.failed_inputs

    def show_record(self, number: int) -> _Shown:
        """Show a run of the record: its graph, and the picture for whoever cannot show a widget."""
        with self._displays.kept():
            graph = RunGraph.of_record(engine(), number)
        graph.conversation.actions.bind = partial(self._results.bind, number)
        keep_page_shell(graph.comm)
        display(graph)
        place = self._place(picture(graph.view))
        drawn = Latch()
        drawn.set()
        return _Shown(None, graph, place, drawn)

    def _place(self, html: str) -> Any:
        """A place of its own for a static picture, in the output of the present cell."""
        return display(HTML(html), display_id=True) if hasattr(self._shell, "kernel") else _Nowhere()

    def attach(self, row: FlowRow) -> DetachedCell | None:
        """Bring the graph of a run back: of one that this kernel runs as it goes on, else from the record, with a
        button that resumes it.  Returns the handle of a detached cell that goes on here."""
        last = self._last.get(row.number)
        if last is not None and row.number in engine().live:
            display(last.graph)
            return self._handles.get(row.number)
        look(engine(), row)
        self._keep(self.show_record(row.number), row.number)
        return None

    # Runs on threads of their own -----------------------------------------------------------------------------------

    def detach(self, flow: Flow[..., Any], body: Body) -> DetachedCell:
        """Run a cell on a thread of its own, its graph under the present cell.  Raises `StoreError`."""
        return self._handle(self.begin_detached(partial(new_flow_run, flow, (), {})), body)

    def begin_detached(self, make: Callable[[], FlowRun]) -> FlowRun:
        """Make a root flow run and start it on a thread of its own; its output and its graph are those of this cell."""
        with guard.installed(), self._displays.kept():  # an interrupt would leave it half made
            run = make()
            shown = next((each for each in self._shown if each.run is run), None)
            if shown is not None:
                self._shown.remove(shown)  # its picture is left by its own thread
            context = copy_context() if shown is None else shown.graph.context.copy()
            carry_out_detached(run, context, _nothing if shown is None else shown.leave_picture)
        return run

    def resume_here(self, number: int) -> None:
        """Go on with a run whose graph is here, on a thread of its own: the kernel is free meanwhile.

        A cell that awaits goes on as a task on the kernel's loop, where the objects of earlier cells belong.  Graph and
        output go on where they stand.  Raises `TidegateError` if it cannot be.
        """
        self._follow(number, *self._goes_on(number))

    def call_off_here(self, number: int) -> None:
        """Cancel a suspended run whose graph is here.  Raises `NotRunning` if it is not suspended any more."""
        shown, row = self._last[number], engine().store.flow_run(number)
        end = engine().subscribe(number, shown.graph.hear)
        try:
            if row is None or not call_off(engine(), row, "you"):
                raise NotRunning("The run is not suspended any more.")
        finally:
            end()
        shown.graph.soon(shown.leave_picture)

    def rerun_here(self, number: int, task_run: int) -> None:
        """As `resume_here`, for one task run of a run that is over, and all that needs its result."""
        self._follow(number, *self._goes_on(number, task_run=task_run))

    def _follow(self, number: int, again: Again, begun: Future[FlowRun]) -> None:
        """Have the handle of a detached run, if there is one, go on with it."""

        def told(_: object) -> None:
            if again.body is not None and begun.exception() is None and number in self._handles:
                self._handle(begun.result(), again.body)

        begun.add_done_callback(told)

    def resume_detached(self, number: int, on_change: OnChange) -> DetachedCell:
        """As `resume_here`, for a detached cell; returns its handle once the run has begun."""
        again, begun = self._goes_on(number, on_change=on_change)
        assert again.body is not None
        return self._handle(begun.result(), again.body)

    def bound(self, name: str, handle: DetachedCell) -> DetachedCell:
        """The handle of a detached run, under a name in the notebook; the usual one is left to whoever uses it."""
        names = self.names
        if name or isinstance(names.get(RUN, handle), DetachedCell):
            names[name or RUN] = handle
        else:
            print(f"`{RUN}` is taken: the run is the value of this cell. `%%flow --detach -o NAME` names it.")
        return handle

    def _goes_on(
        self, number: int, *, on_change: OnChange = "rerun", task_run: int | None = None
    ) -> tuple[Again, Future[FlowRun]]:
        """Begin to go on with a run, or with that task run of one that is over."""
        plan = resume_plan(number, task_run)
        assert self.flow_again is not None
        context = self._last[number].graph.context.copy()  # and not that of a cell that runs, and serves the page
        try:
            again = context.run(self.flow_again, number)
        except TidegateError:
            raise
        except Exception as error:  # a cell that does not compile any more, or a magic that refuses it
            raise UsageError(f"{plan.title} cannot be resumed: {error}") from error
        if number in self._resuming:
            raise UsageError(f"{plan.title} goes on as soon as the kernel is free.")
        begun = self._resuming[number] = Future[FlowRun]()
        loop = self._loop
        if again.flow.is_async and again.detached is None and loop is not None:
            beside = self._carry_on_beside(number, partial(resumption, number, again.flow, on_change, task_run), begun)
            loop.call_soon_threadsafe(partial(spawn, loop, beside, context), context=context)
        else:
            resumed = partial(resume, number, on_change=on_change)
            go_on: Callable[..., Ended] = resumed if task_run is None else partial(rerun, number, task_run)
            call = partial(context.run, self._carry_on, number, partial(go_on, flow=again.flow), begun)
            threading.Thread(target=call, name=f"tidegate-run-{number}", daemon=True).start()
        return again, begun

    def _handle(self, run: FlowRun, body: Body) -> DetachedCell:
        known = self._handles.get(run.number)
        if known is None:
            known = self._handles[run.number] = DetachedCell(run, body)
        known.goes_on(run, body)
        run.finished.on_done(known.done)  # by which it is held until then, for whoever asks for it once more
        return known

    async def _carry_on_beside(
        self, number: int, resumed: Callable[[], Callable[[], FlowRun]], begun: Future[FlowRun]
    ) -> None:
        with self._told(number, begun):
            await detached.carry_out_beside(resumed())

    def _carry_on(self, number: int, go_on: Callable[[], Ended], begun: Future[FlowRun]) -> None:
        with self._told(number, begun):
            ended = go_on()
            if not isinstance(ended, State):
                with asyncio.Runner() as runner:  # as for a detached run
                    runner.run(ended)

    @contextmanager
    def _told(self, number: int, begun: Future[FlowRun]) -> Iterator[None]:
        """Around a run that goes on from its page: what goes wrong is told there, because nobody waits for it."""
        shown = self._last[number]
        try:
            yield
        except Exception as error:
            shown.graph.conversation.tell(str(error))
            if not begun.done():
                begun.set_exception(error)
        finally:
            self._resuming.pop(number, None)
        shown.leave_picture()

    def _again(self, run: FlowRun) -> None:
        shown = self._last[run.number]
        shown.run, drawn = run, Latch()
        run.finished.on_done(partial(self._let_go, shown))
        shown.drawn = drawn
        shown.graph.on_final = lambda view: drawn.set()
        shown.graph.again(run)


def _nothing() -> None:
    """There is no graph, and no picture to leave."""
