"""Settings: what they may be, which source wins, and changing them for a while."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.flows import flow, in_time, python, seeded, task
from tidegate import SettingsError
from tidegate import settings as module
from tidegate.engine import Engine
from tidegate.profiles import Profiles
from tidegate.setting_kinds import TEXT
from tidegate.settings import (
    Settings,
    ensure_home,
    entered,
    read_settings,
    setting,
    settings,
    temporary_settings,
    use_profile,
)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings of the machine, and nothing read yet."""
    for each in Settings.declared().values():
        monkeypatch.delenv(each.environment, raising=False)
    monkeypatch.delenv("TIDEGATE_PROFILE", raising=False)
    monkeypatch.setenv("TIDEGATE_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    monkeypatch.setattr(module, "_process", None)
    monkeypatch.chdir(tmp_path)
    yield
    assert module._here.get() is None, "a test left its settings behind"


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "profiles.toml").write_text(text)


# What they may be ---------------------------------------------------------------------------------------------------

READ: list[tuple[str, Any, Any]] = [
    ("home", "~/runs", Path.home() / "runs"),
    ("api_url", "https://host/api", "https://host/api"),
    ("api_url", "", None),
    ("log_level", "debug", "DEBUG"),
    ("log_prints", "Yes", True),
    ("log_prints", "0", False),
    ("persist_result", "AUTO", "auto"),
    ("persist_result", "false", False),
    ("persist_result", True, True),
    ("task_runner_max_workers", "4", 4),
    ("pause_timeout_seconds", "0.5", 0.5),
    ("task_default_retries", 2, 2),
    ("task_default_retry_delay_seconds", "10", 10.0),
    ("results_storage", "s3://bucket/runs", "s3://bucket/runs"),
    ("results_storage", Path("here"), "here"),
    ("default_serializer", "json", "json"),
    ("logging_extra_loggers", "httpx, sqlalchemy.engine,", ("httpx", "sqlalchemy.engine")),
    ("logging_extra_loggers", ["a", "b"], ("a", "b")),
    ("logging_to_store", "off", False),
    ("retention_days", "7", 7.0),
    ("retention_size", "1.5 GB", 1_500_000_000),
    ("retention_size", 4096, 4096),
    ("retention_size", "", None),
    ("auto_display", "on", True),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("home", "", "a folder"),
    ("home", "a\0b", "a folder"),
    ("home", 3, "a folder"),
    ("retention_size", "much", "a size, such as 500MB"),
    ("api_url", "host:80", "http"),
    ("log_level", "LOUD", "one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ("log_level", 10, "one of DEBUG"),
    ("log_prints", "maybe", "true or false"),
    ("persist_result", "sometimes", "auto, true or false"),
    ("task_runner_max_workers", "0", "a whole number from 1"),
    ("task_runner_max_workers", "many", "a whole number from 1"),
    ("task_runner_max_workers", True, "a whole number from 1"),
    ("task_runner_max_workers", 2.0, "a whole number from 1"),
    ("task_default_retries", -1, "a whole number from 0"),
    ("pause_timeout_seconds", "-1", "seconds from 0"),
    ("pause_timeout_seconds", "nan", "seconds from 0"),
    ("pause_timeout_seconds", "inf", "seconds from 0"),
    ("results_storage", 4, "a folder or a URL"),
    ("default_serializer", " ", "a text"),
    ("logging_extra_loggers", [1], "names"),
    ("logging_extra_loggers", ["a,b"], "names"),
    ("logging_extra_loggers", {"a": 1}, "names"),
]


@pytest.mark.parametrize(("name", "given", "value"), READ)
@pytest.mark.conforms("B243")
def test_a_text_or_value_is_read_as_its_type(name: str, given: Any, value: Any) -> None:
    made = Settings(**{name: given})
    assert getattr(made, name) == value
    assert type(getattr(made, name)) is type(value)


@pytest.mark.parametrize(("name", "given", "wanted"), REFUSED)
@pytest.mark.conforms("B243")
def test_what_cannot_be_is_refused_in_one_line_with_both_names(name: str, given: Any, wanted: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**{name: given})
    text = str(caught.value)
    assert text.startswith(f"{name} (TIDEGATE_{name.upper()}) must be ")
    assert wanted in text
    assert "\n" not in text
    assert isinstance(caught.value, ValueError)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"no setting 'log_levl'\. Did you mean log_level\?"):
        Settings(log_levl="INFO")
    with pytest.raises(SettingsError, match="There are home, api_url"):
        Settings().is_set("zzz")


