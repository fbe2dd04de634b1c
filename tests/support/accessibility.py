"""What axe-core finds in a part of a page: the rules of WCAG that a machine can check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, expect

from support.page import SHOTS, Page

AXE = Path(__file__).resolve().parents[2] / "widgets" / "js" / "node_modules" / "axe-core" / "axe.min.js"
"""A development dependency of the front end."""

_LOAD = "source => { if (!window.axe) (0, eval)(source); }"
# The body of JupyterLab has no height, because all in it is placed: axe takes that for hidden, and looks at no colours.
_RUN = """async (element, rules) => {
    document.body.style.height = '100vh';
    try {
        return await axe.run(element, { rules });
    } finally {
        document.body.style.height = '';
    }
}"""


def why_not() -> str | None:
    """Return why axe cannot be run here, for `pytest.mark.skipif`; None if it can."""
    return None if AXE.exists() else "axe-core is not installed; run: make js"


class Audit:
    """The outcome for one element and all in it."""

    def __init__(self, element: Locator) -> None:
        element.page.evaluate(_LOAD, AXE.read_text(encoding="utf-8"))
        element.scroll_into_view_if_needed()
        self._found: dict[str, Any] = element.evaluate(_RUN, {"target-size": {"enabled": True}})

    @property
    def problems(self) -> list[str]:
        """What is wrong, and what axe could not decide, each with its place and reason."""
        return [line for kind in ("violations", "incomplete") for rule in self._found[kind] for line in _told(rule)]

    def looked_at(self, rule: str) -> int:
        """How many elements keep a rule."""
        return sum(len(each["nodes"]) for each in self._found["passes"] if each["id"] == rule)


def _told(rule: dict[str, Any]) -> list[str]:
    lines = []
    for node in rule["nodes"]:
        reasons = "; ".join(check["message"] for check in (*node["any"], *node["all"], *node["none"]))
        lines.append(f"{rule['id']}: {node['html'][:160]}: {reasons}")
    return lines


def audited(page: Page, panel: Locator, name: str) -> None:
    """Nothing is wrong with the panel, in the light theme and in the dark one; a picture of each is kept."""
    page.raw.mouse.move(0, 0)
    for theme in ("dark", "light"):
        page.theme(dark=theme == "dark")
        expect(page.raw.locator("#jupyterlab-splash")).to_have_count(0, timeout=10_000)
        expect(panel).to_have_attribute("data-theme", theme)
        panel.screenshot(path=str(SHOTS / f"{name}-{theme}.png"))
        problems = Audit(panel).problems
        assert not problems, problems
