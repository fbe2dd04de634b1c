"""What becomes of a cassette while flows run: the record modes, as VCR has them."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

RecordMode: TypeAlias = Literal["none", "once", "new_episodes", "all"]
"""``none`` only replays; ``once`` replays a cassette that is there and records one that is not; ``new_episodes``
replays what is in it and records the rest; ``all`` replays nothing and records it anew."""

RECORD_MODES: tuple[str, ...] = get_args(RecordMode)
