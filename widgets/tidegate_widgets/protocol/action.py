"""What may be done from the inspector, to one task run or one task."""

from typing import Literal

Action = Literal["load", "plan", "rerun", "turn"]
"""``load`` binds the result of a task run to a name in the notebook, ``rerun`` runs one again, and ``plan`` says before
what that would do; ``turn`` sets a `Dial` of a task."""
