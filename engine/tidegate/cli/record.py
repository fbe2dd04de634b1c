"""``tidegate record``: a cassette of a run, to replay it where nothing that its tasks need is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from ..model.record_modes import RecordMode
from ..model.states import State
from .progress import following
from .run import CODES, call, parsed, report
from .stores import find, opened

if TYPE_CHECKING:
    from ..cassette import Cassette


@click.command()
@click.argument("what", metavar="RUN_OR_FILE[:FLOW]")
@click.option("-o", "--out", metavar="FILE", help="The cassette; cassettes/FLOW.json by default.")
@click.option(
    "-p", "--param", "given", multiple=True, metavar="KEY=VALUE", help="A parameter of a flow, as for `tidegate run`."
)
@click.option(
    "--record-mode",
    "mode",
    type=click.Choice(get_args(RecordMode)),
    default="all",
    show_default=True,
    help="For a flow: none only replays the cassette, once does so if it is there, new_episodes records what is not in "
    "it, all records it anew.",
)
@click.option(
    "--allow-pickle", is_flag=True, help="Keep results that are no plain data as pickles, which are code to who loads."
)
@click.pass_context
def record(
    context: click.Context, what: str, out: str | None, given: tuple[str, ...], mode: RecordMode, allow_pickle: bool
) -> None:
    """Keep what the tasks of a run gave, to replay it.

    RUN is the number of a run of the record, of which the last end of each task run is kept. FILE.py:FLOW,
    NOTEBOOK.ipynb:FLOW or package.module:FLOW is run, as by `tidegate run`, and recorded.

    pytest replays cassettes (@pytest.mark.tidegate_cassette), and so does any process with TIDEGATE_CASSETTE=FILE.
    """
    if not what.isdecimal():
        context.exit(_run(what, out, given, mode, allow_pickle))
    if given:
        raise click.UsageError("-p is for a flow that is run, not for a run of the record.")
    from ..engine import Engine
    from ..recording import cassette_of, default_path

    with opened() as store:
        row = find(store, int(what))
        path = Path(out) if out else default_path(row.flow)
        made = cassette_of(Engine(store), row, path, allow_pickle=allow_pickle)
    made.write()
    _tell(context, made)


def _run(target: str, out: str | None, given: tuple[str, ...], mode: RecordMode, allow_pickle: bool) -> int:
    """Run a flow and record it; the exit code."""
    from ..deploy.targets import load_with, search_beside
    from ..engine import Engine, using
    from ..parameters import check_names
    from ..recording import default_path
    from ..replay import use_cassette

    search_beside(target)
    flow, arguments = load_with(target, parsed(given))
    check_names(flow, arguments)
    path = Path(out) if out else default_path(flow.name)
    with (
        opened(make=True) as store,
        using(Engine(store)) as engine,
        use_cassette(path, mode, allow_pickle=allow_pickle),
    ):
        state: State
        try:
            with following(engine) as follower:
                state = call(flow, arguments)
        finally:
            engine.logs.flush()
        report(store, 0 if follower.run is None else follower.run.number, state)
        click.echo(f"The cassette: {path}")
    return 130 if state.name == "Interrupted" else CODES[state.type]


def _tell(context: click.Context, made: Cassette) -> None:
    click.echo(made.summary())
    left = list(made.missing())
    for missing, why in left:
        click.echo(f"tidegate: {missing} is not in it: {why}.", err=True)
    context.exit(1 if left else 0)
