"""One notebook in the browser: run its cells, click, read, reload, look."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import nbformat

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator

_PANEL = "window.jupyterapp.shell.currentWidget"
_READY = """() => {
    const context = window.jupyterapp?.shell?.currentWidget?.context;
    return context?.isReady && context.sessionContext?.session?.kernel?.status === 'idle';
}"""
_RUN = """cell => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.deselectAll();
    notebook.activeCellIndex = cell;
    const ended = window.jupyterapp.commands.execute('notebook:run-cell');
    window.tidegateRuns = (window.tidegateRuns ?? []).concat([ended]);
}"""
# The status alone says idle too early: whatever serves a click while a cell runs has to say busy and idle as well.
_NO_CELL_RUNS = """() => ![...document.querySelectorAll('.jp-Notebook .jp-InputPrompt')]
    .some(prompt => prompt.textContent.includes('*'))"""
_RUNS_ENDED = "async () => { await Promise.allSettled(window.tidegateRuns ?? []); window.tidegateRuns = []; }"
_SET_SOURCE = f"([cell, source]) => {{ {_PANEL}.content.widgets[cell].model.sharedModel.setSource(source); }}"

SHOTS = Path(__file__).resolve().parents[2] / ".work" / "screenshots"
"""Where the pictures of a test run are."""


class Page:
    """A notebook that is open in JupyterLab.  `raw` is Playwright's page, for whatever is not here.

    Selectors and texts reach into open shadow roots.  Waiting is Playwright's: it ends with the event.
    """

    def __init__(self, context: BrowserContext, url: str, path: Path) -> None:
        self.path = path
        self.console: list[tuple[str, str]] = []
        self.strangers: list[str] = []
        self._context = context
        self._url = url
        self.raw = context.new_page()
        self.raw.on("console", lambda message: self.console.append((message.type, message.text)))
        self.raw.on("pageerror", lambda error: self.console.append(("error", str(error))))
        self.raw.on("request", lambda request: self._note_request(request.url))
        # Otherwise a page with unsaved changes refuses to be reloaded.
        self.raw.on("dialog", lambda dialog: dialog.accept())

    def load(self) -> None:
        """Open the notebook and wait for its kernel."""
        self.raw.goto(self._url)
        self.wait_ready()

    def reload(self) -> None:
        """Reload the page and wait until the notebook is back; its kernel may be busy."""
        self.raw.reload()
        self.raw.wait_for_selector(".jp-Notebook .jp-Cell")
        self.raw.wait_for_function(f"() => {_PANEL.replace('.shell', '?.shell?')}?.context?.isReady")
        self.raw.wait_for_function(f"() => {_PANEL}.context.sessionContext?.session?.kernel != null")

    def wait_ready(self) -> None:
        """Wait until the notebook is shown and its kernel is idle."""
        self.raw.wait_for_selector(".jp-Notebook .jp-Cell")
        self.raw.wait_for_function(_READY)

    # -- cells

    def cell(self, index: int) -> Locator:
        """Return the cell with this index, Markdown cells included."""
        return self.raw.locator(".jp-Notebook .jp-Cell").nth(index)

    def run(self, index: int) -> None:
        """Start a cell and do not wait."""
        self.raw.evaluate(_RUN, index)

    def run_to_end(self, index: int) -> list[str]:
        """Run a cell to its end and return the texts of its outputs."""
        self.run(index)
        self.wait_idle()
        return self.outputs(index)

    def run_all(self) -> None:
        """Run every cell, one after the other, to the end."""
        self.command("notebook:run-all-cells")
        self.wait_idle()

    def wait_idle(self) -> None:
        """Wait until all cells started from here have ended and the kernel is idle."""
        self.raw.evaluate(_RUNS_ENDED)
        self.raw.wait_for_function(_NO_CELL_RUNS)
        self.raw.wait_for_function(_READY)

    def outputs(self, index: int) -> list[str]:
        """Return the texts of a cell's outputs as they are now."""
        return self.cell(index).locator(".jp-OutputArea-output").all_inner_texts()

    def set_source(self, index: int, source: str) -> None:
        """Replace the source of a cell."""
        self.raw.evaluate(_SET_SOURCE, [index, source])

    # -- the page

    def wait_text(self, text: str, *, cell: int | None = None) -> Locator:
        """Wait until a text is visible, in the outputs of one cell if one is named, and return where."""
        place = self.raw.locator(".jp-Notebook") if cell is None else self.cell(cell)
        found = place.locator(".jp-OutputArea-output").get_by_text(text).first
        found.wait_for()
        return found

    def click(self, selector: str) -> None:
        """Click on the one element that matches."""
        self.raw.locator(selector).click()

    def command(self, name: str, **arguments: Any) -> Any:
        """Run a command of JupyterLab and wait for its end."""
        return self.raw.evaluate(
            "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)", [name, arguments]
        )

    def interrupt(self) -> None:
        """Interrupt the kernel, without a look for the button."""
        self.raw.evaluate(f"() => {_PANEL}.context.sessionContext.session.kernel.interrupt()")

    def restart(self) -> None:
        """Restart the kernel and wait until the new one is idle."""
        self.raw.evaluate(f"() => {_PANEL}.context.sessionContext.session.kernel.restart()")
        self.wait_idle()

    def press_stop(self) -> None:
        """Press the stop button in the toolbar of the notebook."""
        self.raw.locator(".jp-Toolbar [data-jp-item-name=interrupt] :is(jp-button, button)").first.click()

    def kernel_status(self) -> str:
        """Return what the page believes of its kernel: `idle`, `busy`, ..."""
        return str(self.raw.evaluate(f"() => {_PANEL}.context.sessionContext.session.kernel.status"))

    def save(self) -> Any:
        """Save the notebook and return it as it is on the disk."""
        self.command("docmanager:save")
        return nbformat.read(self.path, as_version=4)

    def theme(self, *, dark: bool) -> None:
        """Switch to the dark or the light theme, and wait until it is there."""
        name = "JupyterLab Dark" if dark else "JupyterLab Light"
        self.command("apputils:change-theme", theme=name)
        self.raw.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)

    def screenshot(self, path: Path | str, selector: str | None = None) -> Path:
        """Write a picture of the window, or of one element, and return its path."""
        target = self.raw if selector is None else self.raw.locator(selector)
        target.screenshot(path=str(path))
        return Path(path)

    @property
    def errors(self) -> list[str]:
        """What the page has complained about."""
        return [text for kind, text in self.console if kind == "error"]

    def close(self) -> None:
        """Close the page; its kernel goes on until the server ends."""
        self._context.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _note_request(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")):
            self.strangers.append(url)
