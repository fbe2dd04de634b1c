"""The page's side of the protocol has the fields that the kernel's side has, and no others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints, is_typeddict

import pytest

from tidegate_widgets import protocol

MIRROR = (Path(__file__).parents[2] / "widgets" / "js" / "src" / "protocol.ts").read_text()
TYPES = [name for name, each in vars(protocol).items() if is_typeddict(each) and name not in ("Ack", "ErrorRun")]
"""Those that have a name on both sides; the others stand where they are used there."""


def fields(interface: str) -> set[str]:
    """The names of the fields of an interface of the mirror."""
    found = re.search(rf"^export interface {interface} \{{\n(.*?)^\}}", MIRROR, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^  (\w+)\??:", found[1], re.MULTILINE)) if found else set()


@pytest.mark.parametrize("name", TYPES)
def test_a_type_has_the_same_fields_on_both_sides(name: str) -> None:
    assert fields(name) == set(get_type_hints(getattr(protocol, name)))


def test_both_sides_know_the_same_verbs_and_the_same_size_of_a_page() -> None:
    assert re.search(rf"export const PAGE = {protocol.PAGE};", MIRROR)
    verbs = re.search(r"export type Verb = (.*);", MIRROR)
    assert verbs is not None
    assert re.findall(r'"(\w+)"', verbs[1]) == list(get_args(protocol.Verb))
