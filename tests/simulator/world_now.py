"""The world that is simulated now: what the tasks and flows of its programs are called in."""

from __future__ import annotations

from typing import Any, Protocol


class Playing(Protocol):
    """What plays the parts."""

    def play(self, node: str, inputs: Any) -> Any:
        """The turns of a body."""
        ...

    def runner(self) -> Any:
        """A runner for a flow run of the process whose turn it is."""
        ...


_worlds: list[Playing] = []


def enter(world: Playing) -> None:
    """It is this one from now on."""
    _worlds[:] = [world]


def play(node: str, inputs: Any) -> Any:
    """The turns of a body."""
    return _worlds[0].play(node, inputs)


def runner() -> Any:
    """A runner for a flow run of the process whose turn it is."""
    return _worlds[0].runner()
