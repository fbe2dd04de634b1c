"""Profiles: sets of settings with a name, in one TOML file.

    active = "work"

    [profiles.work]
    home = "~/runs"
    log_level = "DEBUG"

The file is ``profiles.toml`` in the user's configuration folder, or where ``TIDEGATE_PROFILES_PATH`` says.  There is
always a profile ``default``, empty unless the file has something in it.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import SettingsError
from .settings import Settings

DEFAULT = "default"


def profiles_path() -> Path:
    """The file of profiles of this user; it need not be there."""
    given = os.environ.get("TIDEGATE_PROFILES_PATH")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_config_dir  # 5 ms: not needed to import Tidegate

    return Path(user_config_dir("tidegate", appauthor=False)) / "profiles.toml"


def chosen(name: str | None = None) -> tuple[Mapping[str, Any], bool]:
    """What the profile in use sets, and whether it is stronger than the environment.

    That is the one called `name`, else the one that ``TIDEGATE_PROFILE`` names, else the active one.  Raises
    `SettingsError` for an unknown `name`; for an unknown one of the other two it warns and takes ``default``.
    """
    profiles = Profiles.load()
    if name is not None:
        return profiles[name], True
    for source, wanted in (("TIDEGATE_PROFILE", os.environ.get("TIDEGATE_PROFILE")), ("active", profiles.active)):
        if wanted and wanted in profiles.names:
            return profiles[wanted], source != "active"
        if wanted:
            where = f"{source} of {profiles.path}" if source == "active" else source
            text = f"{where} names a profile {wanted!r} that is not there; the profile default is used instead."
            warnings.warn(text, stacklevel=2)
            break
    return profiles[DEFAULT], False


def origins(name: str | None = None) -> dict[str, str]:
    """What sets each setting, by its name: a variable, ``the profile``, or nothing for those that are as by default.

    `name` is the profile that was chosen for this process.  Raises and warns as `chosen`.
    """
    profile, strong = chosen(name)
    environment = Settings.read_environment(os.environ)
    found = {}
    for each in Settings.declared().values():
        ways = ["the profile"] if each.name in profile else []
        ways += [each.environment] if each.name in environment else []
        found[each.name] = ways[0 if strong else -1] if ways else ""
    return found


class Profiles:
    """The profiles of a file.  Changes are made here and written by `save`; runs that are under way do not see them."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or profiles_path()
        self.active = DEFAULT
        """The name of the profile that is in use where none is chosen; it may be one that is not there."""
        self._profiles: dict[str, dict[str, Any]] = {DEFAULT: {}}

    @classmethod
    def load(cls, path: Path | None = None) -> Profiles:
        """Read a file, by default the user's; none there is no profiles.  Raises `SettingsError` for a broken one."""
        made = cls(path)
        try:
            text = made.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return made
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"The profiles in {made.path} cannot be read ({_why(error)}).") from None
        import tomllib  # most people have no such file

        try:
            made._fill(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, SettingsError) as error:
            raise SettingsError(f"The profiles in {made.path} cannot be used. {error}") from None
        return made

    def _fill(self, table: Mapping[str, Any]) -> None:
        unknown = table.keys() - {"active", "profiles"}
        if unknown:
            raise SettingsError(f"{min(unknown)!r} is not known; write settings under [profiles.NAME].")
        profiles, active = table.get("profiles", {}), table.get("active", DEFAULT)
        if not isinstance(active, str) or not isinstance(profiles, dict):
            raise SettingsError("active is the name of a profile, and each profile is a table [profiles.NAME].")
        for name, values in profiles.items():
            if not isinstance(values, dict):
                raise SettingsError(f"The profile {name!r} must be a table, [profiles.{name}].")
            self._profiles[name] = _checked(name, values)
        self.active = active

    def save(self) -> None:
        """Write the file, whole or not at all, for this user's eyes only.  Comments in it are lost.

        What is as it would be anyway is not written: an empty ``default``, and that it is the active one.
        """
        lines = [] if self.active == DEFAULT else [f"active = {_toml(self.active)}", ""]
        for name, values in self._profiles.items():
            if values or name != DEFAULT:
                lines += [f"[profiles.{_key(name)}]", *(f"{key} = {_toml(each)}" for key, each in values.items()), ""]
        path = self.path.resolve()
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.unlink(missing_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write("\n".join(lines))
            draft.replace(path)
        except (OSError, UnicodeEncodeError) as error:
            draft.unlink(missing_ok=True)
            raise SettingsError(f"The profiles cannot be written to {path} ({_why(error)}).") from None

    # The profiles ---------------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The names of all profiles, ``default`` among them."""
        return list(self._profiles)

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        if name not in self._profiles:
            raise SettingsError(f"There is no profile {name!r}. There are {', '.join(self._profiles)}.")
        return dict(self._profiles[name])

    def shown(self, name: str) -> dict[str, str]:
        """What a profile sets, as texts for people, secrets masked."""
        made = Settings(**self[name])
        return {each: text for each, text in made.shown().items() if made.is_set(each)}

    def add(self, name: str, values: Mapping[str, Any] | None = None) -> None:
        """A new profile.  Raises `SettingsError` if there is one of that name, and for values that cannot be."""
        if not isinstance(name, str) or not name.strip():
            raise SettingsError(f"{name!r} cannot name a profile: it must be a text.")
        if name in self._profiles and (name != DEFAULT or self._profiles[DEFAULT]):
            raise SettingsError(f"There is a profile {name!r} already. Update it, or choose another name.")
        self._profiles[name] = _checked(name, values or {})

    def update(self, name: str, values: Mapping[str, Any]) -> None:
        """Set some settings of a profile; those given as null are taken out of it."""
        self._profiles[name] = _checked(name, {**self[name], **values})

    def remove(self, name: str) -> None:
        """Take a profile out; ``default`` becomes empty.  Raises `SettingsError` for the active one."""
        self[name]
        if name == DEFAULT:
            self._profiles[DEFAULT] = {}
        elif name == self.active:
            raise SettingsError(f"The profile {name!r} is the active one. Activate another before you remove it.")
        else:
            del self._profiles[name]

    def activate(self, name: str) -> None:
        """Make a profile the active one."""
        self[name]
        self.active = name


def _checked(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a profile as they were written, once it is known that they can be."""
    given = {key: each for key, each in values.items() if each is not None}
    nested = [key for key, each in given.items() if isinstance(each, Mapping)]
    try:
        if nested:
            raise SettingsError(f"{nested[0]} is a table; a setting has one value.")
        Settings(**given)
    except SettingsError as error:
        raise SettingsError(f"In the profile {name!r}: {error}") from None
    return given


def _toml(value: Any) -> str:
    """A value in TOML; what TOML does not know is written as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    # A JSON text is a TOML text, but for the one control character that JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "it is no text"