def test_each_setting_is_declared_with_all_that_a_list_of_them_needs() -> None:
    for each in Settings.declared().values():
        assert each.doc.endswith(".")
        assert each.environment == f"TIDEGATE_{each.name.upper()}"
        assert getattr(Settings(), each.name) == each.default
        assert each.read(each.default) == each.default, "the default is a value that could be set"


@pytest.mark.conforms("B243")
def test_places_follow_from_home(tmp_path: Path) -> None:
    made = Settings(home=tmp_path / "a")
    assert made.store_path == tmp_path / "a" / "store.db"
    assert made.results_path == tmp_path / "a" / "results"
    assert Settings(home="b").store_path == tmp_path / "b" / "store.db", "from the working folder"
    assert Settings(results_storage="c").results_path == tmp_path / "c"
    assert Settings(results_storage="s3://bucket").results_path is None


@pytest.mark.conforms("B246")
def test_they_are_immutable_comparable_and_hashable() -> None:
    made = Settings(log_prints=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.log_prints = False  # type: ignore[misc]
    assert made == Settings(log_prints="true")
    assert made != Settings()
    assert len({made, Settings(log_prints=True), Settings()}) == 2
    assert Settings(log_prints=False) == Settings(), "set to its default is the same settings"
    assert pickle.loads(pickle.dumps(made)) == made
    assert pickle.loads(pickle.dumps(made)).is_set("log_prints")


# Environment --------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B246")
def test_they_go_to_the_environment_and_come_back_unchanged() -> None:
    chance = seeded("environment")
    for _ in range(200):
        chosen = {name: given for name, given, _ in READ if chance.random() < 0.5}
        made = Settings(**chosen)
        everything = made.to_environment()
        assert set(everything) == {each.environment for each in Settings.declared().values()}
        assert Settings.from_environment(everything) == made
        only_set = made.to_environment(exclude_unset=True)
        assert set(only_set) == {f"TIDEGATE_{name.upper()}" for name in chosen}
        back = Settings.from_environment(only_set)
        assert back == made
        assert all(back.is_set(name) is made.is_set(name) for name in Settings.declared())


@pytest.mark.conforms("B246")
def test_only_those_named_are_exported() -> None:
    made = Settings(log_level="ERROR", api_url="http://x")
    assert made.to_environment(only=["log_level", "home"]) == {
        "TIDEGATE_LOG_LEVEL": "ERROR",
        "TIDEGATE_HOME": ".tidegate",
    }
    assert made.to_environment(exclude_unset=True, only=["log_level", "home"]) == {"TIDEGATE_LOG_LEVEL": "ERROR"}
    with pytest.raises(SettingsError, match="no setting 'hom'"):
        made.to_environment(only=["hom"])


def test_a_process_that_gets_them_has_them(tmp_path: Path) -> None:
    made = Settings(home=tmp_path / "ö runs", logging_extra_loggers=("a", "b"), persist_result=False)
    script = (
        "from tidegate.settings import settings; s = settings(); print(ascii((s.home, s.logging_extra_loggers, s)))"
    )
    with python(script, env=made.to_environment()) as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out.decode().strip() == ascii((made.home, made.logging_extra_loggers, made))


def test_an_empty_variable_is_none_given_unless_nothing_is_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment({"TIDEGATE_HOME": "", "TIDEGATE_LOG_LEVEL": " "}) == Settings()
    assert not Settings.from_environment({"TIDEGATE_HOME": ""}).is_set("home")
    assert Settings.from_environment({"TIDEGATE_API_URL": ""}).is_set("api_url")
    monkeypatch.setenv("TIDEGATE_HOME", "elsewhere")
    assert Settings.from_environment().home == Path("elsewhere")


# Which wins ---------------------------------------------------------------------------------------------------------

FILE = """
active = "work"

[profiles.work]
log_level = "WARNING"
log_prints = true
task_default_retries = 1

[profiles.other]
log_level = "ERROR"
"""


@pytest.mark.conforms("B244")
def test_the_order_is_chosen_profile_environment_active_profile_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, FILE)
    assert read_settings() == Settings(log_level="WARNING", log_prints=True, task_default_retries=1)
    monkeypatch.setenv("TIDEGATE_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("TIDEGATE_TASK_RUNNER_MAX_WORKERS", "2")
    under = {"log_prints": True, "task_default_retries": 1, "task_runner_max_workers": 2}
    assert read_settings() == Settings(log_level="DEBUG", **under), "environment over active profile"
    assert read_settings("other") == Settings(log_level="ERROR", task_runner_max_workers=2), "chosen over environment"
    monkeypatch.setenv("TIDEGATE_PROFILE", "other")
    assert read_settings() == Settings(log_level="ERROR", task_runner_max_workers=2)
    assert read_settings("work") == Settings(log_level="WARNING", **under), "the command line over TIDEGATE_PROFILE"


@pytest.mark.conforms("B244")
def test_an_unknown_profile_falls_back_to_the_default_one_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 'active = "gone"\n[profiles.default]\nlog_prints = true\n[profiles.other]\nlog_level = "ERROR"\n')
    with pytest.warns(UserWarning, match=r"active of .*profiles.toml names a profile 'gone'"):
        assert read_settings() == Settings(log_prints=True)
    monkeypatch.setenv("TIDEGATE_PROFILE", "typo")
    with pytest.warns(UserWarning, match="TIDEGATE_PROFILE names a profile 'typo'"):
        assert read_settings() == Settings(log_prints=True)
    with pytest.raises(SettingsError, match=r"no profile 'prod'\. There are default, other"):
        read_settings("prod")


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_LOG_LEVEL", "LOUD")
    with pytest.raises(SettingsError, match=r"TIDEGATE_LOG_LEVEL\) must be one of"):
        settings()
    monkeypatch.setenv("TIDEGATE_LOG_LEVEL", "info")
    assert settings().log_level == "INFO", "a refusal is not remembered"


