"""Whatever a task raises in a cell: the kernel lives, and the next cell runs."""

from __future__ import annotations

import pytest

from kernel_ext.driving import newest_run
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

ERRORS = [
    "SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()", "asyncio.CancelledError()", "BaseException('base')",
    "BaseExceptionGroup('group', [SystemExit(1), ValueError()])", "Own()", "StopIteration(1)", "StopAsyncIteration(1)",
    "RecursionError('deep')", "MemoryError()", "TimeoutError('late')",
]  # fmt: skip

CELL = """%%flow
{first}
class Own(BaseException): pass
@task
def same(x): return x
@task
def raises(): raise {error}
@task
async def raises_async(): raise {error}
before = same.map([1, 2])
states = [raises(return_state=True), raises.submit(return_state=True)]
states += [{wait}raises_async(return_state=True), {wait}raises_async.submit(return_state=True)]
before.result()
"""


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("kind", ["sync", "awaiting"])
@pytest.mark.scorecard(25, case=True)
def test_a_kernel_is_unharmed(kernel: FrontEnd, kind: str, error: str) -> None:
    first, wait = ("await asyncio.sleep(0)", "await ") if kind == "awaiting" else ("", "")
    reply = kernel.run(CELL.format(error=error, first=first, wait=wait))
    ends = ("SystemExit", "KeyboardInterrupt")  # which must not be passed over
    if error.startswith(ends):
        assert reply.status == "error", reply.content
        assert newest_run(kernel)[2] == "CRASHED"
    else:
        assert (reply.status, reply.result) == ("ok", "[1, 2]"), reply.content
        assert newest_run(kernel)[2] == "COMPLETED"
    failed = error.startswith(("Stop", "Recursion", "Memory", "Timeout"))
    assert kernel.value("{state.type.value for state in states}") == {"FAILED" if failed else "CRASHED"}
    assert kernel.run("%%flow\n[same(1), *same.map([2]).result(), asyncio.get_running_loop().is_running()]").result == (
        "[1, 2, True]"
    )
