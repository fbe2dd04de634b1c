"""The settings of the notebook, as ``%config TideGate`` shows them."""

from __future__ import annotations

from traitlets import Bool
from traitlets.config import Configurable


class TideGate(Configurable):  # type: ignore[misc]  # traitlets are untyped here
    """Settings of Tidegate in this notebook."""

    auto_display = Bool(True, help="Show the graph of each flow run under the cell that started it.").tag(config=True)
