"""``tidegate graph``: the graphs of runs in the browser."""

from __future__ import annotations

import threading
import webbrowser

import click

from ..errors import UsageError
from .stores import RUN, find, opened


@click.command()
@click.argument("run", type=RUN, required=False)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="PORT", help="The port; one that is free by default."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def graph(run: int | None, port: int, no_browser: bool) -> None:
    """Show the graph of a run, or a list of all, in the browser.

    A run that another process has is followed while it goes on, and can be paused, resumed, suspended and cancelled
    there. The pages are for this machine, and for whoever has their address. Ctrl-C ends them, and no run.
    """
    try:
        # Who draws is above us, and need not be there.
        from tidegate_widgets.graph_pages import GraphPages
        from tidegate_widgets.page_server import PageServer
    except ImportError as error:
        raise UsageError(f"The graph cannot be drawn here: {error}. `tidegate runs` lists the runs.") from None
    with opened() as store:
        what = "The flow runs" if run is None else f"The graph of flow run {run} ({find(store, run).name})"
        pages = GraphPages(store)
        try:
            server = PageServer(pages, run, port)
        except OSError as error:
            raise UsageError(
                f"Port {port} cannot be used: {error.strerror}. Leave out --port for a free one."
            ) from None
        with server:
            click.echo(f"{what}: {server.address}\nCtrl-C ends these pages, and no run.")
            if not no_browser:
                # One that lives in the terminal would hold us up.
                show = threading.Thread(target=webbrowser.open, args=(server.first_address,), daemon=True)
                show.start()
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                click.echo()
            finally:
                pages.close()
