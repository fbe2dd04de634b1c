"""How much of a flow run may be lost with the power; with its process alone, only where it says so."""

from __future__ import annotations

from typing import Literal, TypeAlias

Durability: TypeAlias = Literal["memory", "process", "power"]
"""From the fastest to the safest; each is a promise about what is shown as done.

- ``"memory"``: the end of a task run is shown at once and kept before long.  A process that dies may take the last
  moment of them along.  The states of the flow run are kept as with ``"process"``, and with them all that came before.
- ``"process"``: what is shown has left the process: its death loses nothing.  A power cut may take the last second of
  task runs, but never the end, a pause or a cancel of the flow run.
- ``"power"``: what is shown is on the disk.  Each task run waits for the disk, mostly for milliseconds.
"""

LEVELS = ("memory", "process", "power")
DEFAULT: Durability = "process"