def test_they_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings()
    monkeypatch.setenv("TIDEGATE_LOG_LEVEL", "DEBUG")
    assert settings() is before


def test_a_profile_holds_in_the_whole_process_and_is_restored(tmp_path: Path) -> None:
    write(tmp_path, FILE)
    seen: list[str] = []
    with temporary_settings({"log_level": "DEBUG"}):
        with use_profile("other") as chosen:
            assert settings() is chosen
            in_time(lambda: seen.append(settings().log_level))
        assert settings().log_level == "DEBUG"
    assert seen == ["ERROR"]
    assert settings().log_level == "WARNING"
    with pytest.raises(SettingsError, match="no profile"), use_profile("prod"):
        pass
    assert settings().log_level == "WARNING"


# For a while --------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B245")
def test_a_change_for_a_while_is_undone_also_by_an_error() -> None:
    before = settings()
    with temporary_settings({"log_level": "debug"}) as inside:
        assert settings() is inside
        assert settings().log_level == "DEBUG"
        with temporary_settings({"log_prints": True}):
            assert settings() == Settings(log_level="DEBUG", log_prints=True)
        assert settings() is inside
    assert settings() is before
    with pytest.raises(ZeroDivisionError), temporary_settings({"log_level": "ERROR"}):
        raise ZeroDivisionError
    assert settings() is before


@pytest.mark.conforms("B245")
def test_a_setting_can_go_back_to_its_default_and_others_stay_as_set_or_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_LOG_PRINTS", "true")
    with temporary_settings({"log_level": "ERROR"}):
        assert [name for name in Settings.declared() if settings().is_set(name)] == ["log_level", "log_prints"]
        with temporary_settings(restore_defaults=["log_level", "home"]):
            assert settings().log_level == "INFO"
            assert not settings().is_set("log_level")
            assert settings().log_prints
            assert settings().is_set("log_prints")
            assert not settings().is_set("home")
        assert settings().log_level == "ERROR"


@pytest.mark.conforms("B245")
def test_set_defaults_hold_where_nothing_is_set() -> None:
    with temporary_settings({"log_level": "ERROR"}):
        with temporary_settings(set_defaults={"log_level": "DEBUG", "log_prints": True}):
            assert settings() == Settings(log_level="ERROR", log_prints=True)
        with temporary_settings({"log_prints": False}, set_defaults={"log_prints": True}):
            assert not settings().log_prints


def test_a_change_that_cannot_be_changes_nothing() -> None:
    before = settings()
    for bad in ({"log_level": "LOUD"}, {"levl": "INFO"}):
        with pytest.raises(SettingsError), temporary_settings(bad):
            pass
    with pytest.raises(SettingsError), temporary_settings(restore_defaults=["levl"]):
        pass
    assert settings() is before


