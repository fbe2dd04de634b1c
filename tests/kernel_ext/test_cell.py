"""What a `%%flow` cell means: a cell like any other, but recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_ext.driving import Loaded, graphs, newest_run, ours_in, plain
from support.front_end import FrontEnd
from support.messages import Reply

pytestmark = pytest.mark.kernel

TASKS = """
@task
def same(x): return x
@task
async def same_async(x): return x
@task
def fails(x):
    y = x + 1
    raise ValueError(f'bad {y}')
@task
async def fails_async(x):
    raise ValueError(f'bad {x + 1}')
"""


@pytest.fixture
def cells(kernel: FrontEnd) -> FrontEnd:
    """A kernel of every version, with the tasks above."""
    if kernel.expr("'fails_async' in globals()") != "True":
        assert kernel.run(TASKS).status == "ok"
    return kernel


@pytest.fixture
def here(newest: FrontEnd) -> FrontEnd:
    """The newest kernel, with the tasks above: for what does not hang on the version."""
    if newest.expr("'fails_async' in globals()") != "True":
        assert newest.run(TASKS).status == "ok"
    return newest


def traceback(reply: Reply) -> str:
    return plain("\n".join(reply.traceback))


def one_line(kernel: FrontEnd, code: str) -> str:
    """Run a cell that is refused: one line on stderr, nothing else, and the next cell is well."""
    reply = kernel.run(code)
    assert reply.status == "error"
    assert [each["output_type"] for each in reply.outputs] == ["stream"], reply.outputs
    lines = plain(reply.text).strip().splitlines()
    assert len(lines) == 1, reply.text
    assert kernel.run("6 * 7").result == "42"
    return lines[0].removeprefix("UsageError: ")


# Values and names


@pytest.mark.parametrize("lead", ["", "await asyncio.sleep(0)\n"], ids=["sync", "awaiting"])
def test_a_cell_s_names_and_value(cells: FrontEnd, lead: str) -> None:
    reply = cells.run(f"%%flow\n{lead}made = same(20)\nmade += 1\ndef double(x): return 2 * x\nsame(double(made))")
    assert (reply.status, reply.result) == ("ok", "42"), reply.content
    number = reply.content["execution_count"]
    assert cells.value("(_, made, double(2))") == (42, 21, 4)
    assert cells.value(f"Out[{number}]") == 42
    assert newest_run(cells)[1:] == (f"cell-{number}", "COMPLETED", "Completed")


@pytest.mark.parametrize("lead", ["", "await asyncio.sleep(0)\n"], ids=["sync", "awaiting"])
def test_a_semicolon_silences(here: FrontEnd, lead: str) -> None:
    assert here.run(f"%%flow\n{lead}same('loud')").result == "'loud'"
    assert here.run(f"%%flow\n{lead}same('quiet');").result is None
    assert here.run(f"%%flow\n{lead}same('quiet');  # with a remark\n").result is None
    assert here.run(f"%%flow\n{lead}same('not; quiet')").result == "'not; quiet'"
    assert here.run(f"%%flow\n{lead}same('loud')  # a remark;").result == "'loud'"


@pytest.mark.parametrize("body", ["# nothing", "pass", "x = 1", "x = await same_async(1)", "same(None)"])
def test_a_cell_without_a_value_shows_none(here: FrontEnd, body: str) -> None:
    reply = here.run(f"%%flow\n{body}")
    assert (reply.status, reply.result) == ("ok", None)


def test_functions_and_objects_of_earlier_cells(cells: FrontEnd) -> None:
    cells.run("box = []\ndef helper(x):\n    box.append(x)\n    return same(x) + offset")
    cells.run("offset = 100")
    assert cells.run("%%flow\nhelper(1) + helper(2)").result == "203"
    cells.run("offset = 0")
    assert cells.run("%%flow\nhelper(5)").result == "5"
    assert cells.value("box") == [1, 2, 5]


def test_objects_of_earlier_cells_that_belong_to_the_kernel_s_loop(cells: FrontEnd) -> None:
    cells.run(
        "lock = asyncio.Lock(); queue = asyncio.Queue(); loop = asyncio.get_running_loop()\n"
        "await lock.acquire(); waiter = loop.create_task(lock.acquire()); await asyncio.sleep(0)"
    )
    code = """%%flow
assert asyncio.get_running_loop() is loop
lock.release(); await waiter
@task
async def put(x):
    assert asyncio.get_running_loop() is loop
    await queue.put(x)
