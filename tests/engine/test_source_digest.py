"""Which edits of a function, and of what it names, change its digest, and which do not."""

from __future__ import annotations

import ast
import functools
import gc
import importlib.util
import itertools
import linecache
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.flows import task
from tidegate import source_text
from tidegate.digests import digest, source_digest, source_parts

NUMBERS = itertools.count(1)


def cell(source: str, space: dict[str, Any] | None = None, *, source_at_hand: bool = True) -> dict[str, Any]:
    """Run a text as the next cell of a notebook; without its source it is as at a plain prompt."""
    space = {"__name__": "__main__"} if space is None else space
    filename = f"<cell {next(NUMBERS)}>"
    if source_at_hand:
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec", dont_inherit=True), space)
    return space


BASE = '''
import functools, math, os
from collections import OrderedDict

LIMIT = 3
TABLE = {"a": [1, 2]}
UNUSED = 1
STEPS = {}

def deeper(x):
    return x + 1

def clean(x, by=2):
    """Cleans."""
    return deeper(x) * by

class Cleaner:
    factor = 2

    def run(self, x):
        return helper_of_class(x) * self.factor

def helper_of_class(x):
    return x

def first(x):
    return x - 1

STEPS["first"] = first

def scaled(by):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            return fn(*args, **kwargs) * by
        return wrapper
    return decorate

@functools.lru_cache
def slow(x):
    return x

short = lambda x: x + 1

class Config:
    def __init__(self, rate):
        self.rate = rate

    def get(self):
        return self.rate

config = Config(1)
part = functools.partial(clean, by=5)

def make(n):
    def locate(x, y=1, *, z=(1, 2)):
        """Where it is."""
        def inner():
            return clean(x) + LIMIT
        if x > TABLE["a"][0]:
            return inner() + n + Cleaner().run(y) + STEPS["first"](x) + short(x)
        return math.sqrt(x) + scaled_one(x) + slow(x) + config.get() + part(x) + len(OrderedDict(a="a" "b"))
    return locate

@scaled(2)
def scaled_one(x):
    return x

locate = make(4)
'''

SAME = {
    "a comment": ("return clean(x) + LIMIT", "return clean(x) + LIMIT  # careful"),
    "a blank line": ("        def inner():", "\n\n        def inner():"),
    "spaces and brackets": ("return clean(x) + LIMIT", "return (  clean( x )+\n  LIMIT )"),
    "its docstring": ('"""Where it is."""', '"""Where\n\nit was."""'),
    "a docstring removed": ('        """Where it is."""\n', ""),
    "a helper's docstring": ('"""Cleans."""', '"""Cleans well."""'),
    "quotes": ('TABLE["a"]', "TABLE['a']"),
    "how a number is written": ("return x - 1", "return x - 0x1"),
    "how a text is written": ('"a" "b"', 'u"ab"'),
    "a constant that is not named": ("UNUSED = 1", "UNUSED = 2"),
    "another function": ("def deeper", "def stranger(): pass\ndef deeper"),
    "lines above": ("LIMIT = 3", "\n\n\nLIMIT = 3"),
    "the order of definitions": ("LIMIT = 3\n", ""),
}
DIFFERENT = {
    "its body": ("x > TABLE", "x >= TABLE", "source of locate"),
    "a nested function": ("clean(x) + LIMIT", "clean(x) - LIMIT", "source of locate"),
    "a constant in it": ('["a"][0]', '["a"][1]', "source of locate"),
    "true for one": ('["a"][0]', '["a"][False]', "source of locate"),
    "its default": ("y=1", "y=2", "source of locate, default y"),
    "its keyword default": ("z=(1, 2)", "z=(1, 3)", "source of locate, default z"),
    "what it closes over": ("make(4)", "make(5)", "closure n"),
    "a helper": ("deeper(x) * by", "deeper(x) + by", "helper clean"),
    "a helper's default": ("by=2", "by=3", "default by of clean, helper clean"),
    "a helper of a helper": ("return x + 1\n\ndef clean", "return x + 2\n\ndef clean", "helper deeper"),
    "a global constant": ("LIMIT = 3", "LIMIT = 4", "constant LIMIT"),
    "inside a constant": ("[1, 2]}", "[1, 3]}", "constant TABLE"),
    "a method": ("(x) * self.factor", "(x) + self.factor", "helper Cleaner, helper Cleaner.run"),
    "a class attribute": ("factor = 2", "factor = 3", "constant Cleaner.factor, helper Cleaner"),
    "what a method calls": ("of_class(x):\n    return x", "of_class(x):\n    return -x", "helper helper_of_class"),
    "a function in a table": ("return x - 1", "return x - 2", "helper STEPS['first']"),
    "a decorator": ("kwargs) * by", "kwargs) + by", "helper scaled_one (decorated)"),
    "what a decorator was given": ("@scaled(2)", "@scaled(3)", "closure by of scaled_one (decorated)"),
    "what a decorator wraps": ("scaled_one(x):\n    return x", "scaled_one(x):\n    return -x", "helper scaled_one"),
    "a cached helper": ("def slow(x):\n    return x", "def slow(x):\n    return -x", "helper slow"),
    "a lambda": ("lambda x: x + 1", "lambda x: x + 2", "helper short"),
    "the class of an object": ("return self.rate", "return -self.rate", "helper Config, helper Config.get"),
    "what a partial holds": ("by=5", "by=6", "bound arguments of part"),
    "which library": ("import OrderedDict", "import UserDict as OrderedDict", "global OrderedDict"),
    "which module": ("import functools, math, os", "import functools, cmath as math, os", "global math"),
}  # fmt: skip


