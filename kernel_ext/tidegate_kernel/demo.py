"""Run a notebook in a real kernel and watch its flows from the terminal: ``python -m tidegate_kernel.demo NOTEBOOK``.

What is shown is read from the store, as any process on the machine can; at the end it prints the summary of each flow
run and the path of a page with its graph.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tidegate.errors import TidegateError
from tidegate.model.states import TERMINAL
from tidegate.store.sqlite import SQLiteStore
from tidegate_widgets.drawing import Drawing
from tidegate_widgets.graph_model import GraphModel
from tidegate_widgets.picture import page, summary
from tidegate_widgets.wording import failures

LOOK = 0.1
"""Seconds between two looks at the store."""


class Watch:
    """The flow runs of a store that began after it was made, as bars in the terminal."""

    def __init__(self, store: SQLiteStore, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._first = max((row.number for row in store.flow_runs(1)), default=0) + 1
        self._seen: dict[int, int] = {}
        self._bars: dict[tuple[int, int], TaskID] = {}
        self.models: dict[int, GraphModel] = {}

    def look(self) -> None:
        """Fold in what is new."""
        for row in reversed(self._store.flow_runs(20)):
            number = row.number
            if number < self._first or row.parent is not None:
                continue
            model = self.models.setdefault(number, GraphModel())
            if model.state.type in TERMINAL:
                continue
            news = self._store.events(number, self._seen.get(number, 0))
            if news:
                self._seen[number] = news[-1][0]
                model.apply([event for _, event in news])
                self._draw(number, model)

    def _draw(self, number: int, model: GraphModel) -> None:
        for site, node in model.nodes.items():
            bar = self._bars.get((number, site))
            if bar is None:
                bar = self._bars[number, site] = self._progress.add_task(node.task, total=None, more="")
            failed, retrying = node.counts["f"], node.counts["a"]
            more = [f"[red]{failed} failed[/]"] if failed else []
            more += [f"[yellow]{retrying} to retry[/]"] if retrying else []
            self._progress.update(bar, completed=node.ended, total=len(node.members), more="  ".join(more))


def run_notebook(notebook: Path, home: Path) -> str:
    """Execute the notebook in a kernel of its own, with its results in place; the error that ended it, if any."""
    document: Any = nbformat.read(notebook, as_version=4)
    os.environ["TIDEGATE_HOME"] = str(home)
    resources = {"metadata": {"path": str(notebook.parent)}}
    # Below errors the kernel only remarks on its loopback transport, in the middle of the bars.
    client = NotebookClient(document, timeout=600, resources=resources, extra_arguments=["--log-level=ERROR"])
    try:
        client.execute()
    except CellExecutionError as error:
        return str(error)
    finally:
        nbformat.write(document, home / notebook.name)
    return ""


def main(arguments: list[str]) -> int:
    """Run the notebook named on the command line; 0 if it ran through."""
    console = Console(highlight=False)
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        console.print("Usage: python -m tidegate_kernel.demo NOTEBOOK")
        return 2
    notebook = Path(arguments[0]).absolute()
    home = Path(".tidegate", "demo").absolute()
    try:
        store = SQLiteStore(home / "store.db")
    except TidegateError as error:
        console.print(f"[red]{error}[/]")
        return 1
    console.print(f"Running [bold]{notebook.name}[/] in a kernel of its own. Its record: {store.path}", soft_wrap=True)
    outcome: list[str] = []
    worker = threading.Thread(target=lambda: outcome.append(run_notebook(notebook, home)), daemon=True)
    columns = (TextColumn("  {task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[more]}"), console=console) as progress:
        watch = Watch(store, progress)
        worker.start()
        while worker.is_alive():
            watch.look()
            worker.join(LOOK)
        watch.look()
    return report(console, watch, home, outcome[0] if outcome else "The notebook did not run: see above.")


def report(console: Console, watch: Watch, home: Path, error: str) -> int:
    """Print the summary of each run and the path of its page."""
    for number, model in watch.models.items():
        view = Drawing(model, live=False).view(time.time())
        path = home / f"run-{number}.html"
        path.write_text(page(view), encoding="utf-8")
        console.print(f"\n{summary(view)}")
        if view["run"]["counts"]["failed"]:
            console.print(f"[red]{failures(model, view['run']['counts']['failed'])}[/]", soft_wrap=True)
        console.print(f"The graph: {path.as_uri()}", soft_wrap=True)
    if error:
        console.print(f"\n[red]The notebook stopped:[/]\n{error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
