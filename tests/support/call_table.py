"""The call table as text: what is called, how, and from where.  Run in process, and in the cells of real kernels."""

from __future__ import annotations

from textwrap import indent

DEFINITIONS = """
@task
def sync_task(x, y=1): return x + y

@task
async def async_task(x, y=1):
    await asyncio.sleep(0)
    return x + y

@flow
def sync_flow(x, y=1): return sync_task(x, y)

@flow
async def async_flow(x, y=1): return await async_task(x, y)
"""

TASKS = ("sync_task", "async_task")
FLOWS = ("sync_flow", "async_flow")

# `w` is the await that only an async thing called by async code needs.
DIRECT: dict[str, tuple[str, object]] = {
    "call": ("{w}{f}(1, y=2)", 3),
    "call-state": ("({w}{f}(1, y=2, return_state=True)).result()", 3),
}
SUBMITTED: dict[str, tuple[str, object]] = {
    "submit": ("{w}{f}.submit(1, y=2).result()", 3),
    "submit-awaited": ("{w}({w}{f}.submit(1, y=2)).result()", 3),
    "submit-state": ("({w}{f}.submit(1, y=2, return_state=True)).result()", 3),
    "map": ("{w}{f}.map([1, 2, 3], y=2).result()", [3, 4, 5]),
    "map-awaited": ("{w}({w}{f}.map([1, 2, 3], y=2)).result()", [3, 4, 5]),
    "map-state": ("[each.result() for each in {w}{f}.map([1, 2, 3], y=2, return_state=True)]", [3, 4, 5]),
}
WAYS = {**DIRECT, **SUBMITTED}

PLACES = ("root", "sync flow", "async flow", "sync task", "async task")
"""Where the call stands: in the root flow, or in a subflow or a task that the root flow calls."""


def calls(place: str) -> list[tuple[str, str]]:
    """Everything that may be called there, with each way to do it; flows are called directly, and not in tasks."""
    flows = () if place.endswith("task") else FLOWS
    return [*((f, way) for f in TASKS for way in WAYS), *((f, way) for f in flows for way in DIRECT)]


def wanted(chosen: list[tuple[str, str]]) -> list[object]:
    """What these calls give."""
    return [WAYS[way][1] for _, way in chosen]


def program(place: str, awaiting: bool, chosen: list[tuple[str, str]]) -> tuple[str, str]:
    """What to define, and the expression with the results of the calls; `awaiting` says that the root is async."""
    kind, _, face = place.partition(" ")
    here = awaiting if place == "root" else kind == "async"
    results = f"[{', '.join(expression(f, way, here) for f, way in chosen)}]"
    if place == "root":
        return "", results
    head = "async def" if here else "def"
    return f"@{face}\n{head} inner():\n    return {results}\n", "await inner()" if here and awaiting else "inner()"


def root(definitions: str, expression: str, awaiting: bool) -> str:
    """A root flow around it, as text."""
    body = indent(f"return {expression}", "    ")
    return f"{definitions}\n@flow\n{'async def' if awaiting else 'def'} root():\n{body}\n"


def expression(f: str, way: str, here: bool) -> str:
    """One call, as it is written in async code (`here`) or in sync code."""
    return WAYS[way][0].format(f=f, w="await " if here and f.startswith("async") else "")
