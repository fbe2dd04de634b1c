"""What was kept with a run to be looked at."""

from typing import Literal, TypedDict


class ArtifactCount(TypedDict):
    """That there are artifacts; they themselves are sent to a page that asks for them."""

    count: int
    version: int
    """Grows with each change of one of them."""


class ArtifactView(TypedDict):
    """Something to look at that was kept with the run."""

    id: int
    title: str
    """Its key, or what it is: ``Table``."""
    maker: str
    """Who made it: ``clean[3]``, or a subflow; empty for the flow itself."""
    description: str
    kind: Literal["text", "table", "link", "image", "progress"]
    text: str
    """Of a text, and what a link says."""
    url: str
    """Where a link leads, or an image as ``data:image/...``."""
    columns: list[str]
    """Of a table; empty if they have no names."""
    rows: list[list[str]]
    progress: float
    """0 to 100."""
    note: str
    """What is not shown, and why; or empty."""
