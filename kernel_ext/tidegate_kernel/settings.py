"""The settings of the notebook, as ``%config TideGate`` shows them."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, TraitError, default, validate
from traitlets.config import Configurable

from tidegate.settings import settings

from . import nested_asyncio


class TideGate(Configurable):  # type: ignore[misc]  # traitlets are untyped here
    """Settings of Tidegate in this notebook."""

    auto_display = Bool(True, help="Show the graph of each flow run under the cell that started it.").tag(config=True)

    nested_asyncio = Bool(
        False,
        help="Let `asyncio.run` work in cells, where a loop runs already. Needs the extra tidegate[nest]; "
        "holds until the kernel ends.",
    ).tag(config=True)

    _patched = False

    @default("auto_display")  # type: ignore[untyped-decorator]
    def _auto_display(self) -> bool:
        """What the settings of the process say, until `%config` says otherwise."""
        return settings().auto_display

    @validate("nested_asyncio")  # type: ignore[untyped-decorator]
    def _nested_asyncio(self, proposal: Any) -> bool:
        """Patch asyncio, or say why that is not to be."""
        if proposal.value:
            try:
                nested_asyncio.allow()
            except ImportError as error:
                raise TraitError(str(error)) from None
            self._patched = True
        elif self._patched:
            raise TraitError("nested_asyncio cannot be taken back: restart the kernel.")
        return bool(proposal.value)