def parts_of(source: str, *, source_at_hand: bool = True) -> dict[str, str]:
    return dict(source_parts(cell(source, source_at_hand=source_at_hand)["locate"]))


def changed(edited: str, *, source_at_hand: bool = True) -> str:
    """The names of the parts that an edit of the cell changes."""
    before = parts_of(BASE, source_at_hand=source_at_hand)
    after = parts_of(edited, source_at_hand=source_at_hand)
    return ", ".join(
        sorted((k for k in before.keys() | after.keys() if before.get(k) != after.get(k)), key=str.casefold)
    )


def edit(old: str, new: str) -> str:
    assert BASE.count(old) == 1 or old in ("LIMIT = 3\n", "LIMIT = 3"), (
        f"{old!r} is in the cell {BASE.count(old)} times"
    )
    return BASE.replace(old, new)


@pytest.mark.parametrize("name", SAME)
def test_an_edit_that_does_not_count(name: str) -> None:
    old, new = SAME[name]
    text = edit(old, new)
    if name == "the order of definitions":
        text += "\nLIMIT = 3\n"
    assert changed(text) == ""
    assert source_digest(cell(text)["locate"]) == source_digest(cell(BASE)["locate"])


@pytest.mark.parametrize("name", DIFFERENT)
@pytest.mark.conforms("B149")
def test_an_edit_that_counts(name: str) -> None:
    old, new, parts = DIFFERENT[name]
    assert changed(edit(old, new)) == ", ".join(sorted(parts.split(", "), key=str.casefold))
    assert source_digest(cell(edit(old, new))["locate"]) != source_digest(cell(BASE)["locate"])


@pytest.mark.parametrize("name", DIFFERENT)
def test_an_edit_counts_where_there_is_no_source(name: str) -> None:
    old, new, _ = DIFFERENT[name]
    assert changed(edit(old, new), source_at_hand=False) != ""


@pytest.mark.parametrize("name", ["a comment", "a blank line", "spaces and brackets", "its docstring", "lines above"])
def test_layout_does_not_count_where_there_is_no_source(name: str) -> None:
    assert changed(edit(*SAME[name]), source_at_hand=False) == ""


def test_the_options_of_a_task_are_no_part_of_its_source() -> None:
    def made(decorator: str) -> Any:
        return cell(f"from support.flows import task\n{decorator}\ndef work(x):\n    return x\n")["work"]

    assert source_digest(made("@task").fn) == source_digest(made("@task(retries=3,\n  name='a')").fn)
    assert source_digest(made("@task").fn) == source_digest(cell("def work(x): return x")["work"])


def test_a_task_that_a_task_calls_is_a_helper() -> None:
    def made(body: str) -> Any:
        text = (
            f"from support.flows import task\n@task\ndef inner(x): return {body}\n@task\ndef outer(x): return inner(x)"
        )
        return source_parts(cell(text)["outer"].fn)

    assert made("x")["helper inner"] != made("x + 1")["helper inner"]
    assert "helper Task" not in made("x")


def test_functions_that_name_each_other_and_themselves() -> None:
    text = "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\n"
    parts = source_parts(cell(text)["even"])
    assert set(parts) == {"source of even", "helper odd"}
    assert source_digest(cell(text)["even"]) != source_digest(cell(text.replace("!=", ">"))["even"])
    local = cell("def make():\n    def loop(n): return n and loop(n - 1)\n    return loop\nloop = make()")["loop"]
    assert set(source_parts(local)) == {"source of loop"}


