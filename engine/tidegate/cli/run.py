"""``tidegate run``: a flow of a script, a module or a notebook, in this process."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..deploy.given_values import value_of
from ..errors import StoreError
from ..model.states import State, StateType
from . import tables
from .progress import following
from .stores import RUN, opened

if TYPE_CHECKING:
    from ..flow import Flow
    from ..ports import EventStore

CODES = {
    StateType.COMPLETED: 0,
    StateType.FAILED: 1,
    StateType.CRASHED: 3,
    StateType.CANCELLED: 4,
    StateType.PAUSED: 5,
}
"""Exit codes by the end of the run; 2 is bad use, 130 an interrupt."""


@click.command()
@click.argument("target", metavar="NOTEBOOK_OR_FILE[:FLOW]")
@click.option(
    "-p",
    "--param",
    "given",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter, JSON where it can be read as such, else text. @FILE.json reads an object of them. Repeatable.",
)
@click.option(
    "--retries", type=click.IntRange(0), metavar="N", help="Run the flow again, N times at most, if it fails."
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="Run the first N of each mapped call, say how long the rest takes, and leave the run suspended.",
)
@click.option(
    "--resume",
    "resumed",
    type=RUN,
    metavar="RUN",
    help="Go on with this run, which is suspended, failed, crashed or was cancelled: what completed is kept.",
)
@click.option(
    "--fork",
    "forked",
    type=RUN,
    metavar="RUN",
    help="Make a new run with the parameters of this one, which takes over what completed in it.",
)
@click.option(
    "--rerun",
    "again",
    metavar="TASK",
    help="With --resume or --fork: run this task (locate) or task run (locate-17) anew, and what needs its result.",
)
@click.pass_context
def run(
    context: click.Context,
    target: str,
    given: tuple[str, ...],
    retries: int | None,
    sample: int | None,
    resumed: int | None,
    forked: int | None,
    again: str | None,
) -> None:
    """Run a flow here and now.

    Its progress is shown, and at the end how it went and what failed.

    The flow is named as FILE.py:FLOW, NOTEBOOK.ipynb:FLOW or package.module:FLOW; FLOW may be left out where there is
    only one. Parameters of a notebook take the place of what its cell tagged "parameters" assigns.

    Exit codes: 0 the run completed, 1 it failed, 2 it could not be begun, 3 it crashed, 4 it was cancelled, 5 it is
    suspended, 130 it was interrupted.
    """
    from ..deploy.targets import load_with, search_beside
    from ..engine import Engine, using
    from ..parameters import check_names

    if again is not None and resumed is None and forked is None:
        raise click.UsageError("--rerun goes with --resume RUN or --fork RUN.")
    if resumed is not None and forked is not None:
        raise click.UsageError("--resume and --fork do not go together.")
    if sample is not None and (resumed is not None or forked is not None):
        raise click.UsageError("--sample is for a new run: the run that is resumed or forked runs whole.")
    parameters = parsed(given)
    search_beside(target)
    flow, arguments = load_with(target, parameters)
    check_names(flow, arguments)
    if retries is not None or sample is not None:
        flow = flow.with_options(**({} if retries is None else {"retries": retries}))
        flow.sample = sample
    with opened(make=True) as store, using(Engine(store)) as engine:
        try:
            with following(engine) as follower:
                if resumed is not None:
                    state = _resume(resumed, again, flow, arguments)
                else:
                    state = call(flow, arguments) if forked is None else _fork(forked, again, flow, arguments)
        finally:
            engine.logs.flush()
        number = 0 if follower.run is None else follower.run.number
        report(store, number, state)
    if state.is_suspended():
        click.echo(f"Go on with it: tidegate run {shlex.quote(target)} --resume {number}")
    context.exit(130 if state.name == "Interrupted" else CODES[state.type])


def parsed(given: Iterable[str]) -> dict[str, Any]:
    """The parameters that ``-p`` options say; the last one wins.  Raises `click.BadParameter`."""
    found: dict[str, Any] = {}
    for each in given:
        if each.startswith("@"):
            found |= _of_file(Path(each[1:]).expanduser())
            continue
        name, equals, text = each.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"{each!r} is no KEY=VALUE.", param_hint="-p")
        found[name.strip()] = value_of(text)
    return found


def _of_file(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read ({error.strerror}).", param_hint="-p") from None
    except ValueError as error:
        raise click.BadParameter(f"{path} is not JSON ({error}).", param_hint="-p") from None
    if not isinstance(found, dict):
        raise click.BadParameter(f"{path} must hold an object, {{...}}.", param_hint="-p")
    return found


def call(flow: Flow[..., Any], arguments: dict[str, Any]) -> State:
    """Run it on this thread; the final state."""
    names = flow.signature.parameters
    args, kwargs = flow.call_with({name: value for name, value in arguments.items() if name in names})
    kwargs |= {name: value for name, value in arguments.items() if name not in names}
    called: Any = flow
    return _ended(called(*args, **kwargs, return_state=True))


def _resume(number: int, task: str | None, flow: Flow[..., Any], arguments: dict[str, Any]) -> State:
    """Go on with a run on this thread, or run a task of it once more; the final state."""
    from ..recovery import rerun, resume, resume_plan

    click.echo(str(resume_plan(number, task)))
    if task is None:
        return _ended(resume(number, flow, parameters=arguments))
    return _ended(rerun(number, task, flow, parameters=arguments))


def _fork(number: int, task: str | None, flow: Flow[..., Any], arguments: dict[str, Any]) -> State:
    """Fork a run on this thread; the final state of the new one."""
    from ..recovery import fork

    return _ended(fork(number, task, flow, parameters=arguments))


def _ended(made: State | Coroutine[Any, Any, State]) -> State:
    """The final state, which an async flow is awaited for."""
    if isinstance(made, State):
        return made
    import asyncio

    return asyncio.run(made)


def report(store: EventStore, number: int, state: State) -> None:
    """How it ended, from the record."""
    sys.stdout.flush()
    try:
        row = store.flow_run(number)
        tasks = store.task_runs(number)
    except StoreError as error:
        click.echo(f"The flow run {number} ended: {state.name}. {state.message}")
        click.echo(f"tidegate: {error}", err=True)
        return
    assert row is not None
    if not row.state.is_at_rest():
        click.echo("tidegate: The end of the run could not be saved.", err=True)
        row.state = state
    click.echo()
    for line in tables.summary(row, tasks):
        click.echo(line)
    click.echo(f"\nThe record: tidegate show {number}, tidegate logs {number}")