@pytest.mark.conforms("B249")
def test_they_work_in_new_threads_and_loops(tmp_path: Path) -> None:
    """Each thread and each task of a loop has its own change; a bare thread begins with those of the process."""
    barrier = threading.Barrier(2, timeout=10)
    seen: dict[str, list[str]] = {}

    async def inside(level: str) -> list[str]:
        with temporary_settings({"log_level": level}):
            await asyncio.sleep(0)
            return [settings().log_level]

    async def both() -> list[str]:
        return [each for part in await asyncio.gather(inside("DEBUG"), inside("ERROR")) for each in part]

    def run(name: str, level: str) -> None:
        seen[name] = [settings().log_level]
        with temporary_settings({"log_level": level}):
            barrier.wait()
            seen[name] += [settings().log_level, *asyncio.run(both()), settings().log_level]

    with temporary_settings({"log_level": "CRITICAL"}):
        threads = [threading.Thread(target=run, args=each) for each in (("a", "WARNING"), ("b", "INFO"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert seen == {
        "a": ["INFO", "WARNING", "DEBUG", "ERROR", "WARNING"],
        "b": ["INFO", "INFO", "DEBUG", "ERROR", "INFO"],
    }


def test_they_travel_with_tasks_to_the_workers(engine: Engine) -> None:
    @task
    def level(_: int) -> str:
        return settings().log_level

    @task
    async def level_async() -> str:
        return settings().log_level

    @flow
    def work() -> list[str]:
        with temporary_settings({"log_level": "ERROR"}):
            futures = [*level.map([1, 2]), level_async.submit()]
        return [each.result() for each in futures] + [level(1)]

    with temporary_settings({"log_level": "DEBUG"}):
        assert work() == ["ERROR", "ERROR", "ERROR", "DEBUG"]


def test_settings_that_travelled_are_entered_only_if_they_differ() -> None:
    before = settings()
    with entered(pickle.loads(pickle.dumps(before))) as same:
        assert settings() is before is same
        assert module._here.get() is None
    with entered(Settings(log_level="ERROR")):
        assert settings().log_level == "ERROR"
    assert settings() is before


# Home ---------------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B249")
def test_home_is_made_where_it_is_used_and_a_failure_only_warns(tmp_path: Path) -> None:
    with temporary_settings({"home": tmp_path / "deep" / "home"}):
        assert not (tmp_path / "deep").exists()
        assert ensure_home() == tmp_path / "deep" / "home"
        assert (tmp_path / "deep" / "home" / ".gitignore").read_text() == "*\n"
        assert (tmp_path / "deep" / "home").stat().st_mode & 0o077 == 0
        assert ensure_home().is_dir()
    (tmp_path / "file").write_text("I am a file")
    with temporary_settings({"home": tmp_path / "file" / "home"}), pytest.warns(UserWarning, match="TIDEGATE_HOME"):
        ensure_home()
    with temporary_settings({"home": tmp_path}):
        ensure_home()
        assert not (tmp_path / ".gitignore").exists(), "the folder was the user's own"


# Secrets ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, init=False, repr=False)
class WithSecret(Settings):
    token: str | None = setting(None, TEXT, "A secret.", secret=True)


@pytest.mark.conforms("B247")
def test_a_secret_is_never_shown_and_still_exported() -> None:
    made = WithSecret(token="hunter2")
    assert "hunter2" not in repr(made)
    assert "hunter2" not in str(made.shown())
    assert made.shown()["token"] == "********"
    assert made.to_environment(only=["token"]) == {"TIDEGATE_TOKEN": "hunter2"}
    with pytest.raises(SettingsError) as caught:
        WithSecret(token="hunter2\0")
    assert "hunter2" not in str(caught.value)
    assert "********" in str(caught.value)


def test_nothing_is_read_from_a_file_to_import_it(tmp_path: Path) -> None:
    Profiles(tmp_path / "profiles.toml").save()
    script = (
        "import sys, tidegate.settings as s; print({'tomllib', 'platformdirs'} & set(sys.modules)); "
        "s.settings(); print('tomllib' in sys.modules, 'pydantic' in sys.modules)"
    )
    with python(script, env={"TIDEGATE_PROFILES_PATH": str(tmp_path / "none.toml")}) as process:
        out, err = process.communicate(timeout=30)
    assert out.decode().split("\n")[:2] == ["set()", "False False"], err