def test_what_is_defined_anew_is_noticed_at_the_next_look() -> None:
    space = cell(BASE)
    first = source_digest(space["locate"])
    assert source_digest(space["locate"]) == first
    cell("def deeper(x):\n    return x + 99", space)
    second = source_digest(space["locate"])
    cell("def deeper(x):\n    return x + 1", space)
    assert second != first == source_digest(space["locate"])
    cell("LIMIT = 4", space)
    assert source_digest(space["locate"]) != first
    cell("LIMIT = 3", space)
    assert source_digest(space["locate"]) == first
    del space["LIMIT"]
    assert source_digest(space["locate"]) != first


@pytest.mark.parametrize(
    "change",
    [
        'TABLE["a"].append(3)',
        'STEPS["first"] = deeper',
        "Cleaner.run = lambda self, x: x",
        "deeper.__code__ = first.__code__",  # as an automatic reload does
        "clean.__defaults__ = (7,)",
        "big[5] = 1; big.append(1)",
        "big = [1] * 20_000",
        "thing = 5",
        "locate.__tidegate_source__ = 'other'",
        "locate.__kwdefaults__ = {'z': 3}",
        "count_up()",
        "endless[0] = clean",
        "weights[0] = 3",
        "settings.kind = str",
    ],
)
def test_what_is_changed_in_place_is_noticed_at_the_next_look(change: str) -> None:
    space = cell(BASE)
    cell("class Slots:\n    __slots__ = ()\nthing = Slots()\nbig = [0] * 20_000", space)
    cell("endless = [first]\nendless.append(endless)\nimport numpy\nweights = numpy.array([1.5, 2])", space)
    cell("import dataclasses\n@dataclasses.dataclass\nclass Settings:\n    kind: type\nsettings = Settings(int)", space)
    cell(
        "def counting():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n"
        "    return up, lambda: n\ncount_up, count = counting()",
        space,
    )
    cell("old = locate\ndef locate(x, *, z=2): return old(x), big, thing, endless, weights, settings, count()", space)
    first = source_digest(space["locate"])
    assert source_digest(space["locate"]) == first
    cell(change, space)
    assert source_digest(space["locate"]) != first


def test_a_counter_that_it_sets_itself_is_no_constant() -> None:
    space = cell("CALLS, BY = 0, 2\ndef count(x):\n    global CALLS\n    CALLS += 1\n    return x * BY")
    before = source_digest(space["count"])
    space["count"](1)
    assert space["CALLS"] == 1
    assert source_digest(space["count"]) == before
    space["BY"] = 3
    assert source_digest(space["count"]) != before


def test_a_large_table_is_not_read_at_every_look() -> None:
    class Counted(int):
        def __reduce__(self) -> Any:
            reads.append(self)
            return int, (int(self),)

    reads: list[int] = []
    space = cell("def look(): return big", {"__name__": "__main__", "big": [0] * 20_000, "Counted": Counted})
    first = source_digest(space["look"])
    space["big"][0] = Counted(5)
    assert source_digest(space["look"]) == first
    assert reads == []
    space["big"] = [1, *space["big"][1:]]
    assert source_digest(space["look"]) != first


