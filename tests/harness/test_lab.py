"""The browser harness itself, on a trivial notebook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kernels import kernel_params
from support.lab import Lab, why_not
from support.page import Page

pytestmark = [pytest.mark.browser, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

WIDGET = """
import anywidget, traitlets
class Shadow(anywidget.AnyWidget):
    _esm = '''
    export default { render({ model, el }) {
      const root = document.createElement('div').attachShadow({ mode: 'open' });
      const button = document.createElement('button');
      button.className = 'inside';
      const draw = () => { button.textContent = 'clicked ' + model.get('n'); };
      button.onclick = () => model.send({ event: 'click' });
      model.on('change:n', draw);
      draw();
      root.append(button);
      el.append(root.host);
    } };'''
    n = traitlets.Int(0).tag(sync=True)
widget = Shadow()
def on_click(widget, content, buffers):
    widget.n += 1
widget.on_msg(on_click)
widget
"""
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as running:
        print(f"JupyterLab ready after {running.start_seconds:.1f} s")
        yield running


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    cells = [
        "print('tide', 6 * 7)",
        WIDGET,
        "import time; print('on', flush=True); time.sleep(60)",
        "import os; os.getcwd()",
    ]
    with lab.open(cells) as opened:
        yield opened


def test_a_cell_runs_and_its_output_is_read(page: Page) -> None:
    assert [text.strip() for text in page.run_to_end(0)] == ["tide 42"]
    assert page.kernel_status() == "idle"


def test_a_widget_in_a_shadow_root_is_clicked(page: Page) -> None:
    page.run_to_end(1)
    page.wait_text("clicked 0", cell=1)
    page.click("button.inside")
    page.wait_text("clicked 1", cell=1)


def test_the_kernel_works_in_the_folder_of_the_notebook(page: Page, lab: Lab) -> None:
    assert str(lab.root) in page.run_to_end(3)[0]


def test_a_running_cell_is_interrupted(page: Page) -> None:
    page.run(2)
    page.wait_text("on", cell=2)
    page.interrupt()
    page.wait_idle()
    assert "KeyboardInterrupt" in "".join(page.outputs(2))


def test_it_is_saved_and_comes_back_after_a_reload(page: Page) -> None:
    page.run_to_end(0)
    saved = page.save()
    assert saved.cells[0].outputs[0].text == "tide 42\n"
    page.reload()
    page.wait_text("tide 42", cell=0)
    page.set_source(0, "print('ebb')")
    assert page.run_to_end(0)[0].strip() == "ebb"


def test_pictures_and_themes(page: Page, tmp_path: Path) -> None:
    light = page.screenshot(tmp_path / "light.png").read_bytes()
    page.theme(dark=True)
    dark = page.screenshot(tmp_path / "dark.png").read_bytes()
    page.theme(dark=False)
    cell = page.screenshot(tmp_path / "cell.png", ".jp-Cell >> nth=0").read_bytes()
    assert all(picture.startswith(PNG) and len(picture) > 1000 for picture in (light, dark, cell))
    assert light != dark


def test_the_page_stays_at_home_and_does_not_complain(page: Page) -> None:
    assert page.strangers == []
    assert page.errors == []


def test_a_notebook_file_is_opened_beside_its_companions(lab: Lab, tmp_path: Path) -> None:
    companion = tmp_path / "companion.py"
    companion.write_text("NAME = 'pilot'\n")
    with lab.open(["import companion; companion.NAME"], files=[companion]) as page:
        assert "pilot" in page.run_to_end(0)[0]


@pytest.mark.parametrize("version", kernel_params("6.29.5", "7.3.0"))
def test_the_kernel_may_be_another_version(lab: Lab, version: str) -> None:
    with lab.open(["import ipykernel; ipykernel.__version__"], kernel_version=version) as page:
        assert version in page.run_to_end(0)[0]