futures = put.map(range(3))
got = [await queue.get() for _ in range(3)]
lock.release()
sorted(got)"""
    reply = cells.run(code)
    assert (reply.status, reply.result) == ("ok", "[0, 1, 2]"), reply.content


def test_a_connection_of_an_earlier_cell(cells: FrontEnd) -> None:
    # A sqlite3 connection may be used on its own thread only: the cell and its direct tasks are on the main thread.
    cells.run("import sqlite3\nbase = sqlite3.connect(':memory:')\n_ = base.execute('create table t(x)')")
    cells.run("@task\ndef insert(x): base.execute('insert into t values (?)', (x,))")
    assert (
        cells.run("%%flow\nfor x in range(3): insert(x)\nbase.execute('select sum(x) from t').fetchone()[0]").result
        == "3"
    )
    assert cells.run("base.execute('select count(*) from t').fetchone()[0]").result == "3"


@pytest.mark.conforms("B035")
def test_context_variables_of_the_cell(cells: FrontEnd) -> None:
    cells.run(
        "from contextvars import ContextVar\nwho = ContextVar('who', default='?')\n"
        "@task\ndef read(): return who.get()\n@flow\ndef look(): return [who.get(), read(), read.submit().result()]"
    )
    for code in ("who.set('ada')\nlook()", "%%flow\nwho.set('ada')\n[who.get(), read(), read.submit().result()]"):
        assert cells.run(code).result == "['ada', 'ada', 'ada']", code


def test_an_http_client_of_an_earlier_cell(here: FrontEnd) -> None:
    server = """
