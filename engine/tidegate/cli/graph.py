"""``tidegate graph``: the graph of a run in the browser."""

from __future__ import annotations

import threading
import webbrowser

import click

from ..errors import UsageError
from .stores import RUN, find, opened


@click.command()
@click.argument("run", type=RUN)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="PORT", help="The port; one that is free by default."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def graph(run: int, port: int, no_browser: bool) -> None:
    """Show the graph of a flow run in the browser.

    A run that another process has is followed while it goes on, and can be paused, resumed, suspended and cancelled
    there. The page is for this machine, and for whoever has its address. Ctrl-C ends the page, and not the run.
    """
    try:
        # Who draws is above us, and need not be there.
        from tidegate_widgets.graph_page import GraphPage
        from tidegate_widgets.page_server import PageServer
    except ImportError as error:
        raise UsageError(f"The graph cannot be drawn here: {error}. `tidegate show {run}` lists the run.") from None
    with opened() as store:
        row = find(store, run)
        page = GraphPage(store, run)
        try:
            server = PageServer(page, port)
        except OSError as error:
            raise UsageError(
                f"Port {port} cannot be used: {error.strerror}. Leave out --port for a free one."
            ) from None
        with server:
            threading.Thread(target=server.serve_forever, name="tidegate-pages", daemon=True).start()
            click.echo(
                f"The graph of flow run {run} ({row.name}): {server.address}\nCtrl-C ends this page, not the run."
            )
            if not no_browser:
                # One that lives in the terminal would hold us up.
                show = threading.Thread(target=webbrowser.open, args=(server.first_address,), daemon=True)
                show.start()
            try:
                page.run()
            except KeyboardInterrupt:
                click.echo()
