"""What loading the extension puts in place, and unloading takes away."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from traitlets import TraitError

from tidegate.errors import TidegateError

from .completion import Completion
from .magics import AWAITING, AwaitingCells, FlowMagics
from .notebook_parameters import NotebookParameters
from .reloading import Reloading
from .session import Session
from .settings import TideGate
from .tracebacks import show_plainly


class Extension:
    """The extension in one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        try:
            self._settings = TideGate(parent=shell)
        except TraitError as error:  # of what IPython's own configuration says
            raise UsageError(str(error)) from None
        self._session = Session(shell, self._settings)
        self._parameters = NotebookParameters(shell)
        self._magics = FlowMagics(shell, self._session, self._parameters)
        self._session.flow_again = self._magics.commands.flow_again
        self._reloading = Reloading()
        self._completion = Completion(shell)
        self._awaiting = AwaitingCells(shell, self._magics)

    def load(self) -> None:
        """Magics, ``%config TideGate``, the transformer of awaiting cells, completion, the host of the main thread."""
        shell = self._shell
        shell.register_magics(self._magics)
        shell.configurables.append(self._settings)
        shell.input_transformers_cleanup.append(self._awaiting.transform)
        # Not under the user's eyes: `%who` and completion leave hidden names out.
        shell.user_ns[AWAITING] = shell.user_ns_hidden[AWAITING] = self._awaiting.run
        if not shell.custom_exceptions:  # else they are somebody else's
            shell.set_custom_exc((TidegateError,), show_plainly)
        self._completion.start()
        self._reloading.start()
        self._parameters.start()
        self._session.start()

    def unload(self) -> None:
        """The reverse."""
        shell = self._shell
        self._session.stop()
        self._completion.stop()
        self._reloading.stop()
        self._parameters.stop()
        if shell.custom_exceptions == (TidegateError,):
            shell.set_custom_exc((), None)
        shell.user_ns.pop(AWAITING, None)
        shell.user_ns_hidden.pop(AWAITING, None)
        shell.input_transformers_cleanup.remove(self._awaiting.transform)
        shell.configurables.remove(self._settings)
        shell.configurables.remove(self._magics)  # where Magics put itself
        shell.magics_manager.registry.pop("FlowMagics", None)
        shell.magics_manager.magics["cell"].pop("flow", None)
        shell.magics_manager.magics["line"].pop("tidegate", None)