import http.server, httpx
class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers(); self.wfile.write(b'hi')
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f'http://127.0.0.1:{server.server_port}/'
client = httpx.AsyncClient(trust_env=False)
(await client.get(url)).text"""
    assert here.run(server).result == "'hi'"
    get = "@task\nasync def get(i): return (await client.get(url)).text"
    reply = here.run(f"%%flow\n{get}\n[await each.result() for each in get.map(range(4))]")
    assert reply.result == "['hi', 'hi', 'hi', 'hi']"
    assert here.run("answer = (await client.get(url)).text; await client.aclose(); answer").result == "'hi'"
    here.run("server.shutdown(); server.server_close()")


@pytest.mark.parametrize("lead", ["", "await asyncio.sleep(0)\n"], ids=["sync", "awaiting"])
def test_shell_lines_and_line_magics_inside(here: FrontEnd, lead: str) -> None:
    reply = here.run(f"%%flow\n{lead}words = !echo one two\n!echo shouted\n%time y = same(3)\n(words, y)")
    assert (reply.status, reply.result) == ("ok", "(['one two'], 3)"), reply.content
    assert "shouted" in reply.text
    assert "Wall time" in reply.text


def test_the_cell_s_hooks_fire_once(here: FrontEnd) -> None:
    here.run("fired = []\nget_ipython().events.register('pre_run_cell', lambda info: fired.append('before'))")
    here.run("%%flow\nsame(1)")
    here.run("%%flow\nawait same_async(1)")
    assert here.value("fired") == ["before"] * 2


# Errors


@pytest.mark.parametrize(
    "call",
    [
        "fails(1)",
        "fails.submit(1).result()",
        "fails.map([1, 2]).result()",
        "fails_async(1)",
        "await fails_async(1)",
        "await fails_async.submit(1).result()",
    ],
)
def test_a_failing_task_shows_the_user_s_own_lines(cells: FrontEnd, call: str) -> None:
    reply = cells.run(f"%%flow\nsame(0)\n\n# the next line is 5\n{call}")
    text = traceback(reply)
    assert (reply.ename, reply.evalue) == ("ValueError", "bad 2")
    arrows = [line.lstrip("->").strip() for line in text.splitlines() if line.startswith("-") and "> " in line]
    raised = "11     raise ValueError(f'bad {x + 1}')" if "async" in call else "8     raise ValueError(f'bad {y}')"
    assert arrows == ["1 %%flow", f"5 {call}", raised], text
    assert ours_in(text) == []


@pytest.mark.parametrize("lead", ["\n", "\n\n", "   \n\n", "# a remark\n\n", "\n# a remark\n", '"""A text."""\n'])
@pytest.mark.parametrize("body", ["1 / 0", "await asyncio.sleep(0); 1 / 0"], ids=["sync", "awaiting"])
def test_lines_are_counted_as_the_user_sees_them(here: FrontEnd, lead: str, body: str) -> None:
    reply = here.run(f"%%flow\n{lead}{body}")
    assert f"> {2 + lead.count(chr(10))} {body}\n" in traceback(reply), traceback(reply)
    wrong = here.run(f"%%flow\n{lead}1 / / 0")
    assert f"line {2 + lead.count(chr(10))}\n" in traceback(wrong), traceback(wrong)


@pytest.mark.parametrize(
    ("call", "ename"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("same(nowhere)", "NameError"),
        ("same(1, 2)", "ParameterBindError"),
        ("same.map(1)", "MappingMissingIterable"),
        ("pause_flow_run(timeout=0.01)", "PauseTimeout"),
        ("same.submit(fails.submit(1)).result()", "UpstreamNotCompleted"),
        ("await pause_flow_run(timeout=0.01)", "PauseTimeout"),
        ("await same_async(1, 2)", "ParameterBindError"),
        ("await asyncio.sleep(0); same.map(1)", "MappingMissingIterable"),
        ("await same_async.submit(fails.submit(1)).result()", "UpstreamNotCompleted"),
    ],
)
def test_other_errors_show_the_user_s_own_lines(here: FrontEnd, call: str, ename: str) -> None:
    reply = here.run(f"%%flow\n{call}")
    text = traceback(reply)
    assert reply.ename == ename, text
    assert f"> 2 {call}" in text
    assert ours_in(text) == []


def test_a_failure_in_a_subflow_shows_the_user_s_own_lines(here: FrontEnd) -> None:
    here.run("@flow\ndef inner(x): return fails(x)\n@flow\nasync def inner_async(x): return await fails_async(x)")
    for call in ("inner(1)", "await inner_async(1)"):
        text = traceback(here.run(f"%%flow\n{call}"))
        assert f"> 2 {call}" in text
        assert "return fails(x)" in text or "return await fails_async(x)" in text
        assert ours_in(text) == []


@pytest.mark.parametrize("lead", ["", "await asyncio.sleep(0)\n"], ids=["sync", "awaiting"])
def test_a_syntax_error_is_python_s_own_report(cells: FrontEnd, lead: str) -> None:
    wrong = f"{lead}x = 1\ny = = 2"
    reply, stock = cells.run(f"%%flow\n{wrong}"), cells.run(f"# a line\n{wrong}")
    assert (reply.ename, reply.status) == ("SyntaxError", "error")
    assert "y = = 2" in traceback(reply)
    assert f"line {3 + bool(lead)}" in traceback(reply)
    assert ours_in(traceback(reply)) == []
    assert traceback(reply).split("\n", 1)[1] == traceback(stock).split("\n", 1)[1], (
        "not what the cell without the magic shows"
    )
    assert graphs(cells, reply.msg_id) == []


def test_debug_goes_to_the_user_s_frame(here: FrontEnd) -> None:
    here.run("%%flow\nfails(1)")
    here.run("import sys\nframes = []\ntb = sys.last_traceback\nwhile tb: frames.append(tb.tb_frame); tb = tb.tb_next")
    assert here.value("(frames[-1].f_code.co_name, frames[-1].f_locals)") == ("fails", {"x": 1, "y": 2})


# Options


@pytest.mark.parametrize("options", ["-h", "--help"])
@pytest.mark.parametrize("body", ["", "\n", "\n1"])
def test_help_is_shown(here: FrontEnd, options: str, body: str) -> None:
    reply = here.run(f"%%flow {options}{body}")
    for option in ("--name", "--task-runner", "--max-workers"):
        assert option in reply.text
    assert reply.traceback == [] or ours_in(traceback(reply)) == []
    assert graphs(here, reply.msg_id) == []


def test_a_question_mark_shows_help(here: FrontEnd) -> None:
    (page,) = here.run("%%flow?").content["payload"]
    assert "--task-runner" in page["data"]["text/plain"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--nope", "--nope"),
        ("nope", "nope"),
        ("--name", "--name"),
        ("--name a/b", "a/b"),
        ("--task-runner magic", "magic"),
        ("--max-workers 0", "max_workers|--max-workers"),
        ("--max-workers -1", "max_workers|--max-workers"),
        ("--max-workers many", "many"),
        ("--task-runner sequential --max-workers 2", "--max-workers"),
        ("--name 'open", "quot"),
    ],
)
@pytest.mark.parametrize("body", ["same(1)", "await same_async(1)"], ids=["sync", "awaiting"])
def test_a_wrong_option_is_one_line(here: FrontEnd, options: str, says: str, body: str) -> None:
    line = one_line(here, f"%%flow {options}\n{body}")
    assert any(each in line.lower() for each in says.lower().split("|")), line


def test_options_are_heeded(here: FrontEnd) -> None:
    assert here.run("%%flow --name 'tidy up'\nsame(1)").status == "ok"
    assert newest_run(here)[1] == "tidy up"
    where = "[f.result() for f in [whose.submit() for _ in range(4)]]"
    here.run("@task\ndef whose(): time.sleep(0.02); return threading.get_ident()\nmain = threading.get_ident()")
    assert here.run(f"%%flow --task-runner sequential\nset({where}) == {{main}}").result == "True"
    assert here.run(f"%%flow --max-workers 1\nlen(set({where}) - {{main}})").result == "1"
    assert here.run(f"%%flow --task-runner concurrent --max-workers 4\nlen(set({where}) - {{main}})").result == "4"


@pytest.mark.parametrize(
    "code",
    [
        "%%flow\nget_ipython().run_cell_magic('flow', '', 'same(1)')",
        "%%flow\nawait asyncio.sleep(0)\nget_ipython().run_cell_magic('flow', '', 'same(1)')",
        "@flow\ndef outer():\n    get_ipython().run_cell_magic('flow', '', 'same(1)')\nouter()",
    ],
    ids=["sync", "awaiting", "function"],
)
def test_a_flow_cell_inside_a_flow_is_one_clear_line(cells: FrontEnd, code: str) -> None:
    reply = cells.run(code)
    assert reply.ename == "UsageError"
    assert "inside a flow" in str(reply.evalue)
    assert len(plain(reply.text).strip().splitlines()) == 1


def test_a_second_magic_in_a_cell_is_one_clear_line(here: FrontEnd) -> None:
    line = one_line(here, "%%flow\nsame(1)\n%%flow\nsame(2)")
    assert "first line" in line


@pytest.mark.parametrize("body", ["sum(same.map(range(4)).result())", "await same_async(2) + same(4)", "same_async(6)"])
def test_a_cell_on_a_subshell_runs_too(cells: FrontEnd, body: str) -> None:
    subshell = cells.subshell()
    if subshell is None:
        pytest.skip("this kernel has no subshells")
    reply = cells.run(f"%%flow\n{body}", subshell_id=subshell)
    assert (reply.status, reply.result) == ("ok", "6"), reply.content
    assert newest_run(cells)[3] == "Completed"


# Stores that cannot be used


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("a file")
    return folder / "file" / "below"


def a_text_file(folder: Path) -> Path:
    (folder / "store.db").write_text("This is no SQLite file.\n" * 500)
    return folder


def an_empty_folder_in_its_place(folder: Path) -> Path:
    (folder / "store.db").mkdir()
    return folder


def another_program_s(folder: Path) -> Path:
    with sqlite3.connect(folder / "store.db") as connection:
        connection.execute("CREATE TABLE theirs(x)")
        connection.execute("INSERT INTO theirs VALUES (1)")
    connection.close()
    return folder


@pytest.fixture(params=[below_a_file, a_text_file, an_empty_folder_in_its_place, another_program_s])
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FrontEnd]:
    home = request.param(tmp_path)
    held = Loaded(None, env={"TIDEGATE_HOME": str(home)})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    yield held.get()
    held.close()
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".gitignore"}
    assert after == before


def test_a_store_that_cannot_be_used_is_one_clear_line(unusable: FrontEnd, tmp_path: Path) -> None:
    unusable.run(TASKS)
    unusable.run("@flow\ndef whole(): return same(1)")
    for code in ("%%flow\nsame(1)", "%%flow\nawait same_async(1)", "%tidegate runs", "%tidegate show 1"):
        line = one_line(unusable, code)
        assert str(tmp_path) in line
        assert "TIDEGATE_HOME" in line
    called = unusable.run("whole()")
    assert called.ename == "StoreError"
    assert ours_in(traceback(called)) == []
    assert unusable.run("same(3)").result == "3"


@pytest.mark.parametrize(
    "code",
    [
        "task(3)",
        "@task(retries=-1)\ndef bad(): ...",
        "@flow(nope=1)\ndef bad(): ...",
        "same.submit(1)",
        "same.map([1])",
        "pause_flow_run()",
        "resume(999)",
        "%%flow\nsame.map(3)",
        "%%flow\nsame(1, 2)",
    ],
)
def test_bad_input_is_told_without_a_frame_of_ours(here: FrontEnd, code: str) -> None:
    here.run("from tidegate import *")
    reply = here.run(code)
    assert reply.status == "error"
    assert "Cell In[" in traceback(reply)
    assert ours_in(traceback(reply)) == []
    assert here.run("6 * 7").result == "42"
