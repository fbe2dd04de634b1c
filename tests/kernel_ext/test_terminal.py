"""IPython in a terminal, which has no kernel and shows no widgets: cells run and are recorded all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = r"""
%load_ext tidegate
from tidegate import task
@task
def same(x): return x
@task
async def same_async(x): return x
cells = [
    "%%flow --name typed\nprint('sum', sum(same.map(range(4)).result()))",
    "%%flow --name awaited\nprint('awaited', await same_async(5))",
    "%%flow --detach\nawait same_async(6)",
    "print('detached', run.result())",
    "%%flow --name failing\nsame(1); 1 / 0",
    "%tidegate runs",
    "%tidegate show 1",
    "%tidegate resume 1",
    "%unload_ext tidegate",
    "%%flow\n1",
]
for cell in cells: get_ipython().run_cell(cell)
"""


def test_cells_run_in_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "typed.ipy").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "typed.ipy"],
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    text = done.stdout
    for line in ("sum 6", "awaited 5", "detached 6", "RunGraph('typed')"):
        assert line in text.splitlines(), text
    assert "HTML object" not in text
    assert text.count("ZeroDivisionError: division by zero") == 1
    listed = [line.split()[:4] for line in text.splitlines() if line[:1].isdigit()]
    assert [(each[0], each[1], each[3]) for each in listed] == [
        ("4", "failing", "Failed"),
        ("3", "cell-1", "Completed"),
        ("2", "awaited", "Completed"),
        ("1", "typed", "Completed"),
    ]
    refused = [line for line in done.stderr.splitlines() if line.startswith("UsageError")]
    assert [line.split(": ", 2)[-1] for line in refused] == [
        "there is nothing to resume.",
        "Cell magic `%%flow` not found.",
    ]
