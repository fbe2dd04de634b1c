"""What is importable, and what an import costs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.flows import SOON

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"tidegate": "engine", "tidegate_widgets": "widgets", "tidegate_kernel": "kernel_ext"}


def elsewhere(script: str, folder: Path) -> str:
    """What a fresh process prints, started in a folder that has nothing to do with the project."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], cwd=folder, capture_output=True, text=True, timeout=SOON, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PACKAGES)
def test_each_import_name_is_a_regular_package(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin == str(ROOT / PACKAGES[name] / name / "__init__.py")


@pytest.mark.parametrize("name", ["engine", "widgets", "kernel_ext", "tests", "support", "notebooks", "benchmarks"])
def test_a_source_folder_is_no_import_name(name: str, tmp_path: Path) -> None:
    script = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
    assert elsewhere(script, tmp_path).strip() == "None"


def test_one_distribution_holds_the_three_packages() -> None:
    assert importlib.metadata.version("tidegate")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == [f"{folder}/{name}" for name, folder in PACKAGES.items()]


def test_typed() -> None:
    for name, folder in PACKAGES.items():
        assert (ROOT / folder / name / "py.typed").exists(), f"{name} has no py.typed"


def loaded_by(statement: str, folder: Path) -> set[str]:
    script = f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    return {name.partition(".")[0] for name in json.loads(elsewhere(script, folder))}


HEAVY = {
    "IPython", "ipywidgets", "ipykernel", "anywidget", "traitlets", "pydantic", "pydantic_settings", "anyio", "rich",
    "numpy", "pandas", "coolname", "httpx", "sqlite3", "tidegate_widgets", "tidegate_kernel",
}  # fmt: skip


def test_importing_it_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_by("import tidegate", tmp_path) & HEAVY == set()


def test_a_flow_over_the_memory_store_loads_no_notebook(tmp_path: Path) -> None:
    statement = (
        "from tidegate import flow\nfrom tidegate.engine import Engine, using\n"
        "from tidegate.store.memory import MemoryStore\n"
        "def work(): return 5\n"
        "with using(Engine(store=MemoryStore())): assert flow(work)() == 5"
    )
    assert loaded_by(statement, tmp_path) & {"IPython", "ipywidgets", "ipykernel", "anywidget", "sqlite3"} == set()


def test_a_flow_by_default_keeps_its_record_beside_it_and_says_nothing(tmp_path: Path) -> None:
    script = "from tidegate import flow\ndef work(): return 5\nprint(flow(work)())"
    assert elsewhere(script, tmp_path) == "5\n"
    assert (tmp_path / ".tidegate" / "store.db").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == [".tidegate"]


def test_importing_it_starts_no_thread_and_takes_no_signal(tmp_path: Path) -> None:
    script = (
        "import signal, threading; before = signal.getsignal(signal.SIGINT)\nimport tidegate\n"
        "print(threading.active_count(), signal.getsignal(signal.SIGINT) is before)"
    )
    assert elsewhere(script, tmp_path).split() == ["1", "True"]
