"""What `import tidegate` offers: exactly what it says, all of it explained."""

from __future__ import annotations

import inspect
from typing import Any, get_overloads

import pytest

import tidegate
from tidegate import errors

EACH = [pytest.param(getattr(tidegate, name), id=name) for name in tidegate.__all__]


def test_the_list_is_sorted_and_every_name_resolves() -> None:
    assert list(tidegate.__all__) == sorted(set(tidegate.__all__))
    for name in tidegate.__all__:
        assert getattr(tidegate, name) is not None


def test_dir_offers_the_list_and_nothing_else_that_looks_public() -> None:
    offered = {
        name
        for name in dir(tidegate)
        if not name.startswith("_") and not inspect.ismodule(getattr(tidegate, name)) and name != "Any"
    }
    hooks = {"load_ipython_extension", "unload_ipython_extension"}  # called by IPython, not by people
    assert offered - hooks == set(tidegate.__all__)


@pytest.mark.parametrize("made", EACH)
def test_every_public_object_is_explained(made: Any) -> None:
    text = inspect.getdoc(made)
    assert text, "no docstring"
    assert len(text.splitlines()[0]) <= 120
    assert "TODO" not in text


@pytest.mark.parametrize("made", [each for each in EACH if inspect.isclass(each.values[0])])
def test_every_public_method_is_explained(made: Any) -> None:
    own = [
        name
        for name, member in vars(made).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    ]
    assert [name for name in own if not inspect.getdoc(getattr(made, name))] == []


def test_every_error_is_public_and_drawn_in_the_tree() -> None:
    made = {name for name, each in vars(errors).items() if inspect.isclass(each) and each.__module__ == errors.__name__}
    assert made <= set(tidegate.__all__)
    assert errors.__doc__ is not None
    for name in made:
        assert name in errors.__doc__
        error = getattr(errors, name)
        assert issubclass(error, errors.TidegateError) or not issubclass(error, Exception), "it is an error of no kind"


def test_star_import_gives_the_list() -> None:
    names: dict[str, Any] = {}
    exec("from tidegate import *", names)
    assert set(tidegate.__all__) <= set(names)


@pytest.mark.parametrize(("decorator", "made"), [(tidegate.task, tidegate.Task), (tidegate.flow, tidegate.Flow)])
def test_the_decorator_offers_the_options_of_the_class(decorator: Any, made: Any) -> None:
    """They are written twice, for type checkers and editors; this holds the two together."""
    offered = inspect.signature(get_overloads(decorator)[1]).parameters
    taken = {
        name: each for name, each in inspect.signature(made.__init__).parameters.items() if name not in ("self", "fn")
    }
    assert list(offered) == list(taken)
    assert [(each.default, each.annotation) for each in offered.values()] == [
        (each.default, each.annotation) for each in taken.values()
    ]
