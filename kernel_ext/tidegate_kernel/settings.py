"""The settings of the notebook, as ``%config TideGate`` shows them."""

from __future__ import annotations

from traitlets import Bool, default
from traitlets.config import Configurable

from tidegate.settings import settings


class TideGate(Configurable):  # type: ignore[misc]  # traitlets are untyped here
    """Settings of Tidegate in this notebook."""

    auto_display = Bool(True, help="Show the graph of each flow run under the cell that started it.").tag(config=True)

    @default("auto_display")  # type: ignore[untyped-decorator]
    def _auto_display(self) -> bool:
        """What the settings of the process say, until `%config` says otherwise."""
        return settings().auto_display
