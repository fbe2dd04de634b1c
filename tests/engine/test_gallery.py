"""The gallery of docs: each picture is there, in both themes, none is left over, and all are small."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
MOST = 1_500_000
"""Bytes of all pictures."""


def test_the_gallery_shows_the_pictures_that_are_there() -> None:
    text = (DOCS / "gallery.md").read_text()
    shown = set(re.findall(r'(?:src|srcset)="images/gallery/([\w-]+)\.png"', text))
    pictures = list((DOCS / "images" / "gallery").iterdir())
    assert shown == {each.stem for each in pictures}
    assert {each.removesuffix("-dark") for each in shown if each.endswith("-dark")} == {
        each.removesuffix("-light") for each in shown if each.endswith("-light")
    }
    assert sum(each.stat().st_size for each in pictures) < MOST
