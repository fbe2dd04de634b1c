"""Loading flows from scripts, modules and notebooks: nothing runs, and what cannot be loaded says why."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.flows import Feed, flow, in_time, task
from support.modules import forgotten
from tidegate import FlowNotFound, InvalidName, ScriptError, UnspecifiedFlow, UsageError
from tidegate.deploy import block_code_execution, is_blocked, load_flow, load_notebook, notebook_parameters
from tidegate.deploy.notebooks import Notebook
from tidegate.engine import Engine
from tidegate.model.events import FlowCreated
from tidegate.task_runners import ProcessTaskRunner, SequentialTaskRunner

Write = Callable[..., str]


@pytest.fixture(autouse=True)
def tidy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Modules that a test loads are forgotten; the search path must be as it was."""
    path = list(sys.path)
    monkeypatch.chdir(tmp_path)
    with forgotten(tmp_path):
        yield
    assert sys.path == path
    assert not is_blocked()


@pytest.fixture
def script(tmp_path: Path) -> Write:
    def write(text: str, name: str = "etl.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("from tidegate import flow, task\n" + text)
        return str(path)

    return write


@pytest.fixture
def notebook(tmp_path: Path) -> Write:
    """Writes a notebook of these code cells; one that begins with ``#parameters`` has that tag."""

    def write(*cells: str, name: str = "nightly.ipynb", **metadata: Any) -> str:
        made = [
            {
                "cell_type": "code",
                "source": cell.splitlines(keepends=True),
                "metadata": {"tags": ["parameters"]} if cell.startswith("#parameters") else {},
            }
            for cell in ("from tidegate import flow, task", *cells)
        ]
        made.insert(1, {"cell_type": "markdown", "source": "# Title", "metadata": {}})
        path = tmp_path / name
        path.write_text(json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
        return str(path)

    return write


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


# Blocking -----------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B028")
def test_a_blocked_call_gives_null_warns_and_creates_nothing(
    stored: Engine, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    @flow
    def work(x: int) -> str:
        ran.append("sync")
        return "done"

    @flow
    async def work_async() -> str:
        ran.append("async")
        return "done"

    with block_code_execution():
        assert is_blocked()
        assert work(1) is None
        assert work(1, return_state=True) is None
        assert asyncio.run(work_async()) is None
    assert [(each.levelno, each.args) for each in caplog.records] == [
        (logging.WARNING, (name,)) for name in ("work", "work", "work-async")
    ]
    assert (ran, feed.runs, stored.store.flow_runs(10)) == ([], [], [])
    assert not is_blocked()
    assert work(1) == "done"
    assert [each.flow for each in stored.store.flow_runs(10)] == ["work"]


@pytest.mark.conforms("B028")
def test_a_block_in_a_flow_records_nothing_there_and_holds_in_this_thread_alone(stored: Engine, feed: Feed) -> None:
    @task
    def double(x: int) -> int:
        return 2 * x

    @flow
    def inner() -> Any:
        return double(1)

    @flow
    def outer() -> Any:
        with block_code_execution():
            inside = [inner(), double(2), in_time(lambda: is_blocked())]
        return [*inside, inner()]

    assert outer() == [None, 4, False, 2]
    assert [each.name for each in stored.store.task_runs(1)] == ["inner-0"], "the blocked calls left nothing"


# Scripts ------------------------------------------------------------------------------------------------------------

CALLS = """
@task
def double(x):
    return 2 * x

@flow(name="the nightly one")
def nightly(x=2):
    return double(x)

seen = [nightly(), double(3), __name__]
if __name__ == "__main__":
    raise SystemExit("ran as a script")
"""


@pytest.mark.conforms("B293", "B028")
def test_a_script_is_loaded_without_running_its_flows(
    stored: Engine, feed: Feed, script: Write, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = load_flow(script(CALLS))
    assert loaded.fn.__globals__["seen"][:2] == [None, 6]
    assert "'the nightly one' was called while" in caplog.text
    assert feed.runs == []
    assert stored.store.flow_runs(10) == []
    assert loaded(5) == 10
    assert [each.flow for each in stored.store.flow_runs(10)] == ["the nightly one"]


@pytest.mark.parametrize("name", ["the nightly one", "nightly"], ids=["flow", "variable"])
def test_a_flow_is_found_by_its_name_or_its_variable(script: Write, name: str) -> None:
    target = script(CALLS + "@flow\ndef other(): ...\n")
    assert load_flow(f"{target}:{name}").name == "the nightly one"
    assert load_flow(f"etl.py:{name}").name == "the nightly one", "from the working folder"


@pytest.mark.conforms("B293")
def test_several_flows_and_no_name(script: Write) -> None:
    target = script(CALLS + "@flow\ndef other(): ...\n")
    with pytest.raises(UnspecifiedFlow, match=r"the nightly one \(variable nightly\), other") as caught:
        load_flow(target)
    assert isinstance(caught.value, UsageError)
    one_line(caught.value)
    twice = script("@flow\ndef a(): ...\nb = a.with_options()\n", "twice.py")
    with pytest.raises(UnspecifiedFlow, match="several flows"):
        load_flow(twice)
    assert load_flow(f"{twice}:b").name == "a"


@pytest.mark.conforms("B293")
def test_no_flow_and_an_unknown_name(script: Write) -> None:
    with pytest.raises(FlowNotFound, match=r"no flow 'x' in .*etl.py. There are: the nightly one") as caught:
        load_flow(script(CALLS) + ":x")
    one_line(caught.value)
    for suffix in ("", ":x"):
        with pytest.raises(FlowNotFound, match="There is no flow in"):
            load_flow(script("def work(): ...\n", "empty.py") + suffix)
    for missing in ("gone.py", "gone.ipynb:x", "gone.py:x"):
        with pytest.raises(FlowNotFound, match=r"no file gone\."):
            load_flow(missing)


def test_a_flow_with_two_variables_is_one_and_imported_ones_do_not_count_unless_named(script: Write) -> None:
    script("@flow\ndef helper(): ...\n", "helpers.py")
    target = script("from helpers import helper\n@flow\ndef work(): return 1\nmain = work\n")
    assert load_flow(target).name == "work"
    assert load_flow(f"{target}:helper").name == "helper"
    assert load_flow(script("from helpers import helper\n", "only.py")).name == "helper"


def test_imports_from_the_folder_of_the_script_work(script: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    script("VALUE = 5\n", "deep/beside.py")
    target = script("import beside\n@flow\ndef work(): return beside.VALUE\n", "deep/etl.py")
    assert load_flow(target).fn() == 5


def test_the_source_stays_at_hand_and_a_changed_file_is_read_anew(script: Write) -> None:
    kept = script("@flow\ndef work():\n    return 1\n")
    first = load_flow(kept)
    assert inspect.getsource(first.fn) == "@flow\ndef work():\n    return 1\n"
    second = load_flow(script("@flow\ndef work():\n    return 2\n"))
    assert (first.fn(), second.fn()) == (1, 2), "though size and time of the file may be the same"
    assert not (Path(kept).parent / "__pycache__").exists()


def test_dataclasses_and_pickle_find_the_module(script: Write) -> None:
    text = (
        "from __future__ import annotations\nimport pickle\nfrom dataclasses import dataclass\nimport tidegate\n"
        "@dataclass\nclass Row:\n    x: int\n"
        "@tidegate.flow\ndef work():\n    return pickle.loads(pickle.dumps(Row(4))).x\n"
    )
    path = Path(script("", "my etl.v2.py"))
    path.write_text(text)
    assert load_flow(str(path)).fn() == 4


FAILS = """
def inner():
    {}

def outer():
    inner()

@flow
def work(): ...

outer()
"""


@pytest.mark.conforms("B293")
def test_what_a_script_raises_is_wrapped_with_the_users_frames_alone(script: Write) -> None:
    with pytest.raises(ScriptError) as caught:
        load_flow(script(FAILS.format("raise ValueError('boom')")) + ":work")
    assert isinstance(caught.value.__cause__, ValueError)
    lines = str(caught.value).splitlines()
    assert lines[0] == "etl.py raised ValueError while it was loaded."
    assert lines[-1] == "ValueError: boom"
    assert re.findall(r'File ".*?([\w.]+)", line (\d+), in (\S+)', str(caught.value)) == [
        ("etl.py", "12", "<module>"),
        ("etl.py", "7", "outer"),
        ("etl.py", "4", "inner"),
    ]
    assert not [name for name in sys.modules if name.startswith("__tidegate_loader")], "nothing is left of it"


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("raise SystemExit(3)", SystemExit, "SystemExit: 3"),
        ("import not_there", ModuleNotFoundError, "No module named 'not_there'"),
        ("flow(name='a/b')(outer)", InvalidName, "flow(name='a/b')(outer)"),
        ("raise FlowNotFound('mine')", NameError, "FlowNotFound"),
    ],
)
def test_other_errors_of_scripts_are_wrapped_too(
    script: Write, text: str, error: type[BaseException], told: str
) -> None:
    with pytest.raises(ScriptError, match=re.escape(told)) as caught:
        load_flow(script(FAILS.format(text)))
    assert isinstance(caught.value.__cause__, error)
    assert "tidegate/" not in str(caught.value).replace(str(Path.cwd()), "")


def test_a_script_that_does_not_compile_shows_its_line(script: Write) -> None:
    with pytest.raises(ScriptError) as caught:
        load_flow(script("x = 1\ny = = 2\n"))
    text = str(caught.value)
    assert text.splitlines()[0] == "etl.py raised SyntaxError while it was loaded."
    assert 'etl.py", line 3' in text
    assert "y = = 2" in text
    assert "Traceback" not in text


def test_an_interrupt_while_loading_is_an_interrupt(script: Write) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_flow(script("raise KeyboardInterrupt\n"))


# Modules ------------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B293")
def test_a_module_is_imported_from_the_working_folder_without_running_its_flows(
    engine: Engine, feed: Feed, script: Write
) -> None:
    script("", "pack/__init__.py")
    script(CALLS, "pack/etl.py")
    assert load_flow("pack.etl:nightly").name == "the nightly one"
    assert load_flow("pack.etl").name == "the nightly one"
    assert feed.runs == []
    with pytest.raises(FlowNotFound, match=r"no flow 'x' in pack\.etl"):
        load_flow("pack.etl:x")


def test_a_module_that_is_not_there_and_one_that_lacks_something(script: Write) -> None:
    script("", "pack/__init__.py")
    for missing in ("nowhere:x", "pack.nowhere:x", "nowhere.at.all:x"):
        with pytest.raises(FlowNotFound, match="no module"):
            load_flow(missing)
    script("import nowhere\n", "pack/lacks.py")
    with pytest.raises(ScriptError, match=r"lacks.py.*\n.*import nowhere") as caught:
        load_flow("pack.lacks:x")
    assert "importlib" not in str(caught.value)
    for senseless in ("", ":x", "a b:x", "etl.txt", "../pack:x"):
        with pytest.raises(UsageError) as bad:
            load_flow(senseless)
        one_line(bad.value)


# Notebooks ----------------------------------------------------------------------------------------------------------


def test_a_flow_cell_runs_over_the_cells_before_it(stored: Engine, feed: Feed, notebook: Write) -> None:
    target = notebook(
        "rows = [1, 2]\nstale = 1",
        "@task\ndef double(x): return 2 * x",
        "@flow\ndef other(): return 1\nseen = other()",
        "%%flow\nresult = double.map(rows).result()\nstale = 2\nsum(result), seen, stale",
        "raise ValueError('after the flow')",
    )
    loaded = load_flow(target)
    assert loaded.name == "nightly"
    assert feed.runs == []
    assert loaded() == (6, None, 2)
    assert [each.flow for each in stored.store.flow_runs(10)] == ["nightly"]
    assert [each.name for each in stored.store.task_runs(1)] == ["double-0", "double-1"]


def test_a_flow_cell_may_run_in_processes(notebook: Write) -> None:
    target = notebook(
        "import os\n@task\ndef where(): return os.getpid()",
        "%%flow --task-runner process --max-workers 2\nos.getpid() != where.submit().result()",
    )
    loaded = load_flow(target)
    assert isinstance(loaded.task_runner, ProcessTaskRunner)
    assert loaded.task_runner.max_workers == 2
    assert loaded() is True


def test_a_flow_cell_says_its_other_options(notebook: Write) -> None:
    line = "--retries 2 --retry-delay 0.5 --timeout 60 --tag a --tag b --durability power --log-prints"
    loaded = load_flow(notebook(f"%%flow {line}\n1"))
    assert (loaded.policy.retries, loaded.timeout_seconds, loaded.durability) == (2, 60.0, "power")
    assert loaded.tags == {"a", "b"}
    assert loaded.log_prints
    assert loaded() == 1


def test_a_flow_cell_says_its_name_and_its_runner(notebook: Write) -> None:
    target = notebook(
        "%%flow --name first --max-workers=2\n1", "%%flow --name 'the second' --task-runner sequential\n2"
    )
    assert load_flow(f"{target}:first")() == 1
    second = load_flow(f"{target}:the second")
    assert second() == 2
    assert isinstance(second.task_runner, SequentialTaskRunner)
    with pytest.raises(UnspecifiedFlow, match="first, the second"):
        load_flow(target)
    with pytest.raises(FlowNotFound, match=r"no flow 'third' in .*\. There are: first, the second"):
        load_flow(f"{target}:third")
    with pytest.raises(UnspecifiedFlow, match="several flows called 'nightly'"):
        load_flow(notebook("%%flow\n1", "%%flow\n2") + ":nightly")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("--nmae x", "unrecognized arguments: --nmae x"),
        ("--name", "--name: expected one argument"),
        ("--name 'x", "No closing quotation"),
        ("--task-runner dusk", "--task-runner: invalid choice: .dusk. "),
        ("--max-workers many", "--max-workers: invalid int value: .many."),
        ("--task-runner sequential --max-workers 2", "no sense"),
    ],
)
def test_a_typo_in_a_flow_line_is_one_line(notebook: Write, line: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        load_flow(notebook(f"%%flow {line}\n1"))
    assert "nightly.ipynb, cell 2" in one_line(caught.value)


def test_a_flow_cell_that_awaits_is_an_async_flow(engine: Engine, notebook: Write) -> None:
    target = notebook(
        "import asyncio\n@task\nasync def add(x):\n    await asyncio.sleep(0)\n    return x + 1",
        "%%flow\na = await add(1)\nawait add(a)",
    )
    loaded = load_flow(target)
    assert loaded.is_async
    assert asyncio.run(loaded()) == 3


def test_functions_of_plain_cells_are_flows_too(engine: Engine, feed: Feed, notebook: Write) -> None:
    """Cells after the flow use what a call of it gave; that was null."""
    target = notebook("@flow(name='a one')\ndef one(x=1): return [x]", "result = one()", "result[0]")
    assert load_flow(f"{target}:one")() == [1]
    assert load_flow(f"{target}:a one")() == [1]
    assert load_flow(target)(4) == [4]
    with pytest.raises(FlowNotFound, match=r"no flow 'two' in .*\. There are: a one \(variable one\)\."):
        load_flow(f"{target}:two")
    with pytest.raises(ScriptError, match="not subscriptable"):
        load_flow(notebook("@flow\ndef one(): ...\nresult = one()", "result[0]", "@flow\ndef two(): ...") + ":two")
    two = notebook("@flow\ndef one(): ...\n@flow\nasync def two(): ...", "await two()")
    with pytest.raises(UnspecifiedFlow, match="one, two"):
        load_flow(two)
    with pytest.raises(FlowNotFound, match="There is no flow in"):
        load_flow(notebook("x = 1"))


def test_a_cell_that_really_waits_while_loading_is_refused(notebook: Write) -> None:
    target = notebook("import types\n@types.coroutine\ndef pause(): yield", "await pause()", "%%flow\n1")
    with pytest.raises(UsageError, match="cell 3 awaits something") as caught:
        load_flow(target)
    one_line(caught.value)


MAGICS = """%load_ext tidegate
%matplotlib inline
import math
files = !ls 'it
text = '''
% of lines
!important'''
rest = (7
% 4)
def here():
    !pwd
    %cd (
    return rest
!pip install \\
  something
math?
?math
"""


def test_what_only_ipython_understands_is_left_out_with_a_note(
    notebook: Write, caplog: pytest.LogCaptureFixture
) -> None:
    target = notebook(
        MAGICS,
        "%%bash\nrm -rf '",
        "%%time\ntimed = 1",
        "%%flow\n%time x = 1\ndisplay(rest)\ntext, here(), timed, 'files' in globals()",
    )
    assert load_flow(target)() == ("\n% of lines\n!important", 3, 1, False)
    left_out = re.findall(r"line (\d+) is left out", caplog.text)
    assert sorted(map(int, left_out)) == [1, 2, 2, 4, 11, 12, 14, 16, 17]
    assert "cell 3 is left out, %%bash needs a notebook" in caplog.text


def test_errors_of_cells_name_the_cell_and_the_line(engine: Engine, notebook: Write) -> None:
    with pytest.raises(ScriptError) as caught:
        load_flow(notebook("x = 1\nx / 0", "%%flow\n1"))
    assert 'nightly.ipynb, cell 2", line 2' in str(caught.value)
    assert "x / 0" in str(caught.value)
    assert len(re.findall("File ", str(caught.value))) == 1
    for cells in (("print('a = %d' 5)", "%%flow\n1"), ("%%flow\nprint('a = %d' 5)",)):
        with pytest.raises(ScriptError, match=r"(?s)cell 2\", line .*SyntaxError"):
            load_flow(notebook(*cells))
    loaded = load_flow(notebook("%%flow\nx = 1\nx / 0"))
    with pytest.raises(ZeroDivisionError) as raised:
        loaded()
    last = inspect.getinnerframes(raised.tb)[-1]
    assert (last.filename.endswith("nightly.ipynb, cell 2"), last.lineno) == (True, 3)
    assert last.code_context == ["x / 0"]


def test_functions_of_cells_have_their_source_and_a_cell_its_own_version(stored: Engine, notebook: Write) -> None:
    loaded = load_flow(notebook("def f(x):\n    return x + 1\n", "%%flow\nf"))
    assert inspect.getsource(loaded()) == "def f(x):\n    return x + 1\n"
    load_flow(notebook("def f(x):\n    return x + 1\n", "%%flow\n2"))()
    sources = {
        event.source for number in (1, 2) for _, event in stored.store.events(number) if isinstance(event, FlowCreated)
    }
    assert len(sources) == 2


def test_annotations_from_the_future_hold_in_the_cells_after(notebook: Write) -> None:
    target = notebook("from __future__ import annotations", "def f(x: Later): ...", "%%flow\ndef g(x: Later): ...\n1")
    assert load_flow(target)() == 1


PARAMETERS = "#parameters\nday = '2024-01-01'\nlimit: int = 10 + 5\n"


def test_parameters_take_the_place_of_defaults_before_later_cells_run(engine: Engine, notebook: Write) -> None:
    target = notebook("limit = 3", PARAMETERS, "twice = 2 * limit", "%%flow\n(day, limit, twice)")
    assert notebook_parameters(target) == {"day": "'2024-01-01'", "limit": "10 + 5"}
    assert load_notebook(target)() == ("2024-01-01", 15, 30)
    assert load_notebook(target, parameters={"limit": 1})() == ("2024-01-01", 1, 2)
    assert load_notebook(target, "nightly", {"day": "today", "limit": 2})() == ("today", 2, 4)


def test_parameters_of_the_flow_s_first_line_hold_unless_others_are_given(engine: Engine, notebook: Write) -> None:
    target = notebook(PARAMETERS, "%%flow --param limit=3 --param extra=plain\n(day, limit, extra)")
    assert load_notebook(target)() == ("2024-01-01", 3, "plain")
    assert load_notebook(target, parameters={"limit": 1})() == ("2024-01-01", 1, "plain")
    with pytest.raises(UsageError, match="'limit' is no NAME=VALUE"):
        load_notebook(notebook("%%flow --param limit\n1"))


def test_parameters_that_there_are_not_are_refused(notebook: Write) -> None:
    target = notebook(PARAMETERS, "%%flow\n1")
    with pytest.raises(UsageError, match=r"no parameter 'lmit'\. It has day, limit\.") as caught:
        load_notebook(target, parameters={"lmit": 1})
    one_line(caught.value)
    for cells in (("%%flow\n1",), ("%%flow\n1", PARAMETERS)):
        with pytest.raises(UsageError, match="takes no parameters"):
            load_notebook(notebook(*cells), parameters={"limit": 1})
    assert notebook_parameters(notebook("x = 1")) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("not json", "is no notebook"),
        ("[]", "is no notebook"),
        ('{"worksheets": [], "metadata": {}}', "is no notebook"),
        ('{"cells": [], "metadata": {"kernelspec": {"language": "R"}}}', "is in R"),
    ],
)
def test_a_file_that_is_no_notebook_of_ours_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.ipynb").write_text(text)
    with pytest.raises(UsageError, match=why) as caught:
        load_flow("a.ipynb")
    one_line(caught.value)


def test_what_jupyter_writes_is_read() -> None:
    """The notebook of the project; loading its flow would start the service that it calls."""
    read = Notebook(Path(__file__).resolve().parents[2] / "notebooks" / "quickstart.ipynb")
    assert [each.name for each in read.headings] == ["airports", "stateless"]
    assert all(each.tree().body for each in read.cells)
