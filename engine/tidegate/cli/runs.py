"""``tidegate runs`` and ``tidegate show``: what is in the record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ..model.durability import DEFAULT
from ..model.states import StateType
from ..model.views import FlowRow, TaskRow
from ..moments import duration, moment
from . import tables
from .stores import RUN, find, opened

if TYPE_CHECKING:
    from ..ports import EventStore
    from ..store.sqlite import SQLiteStore

PAGE = 200
"""Rows that are read at first where only some of them are wanted."""


@click.command()
@click.option("--limit", type=click.IntRange(1), default=30, show_default=True, help="Flow runs at most.")
@click.option("--state", metavar="STATE", help="Only those in this state, such as Running, Failed or Interrupted.")
@click.option("--flow", metavar="NAME", help="Only those of this flow.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def runs(limit: int, state: str | None, flow: str | None, as_json: bool) -> None:
    """List flow runs, the newest first."""
    from ..dead_runs import bury_all
    from ..engine import Engine

    with opened() as store:
        bury_all(Engine(store))
        found = matching(store, limit, state, flow)
    if as_json:
        click.echo(json.dumps([tables.flow_json(row) for row in found], indent=2))
    elif not found:
        click.echo("No flow run yet." if state is None and flow is None else "No such flow run.")
    else:
        head = ("run", "flow", "name", "state", "created", "took")
        click.echo(tables.table(head, (_cells(row) for row in found)))


def _cells(row: FlowRow) -> tuple[Any, ...]:
    return str(row.number), row.flow, row.name, row.state, moment(row.created), tables.took(row)


def matching(store: EventStore, limit: int, state: str | None, flow: str | None) -> list[FlowRow]:
    """The newest flow runs, those in this state and of this flow where they are given."""
    if state is None and flow is None:
        return store.flow_runs(limit)
    size = max(PAGE, limit)
    while True:
        rows = store.flow_runs(size)
        found = [row for row in rows if flow in (None, row.flow) and (state is None or _is(row, state))]
        if len(found) >= limit or len(rows) < size:
            return found[:limit]
        size *= 4


def _is(row: FlowRow, state: str) -> bool:
    return state.casefold() in (row.state.name.casefold(), row.state.type.value.casefold())


@click.command()
@click.argument("run", type=RUN)
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="Task runs at most; 0 for all.")
@click.option("--failed", is_flag=True, help="Only task runs that failed or crashed.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs; with all task runs.")
def show(run: int, limit: int, failed: bool, as_json: bool) -> None:
    """Show a flow run and its task runs."""
    from ..dead_runs import look
    from ..engine import Engine

    with opened() as store:
        row = find(store, run)
        look(Engine(store), row)
        tasks = store.task_runs(run)
        more = _deployed(store, run)
    wanted = [each for each in tasks if each.state.type in (StateType.FAILED, StateType.CRASHED)] if failed else tasks
    if as_json:
        click.echo(json.dumps({**tables.flow_json(row), "task_runs": [tables.task_json(each) for each in wanted]}))
        return
    for name, text in [*_facts(row), *more]:
        click.echo(f"{name:<11} {text}")
    if tasks:
        click.echo(f"\n{tables.by_task(tasks)}")
    if wanted:
        shown = wanted[:limit] if limit else wanted
        click.echo("\n" + tables.table(("task run", "name", "state", "attempts", "ran", "message"), map(_line, shown)))
        if len(shown) < len(wanted):
            click.echo(f"… and {len(wanted) - len(shown):,} more: --limit 0 shows all.")


def _facts(row: FlowRow) -> list[tuple[str, str]]:
    message = f": {row.state.message}" if row.state.message else ""
    facts = [
        ("run", f"{row.number} ({row.name})"),
        ("flow", row.flow),
        ("state", f"{tables.paint(row.state, row.state.name)}{message}"),
        ("created", moment(row.created)),
        ("took", tables.took(row)),
        ("attempts", str(row.attempts) if row.attempts > 1 else ""),
        ("parameters", "" if row.parameters == "{}" else row.parameters),
        ("tags", ", ".join(row.tags)),
        ("target", row.target),
        ("durability", "" if row.durability == DEFAULT else row.durability),
        ("forked from", f"flow run {row.forked_from}" if row.forked_from else ""),
        ("parent", f"flow run {row.parent[0]}, task run {row.parent[1]}" if row.parent else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _deployed(store: SQLiteStore, run: int) -> list[tuple[str, str]]:
    """What there is to say of a run that came from a deployment."""
    from ..outputs import output_of

    dispatch, output = store.deployments.dispatch(run), output_of(store.path.parent, run)
    facts = [] if dispatch is None else [("deployment", f"{dispatch.deployment}, queue {dispatch.queue}")]
    return [*facts, *([("output", str(output))] if output.exists() else [])]


def _line(row: TaskRow) -> tuple[Any, ...]:
    message = tables.shortened(row.state.message)
    return str(row.number), row.name, row.state, row.attempts, duration(row.ran), message
