"""Profiles: one file, what is written to it, and what is refused."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.flows import seeded
from tidegate import SettingsError
from tidegate.profiles import Profiles, profiles_path
from tidegate.setting_kinds import TEXT
from tidegate.settings import Settings, read_settings, setting


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TIDEGATE_PROFILE", raising=False)
    for each in Settings.declared().values():
        monkeypatch.delenv(each.environment, raising=False)
    monkeypatch.setenv("TIDEGATE_PROFILES_PATH", str(tmp_path / "conf" / "profiles.toml"))
    return tmp_path / "conf" / "profiles.toml"


def test_the_file_lies_in_the_users_configuration_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TIDEGATE_PROFILES_PATH", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert profiles_path() == tmp_path / "tidegate" / "profiles.toml"


def test_without_a_file_there_is_an_empty_default(path: Path) -> None:
    profiles = Profiles.load()
    assert (profiles.names, profiles.active, profiles["default"]) == (["default"], "default", {})
    assert not path.parent.exists(), "looking makes nothing"


@pytest.mark.conforms("B247")
def test_profiles_are_added_updated_activated_removed_and_saved(path: Path) -> None:
    profiles = Profiles.load()
    profiles.add("work", {"home": "~/runs", "log_level": "debug"})
    profiles.add("empty")
    profiles.update("work", {"log_prints": True, "log_level": None})
    profiles.activate("work")
    profiles.save()
    assert tomllib.loads(path.read_text()) == {
        "active": "work",
        "profiles": {"work": {"home": "~/runs", "log_prints": True}, "empty": {}},
    }, "the default profile is not written"
    assert path.stat().st_mode & 0o077 == 0
    assert [each.name for each in path.parent.iterdir()] == ["profiles.toml"]

    again = Profiles.load()
    assert (again.names, again.active) == (["default", "work", "empty"], "work")
    assert again["work"] == {"home": "~/runs", "log_prints": True}
    assert read_settings() == Settings(home=Path.home() / "runs", log_prints=True)

    again.remove("empty")
    with pytest.raises(SettingsError, match="'work' is the active one"):
        again.remove("work")
    again.activate("default")
    again.remove("work")
    again.save()
    assert path.read_text() == ""
    assert Profiles.load().names == ["default"]


def test_what_there_is_not_and_what_there_is_already(path: Path) -> None:
    profiles = Profiles.load()
    profiles.add("work")
    for change in (profiles.remove, profiles.activate, profiles.shown, lambda name: profiles.update(name, {})):
        with pytest.raises(SettingsError, match=r"no profile 'wrok'\. There are default, work"):
            change("wrok")
    with pytest.raises(SettingsError, match="'work' already"):
        profiles.add("work")
    with pytest.raises(SettingsError, match="cannot name"):
        profiles.add(" ")
    profiles.add("default", {"log_prints": True})
    with pytest.raises(SettingsError, match="'default' already"):
        profiles.add("default")
    profiles.remove("default")
    assert profiles["default"] == {}


BROKEN = [
    ("[profiles.a]\nlog_levl = 'INFO'", "In the profile 'a': There is no setting 'log_levl'"),
    ("[profiles.a]\nlog_level = 'LOUD'", "In the profile 'a': log_level"),
    ("[profiles.a.home]\nx = 1", "In the profile 'a': home is a table"),
    ("[profiles.a.logging]\nlevel = 'INFO'", "In the profile 'a': logging is a table"),
    ("[profiles.a]\nhome = ['x']", "In the profile 'a': home"),
    ("[profiles.a]\npause_timeout_seconds = nan", "In the profile 'a': pause_timeout_seconds"),
    ("[profiles.a]\nlog_level = 2020-01-01", "In the profile 'a': log_level"),
    ("[profiles]\na = 1", "'a' must be a table"),
    ("profiles = 1", r"\[profiles.NAME\]"),
    ("active = 1", "active is the name"),
    ("log_level = 'INFO'", "'log_level' is not known"),
    ("[profiles", "cannot be used"),
]


@pytest.mark.parametrize(("text", "why"), BROKEN)
@pytest.mark.conforms("B247")
def test_a_file_that_makes_no_sense_is_refused_in_one_line(path: Path, text: str, why: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(SettingsError, match=why) as caught:
        Profiles.load()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_text() == text


@pytest.mark.conforms("B247")
def test_a_change_that_makes_no_sense_changes_nothing(path: Path) -> None:
    profiles = Profiles.load()
    profiles.add("work", {"log_prints": True})
    bad: list[dict[str, Any]] = [{"log_levl": "INFO"}, {"home": {"a": "b"}}, {"log_level": "LOUD"}]
    for values in bad:
        with pytest.raises(SettingsError):
            profiles.update("work", values)
        with pytest.raises(SettingsError):
            profiles.add("other", values)
    assert profiles.names == ["default", "work"]
    assert profiles["work"] == {"log_prints": True}


@pytest.mark.parametrize(("made", "why"), [("folder", "cannot be read"), ("bytes", "it is no text")])
def test_a_file_that_cannot_be_read_is_refused(path: Path, made: str, why: str) -> None:
    path.parent.mkdir()
    path.mkdir() if made == "folder" else path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=why):
        Profiles.load()


def test_a_file_that_cannot_be_written_stays_as_it_was(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("[profiles.work]\nlog_prints = true\n")
    profiles = Profiles.load()
    profiles.add("bad", {"default_serializer": "\ud800"})
    with pytest.raises(SettingsError, match="cannot be written"):
        profiles.save()
    assert path.read_text() == "[profiles.work]\nlog_prints = true\n"
    assert [each.name for each in path.parent.iterdir()] == ["profiles.toml"]


@pytest.mark.conforms("B247")
def test_any_text_comes_back_as_it_was_written(path: Path) -> None:
    chance = seeded("profiles")
    signs = "ab \"'\\\n\t\r\x01\x1f\x7f\x85\u2028ä🌊#=[]."

    def text() -> str:
        return "x" + "".join(chance.choices(signs, k=chance.randrange(8))) + "x"

    for _ in range(200):
        profiles = Profiles(path)
        name = text()
        profiles.add(
            name,
            {
                "home": Path(text()),
                "default_serializer": text(),
                "logging_extra_loggers": (text(), text()),
                "pause_timeout_seconds": chance.choice([0.5, 3, 1e20]),
                "log_prints": chance.random() < 0.5,
                "persist_result": chance.choice(["auto", True, False]),
            },
        )
        profiles.activate(name)
        profiles.save()
        again = Profiles.load(path)
        assert again.active == name
        assert Settings(**again[name]) == Settings(**profiles[name])


@dataclass(frozen=True, slots=True, init=False, repr=False)
class WithSecret(Settings):
    token: str | None = setting(None, TEXT, "A secret.", secret=True)


@pytest.mark.conforms("B247")
def test_secrets_are_masked_where_a_profile_is_shown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.profiles.Settings", WithSecret)
    profiles = Profiles.load()
    profiles.add("work", {"token": "hunter2", "log_level": "debug"})
    assert profiles.shown("work") == {"log_level": "DEBUG", "token": "********"}
    with pytest.raises(SettingsError, match=r"token .*not \*{8}\.$"):
        profiles.update("work", {"token": ["hunter2"]})
