"""The flows and tasks of this process: found by kind and name; two that share one are told of."""

from __future__ import annotations

import gc
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import tidegate
from support.flows import flow, in_time, task
from tidegate import Flow, Task
from tidegate.deploy.loading import load_flow
from tidegate.engine import Engine
from tidegate.registry import registered


def defined(source: str, module: str = "__main__", place: str = "cell") -> dict[str, Any]:
    """What a source defines, as a cell of a notebook or a module does."""
    names: dict[str, Any] = {"__name__": module, "flow": tidegate.flow, "task": tidegate.task}
    exec(compile(source, place, "exec"), names)
    return names


def test_nothing_of_these_names_is_there_yet() -> None:
    assert not {"reg-one", "reg-two"} & registered("flow").keys()


@pytest.mark.conforms("B016")
def test_they_are_found_by_kind_and_name() -> None:
    one, two, three = flow(lambda: 1, name="reg-one"), flow(lambda: 1, name="reg-two"), task(lambda: 1, name="reg-one")
    flows, tasks = registered("flow"), registered("task")
    assert (flows["reg-one"], flows["reg-two"], tasks["reg-one"]) == (one, two, three)
    assert all(isinstance(each, Flow) for each in flows.values())
    assert all(isinstance(each, Task) for each in tasks.values())
    assert "reg-two" not in tasks
    again = one.with_options(retries=1)
    assert registered("flow")["reg-one"] is again, "the latest"


@pytest.mark.conforms("B016")
def test_nobody_is_kept_alive() -> None:
    made = flow(lambda: 1, name="reg-gone")
    assert "reg-gone" in registered("flow")
    del made
    gc.collect()
    assert "reg-gone" not in registered("flow")


DECORATORS = ["@flow", "@flow(name='{0}')", "@flow(retries=1)"]


@pytest.mark.parametrize("at", range(len(DECORATORS)), ids=DECORATORS)
@pytest.mark.conforms("B015")
def test_another_function_of_the_same_name_is_told_of(at: int) -> None:
    name = f"told{at}"
    first = defined(f"@flow\ndef {name}(): ...\n", "one_module", "one.py")
    with pytest.warns(UserWarning, match=f"There is a flow '{name}' already") as caught:
        defined(f"\n\n{DECORATORS[at].format(name)}\ndef {name}(): ...\n", "other_module", "other.py")
    (told,) = caught
    assert f"{name} in one.py, line 1" in str(told.message)
    assert f"{name} in other.py, line 3" in str(told.message)
    assert "\n" not in str(told.message)
    assert (told.filename, told.lineno) == ("other.py", 3), "it points at the line of the user"
    assert first


@pytest.mark.parametrize("kind", ["flow", "task"])
@pytest.mark.conforms("B015")
def test_the_same_one_once_more_is_not_told_of(kind: str) -> None:
    cell = f"@{kind}\ndef again(): ...\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = defined(cell)
        second = defined(cell + "# edited\n")  # the cell is run once more
        copies = [second["again"].with_options(description="x"), second["again"].with_options(name="again2")]
        made = [(flow if kind == "flow" else task)(lambda: 1, name="again") for _ in range(2)]  # made in a function
    assert first
    assert copies
    assert made


@pytest.mark.conforms("B015")
def test_tasks_are_told_of_within_a_module_only() -> None:
    one = defined("@task(name='t')\ndef a(): ...\n", "one_module")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        two = defined("@task(name='t')\ndef b(): ...\n", "other_module")  # a helper of the same name: fine
    with pytest.warns(UserWarning, match="There is a task 't' already"):
        three = defined("@task(name='t')\ndef c(): ...\n", "other_module")
    assert one
    assert two
    assert three


@pytest.mark.conforms("B015")
def test_a_script_that_is_loaded_twice_is_not_told_of(engine: Engine, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from tidegate import flow\n@flow\ndef scripted(): return 7\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = load_flow(str(script)), load_flow(str(script))
    assert first is not second
    assert in_time(second) == 7
    for name in [name for name in sys.modules if name.startswith("__tidegate_loader")]:
        del sys.modules[name]