def test_looking_keeps_nothing_alive() -> None:
    space = cell(BASE)
    alive = [weakref.ref(space["locate"]), weakref.ref(space["clean"]), weakref.ref(space["Cleaner"])]
    source_digest(space["locate"])
    space.clear()
    gc.collect()
    assert [each() for each in alive] == [None, None, None]


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("edited_module", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_module_that_was_edited_after_its_import_still_runs_the_old_code(tmp_path: Path) -> None:
    path = tmp_path / "edited_module.py"
    text = "def helper(x):\n    return x + 1\n\ndef work(x):\n    return helper(x)\n"
    path.write_text(text)
    old = load(path)
    same = source_digest(load(path).work)
    path.write_text(text.replace("+ 1", "+ 2000"))
    assert source_digest(old.work) not in {source_digest(load(path).work), None}
    path.write_text(text + "# the end\n")
    assert source_digest(load(path).work) == same


def test_a_class_counts_by_its_source_unless_the_file_may_be_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "edited_module.py"
    text = "def work(): return Kind\nclass Kind:\n    held = [object(), 1]\n"

    def write(text: str, changed: int) -> Any:
        path.write_text(text)
        os.utime(path, (changed, changed))
        module = load(path)
        monkeypatch.setitem(sys.modules, "edited_module", module)
        return module

    first = source_digest(write(text, 1).work)
    assert source_digest(write(text.replace("[object(), 1]", "[ object(), 1 ]  # two"), 2).work) == first
    old = write(text, 3)
    path.write_text(text.replace("1]", "2]"))  # now
    assert source_digest(old.work) not in {first, source_digest(write(text.replace("1]", "2]"), 4).work)}


def test_functions_of_libraries_count_by_name() -> None:
    parts = source_parts(cell("import json\nfrom json import dumps\ndef work(): return dumps(json)")["work"])
    assert set(parts) == {"source of work", "global dumps", "global json"}


def test_a_given_text_wins() -> None:
    def made(text: str, body: str = "1") -> str:
        fn = cell(f"def work(): return {body}")["work"]
        fn.__tidegate_source__ = text
        return source_digest(fn)

    assert (
        made("  def work():  # why\n    return 5") == made("def work(): return 5", "2") != made("def work(): return 6")
    )
    assert made("what {is} this") != made("what {was} that")

    def wrap(body: str) -> Any:
        return cell(f"import functools\ndef deco(fn): return functools.wraps(fn)(lambda: {body})")["deco"]

    marked = cell("def work(): return 1")["work"]
    marked.__tidegate_source__ = "def work(): return 1"
    assert source_digest(wrap("fn() + 1")(marked)) != source_digest(wrap("fn() + 2")(marked))


CALLABLES: dict[str, Callable[[], Any]] = {
    "builtin": lambda: len,
    "type": lambda: int,
    "method of a builtin": lambda: "a".upper,
    "class": lambda: Path,
    "partial": lambda: functools.partial(changed, source_at_hand=False),
    "partial of it": lambda: functools.partial(functools.partial(changed), source_at_hand=True),
    "cached": lambda: functools.lru_cache(edit),
    "task": lambda: task(load),
    "lambda": lambda: lambda: 1,
    "two lambdas on a line": lambda: (lambda: 2, lambda: 3)[0],
    "the other one": lambda: (lambda: 2, lambda: 3)[1],
    "method": lambda: CALLABLES.get,
    "object": lambda: pytest.mark.conforms,
}


def test_every_callable_has_a_source_digest() -> None:
    found = {name: source_digest(make()) for name, make in CALLABLES.items()}
    assert all(found.values())
    assert len(set(found.values())) == len(found)
    assert found == {name: source_digest(make()) for name, make in CALLABLES.items()}


NOTEBOOK = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
cells = [
    "from tidegate.digests import source_digest, source_parts",
    "LIMIT = {'a', 'b', 'c', 'd'}\\nclass Cleaner:\\n    def run(self): return LIMIT",
    "import asyncio\\nawait asyncio.sleep(0)",
    "home = !echo hello\\ndef work(x):  # comment\\n    return Cleaner(), len(home)",
    "print(source_digest(work))",
    "def work(x):\\n\\n    return (Cleaner(), len(home))",
    "print(source_digest(work))",
    "class Cleaner:\\n    def run(self): return 2",
    "print(source_digest(work))",
]
for each in cells:
    assert shell.run_cell(each, store_history=True).success
"""


def test_cells_of_a_notebook_in_two_processes(tmp_path: Path) -> None:
    said = []
    for hash_seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "IPYTHONDIR": str(tmp_path)}
        command = [sys.executable, "-c", NOTEBOOK]
        said.append(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()[-3:])
    one, again, other = said[0]
    assert one == again != other
    assert said[0] == said[1]


def test_the_text_of_a_flow_cell_begins_with_its_magic() -> None:
    def flow_cell(text: str, body: str) -> str:
        filename = f"<flow cell {next(NUMBERS)}>"
        linecache.cache[filename] = (1, None, f"%%flow --name a\n{text}".splitlines(keepends=True), filename)
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(f"\n{body}", filename, "exec", dont_inherit=True), space)
        return source_digest(space["work"])

    plain = "def work(x):\n    return x\n"
    assert flow_cell(plain, plain) == source_digest(cell(plain)["work"])
    # What is shown is not what runs: the bytecode counts.
    assert flow_cell(plain, plain.replace("return x", "return -x")) != flow_cell(plain, plain)


def test_a_function_as_a_value_counts_with_all_it_holds() -> None:
    def made(held: Any) -> Any:
        return lambda: held

    assert digest(made([object])) == digest(made([object])) != digest(made([int]))
    assert digest(made(made(1))) != digest(made(made(2)))


def test_a_parser_that_trips_over_another_thread_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, tripped = ast.parse, list[int]()

    def trips(*arguments: Any) -> Any:
        if len(tripped) < 3:
            tripped.append(1)
            raise SystemError("AST constructor recursion depth mismatch")
        return parse(*arguments)

    monkeypatch.setattr(ast, "parse", trips)
    assert ast.dump(source_text._parsed("x = 1")) == ast.dump(parse("x = 1"))
    assert len(tripped) == 3
    monkeypatch.setattr(ast, "parse", parse)
    with pytest.raises(SyntaxError):
        source_text._parsed("x =")
