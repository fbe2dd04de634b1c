"""Settings: what can be set, what holds here and now, and how to change it for a while.

The strongest first: a profile chosen for this process (``TIDEGATE_PROFILE``, `use_profile`), ``TIDEGATE_*`` environment
variables, the active profile of the file (`profiles`), the defaults below.  An empty variable counts as not set, except
where nothing is a value.

A frozen dataclass and not a pydantic model: the first flow of a process needs one path, and importing pydantic's
settings for it took 0.25 s and 28 MB.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from . import setting_kinds as kinds
from .errors import SettingsError
from .model.durability import DEFAULT, LEVELS, Durability
from .model.record import record
from .model.record_modes import RECORD_MODES, RecordMode

PREFIX = "TIDEGATE_"
MASK = "********"
"""Stands for the value of a secret wherever settings are shown."""


@record
class Setting:
    """One setting: its name, environment variable, default, meaning, and what its values may be."""

    name: str
    default: Any
    kind: kinds.Kind
    doc: str
    secret: bool = False

    @property
    def environment(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper()

    def read(self, value: Any) -> Any:
        """The value of a text, or of a value that may need tidying.  Raises `SettingsError`."""
        try:
            return self.kind.read(value)
        except (ValueError, TypeError, RuntimeError):  # RuntimeError: a home folder that cannot be found out
            got = MASK if self.secret else f"{value!r:.60}"
            raise SettingsError(f"{self.name} ({self.environment}) must be {self.kind.wanted}, not {got}.") from None

    def shown(self, value: Any) -> str:
        """The value for people; a secret that is set is masked."""
        return MASK if self.secret and value not in (None, "") else self.kind.write(value)


def setting(default: Any, kind: kinds.Kind, doc: str, *, secret: bool = False) -> Any:
    """Declare a setting, once: its variable, its parser, its text and its line in lists all come from here."""
    return field(default=default, metadata={"declared": (default, kind, doc, secret)})


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Settings:
    """What can be set; immutable, comparable, hashable.  Raises `SettingsError` for a name or value that cannot be."""

    home: Path = setting(  # noqa: RUF009  # it gives a field
        Path(".tidegate"),
        kinds.FOLDER,
        "The folder of the store; a relative one is taken from the working folder, so that by default the record lies "
        "next to the notebook.",
    )
    api_url: str | None = setting(None, kinds.URL, "The server that runs are reported to; none by default.")
    log_level: str = setting("INFO", kinds.LEVEL, "The least level that loggers of runs let through.")
    log_prints: bool = setting(False, kinds.TRUTH, "Whether print() in flows and tasks goes to the log.")
    persist_result: Literal["auto"] | bool = setting(
        "auto", kinds.AUTO_OR_TRUTH, "Whether results are saved; auto saves what costs more to make than to write."
    )
    task_runner_max_workers: int = setting(32, kinds.whole(1), "Worker threads of a flow run at most.")
    pause_timeout_seconds: float = setting(3600.0, kinds.SECONDS, "Seconds that a paused run waits to be resumed.")
    task_default_retries: int = setting(0, kinds.whole(0), "Retries of a task that says nothing about them.")
    task_default_retry_delay_seconds: float = setting(
        0.0, kinds.SECONDS, "Seconds before each retry of a task that says nothing about them."
    )
    results_storage: str | None = setting(
        None, kinds.PLACE, "A folder or a URL for results; the folder `results` in home by default."
    )
    default_serializer: str = setting("auto", kinds.TEXT, "How results are written; auto chooses by type.")
    logging_extra_loggers: tuple[str, ...] = setting(
        (), kinds.NAMES, "Loggers of other packages whose records in runs are kept too, by name, with commas."
    )
    logging_to_store: bool = setting(True, kinds.TRUTH, "Whether log records of runs are kept in the store.")
    durability: Durability = setting(  # noqa: RUF009  # it gives a field
        DEFAULT,
        kinds.one_of(*LEVELS),
        "How much of a run a power cut may take: memory, process or power. Flows may say otherwise.",
    )
    retention_days: float = setting(30.0, kinds.DAYS, "Days for which an ended run is kept whatever its store takes.")
    retention_size: int | None = setting(
        500_000_000, kinds.SIZE, "Bytes of a store from which on its oldest runs are deleted; empty for never."
    )
    auto_display: bool = setting(True, kinds.TRUTH, "Whether a run in a notebook shows its graph under the cell.")

    cassette: Path | None = setting(  # noqa: RUF009  # it gives a field
        None, kinds.FILE, "A cassette that flow runs take the results of their tasks from, or record them to."
    )
    record_mode: RecordMode = setting(  # noqa: RUF009  # it gives a field
        "none",
        kinds.one_of(*RECORD_MODES),
        "What becomes of a cassette: none only replays it, once records it where it is not there, new_episodes also "
        "records what is not in it, all records it anew.",
    )
    allow_pickle: bool = setting(False, kinds.TRUTH, "Whether a cassette may hold pickles, which are code.")

    _given: frozenset[str] = field(default=frozenset(), compare=False)

    def __init__(self, **given: Any) -> None:
        declared = self.declared()
        for name in given:
            _known(declared, name)
        for each in declared.values():
            value = each.read(given[each.name]) if each.name in given else each.default
            object.__setattr__(self, each.name, value)
        object.__setattr__(self, "_given", frozenset(given))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"

    @classmethod
    def declared(cls) -> dict[str, Setting]:
        """All settings by name, in the order in which they are declared."""
        known = [each for each in fields(cls) if "declared" in each.metadata]
        return {each.name: Setting(each.name, *each.metadata["declared"]) for each in known}

    def is_set(self, name: str) -> bool:
        """True if the setting was set, be it to its default.  Raises `SettingsError` for an unknown name."""
        return _known(self.declared(), name).name in self._given

    def shown(self) -> dict[str, str]:
        """Every setting as a text for people, secrets masked."""
        return {each.name: each.shown(getattr(self, each.name)) for each in self.declared().values()}

    def changed(
        self,
        updates: Mapping[str, Any] | None = None,
        set_defaults: Mapping[str, Any] | None = None,
        restore_defaults: Iterable[str] = (),
    ) -> Settings:
        """These settings with `updates`, with `set_defaults` where nothing is set, and some back to their defaults."""
        given = {**(set_defaults or {}), **{name: getattr(self, name) for name in self._given}, **(updates or {})}
        for name in restore_defaults:
            given.pop(_known(self.declared(), name).name, None)
        return type(self)(**given)

    # Environment ----------------------------------------------------------------------------------------------------

    def to_environment(self, exclude_unset: bool = False, only: Iterable[str] | None = None) -> dict[str, str]:
        """Environment variables that give another process these settings: all, those set, or those named.

        Secrets are not masked.  ``TIDEGATE_PROFILE`` is stronger than they are: do not hand it on with them.
        """
        declared = self.declared()
        chosen = declared.values() if only is None else [_known(declared, name) for name in only]
        return {
            each.environment: each.kind.write(getattr(self, each.name))
            for each in chosen
            if not exclude_unset or each.name in self._given
        }

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """What environment variables alone say; those of this process by default."""
        return cls(**cls.read_environment(os.environ if environment is None else environment))

    @classmethod
    def read_environment(cls, environment: Mapping[str, str]) -> dict[str, str]:
        """The texts of the variables that set something, by setting."""
        found = {each: environment.get(each.environment) for each in cls.declared().values()}
        return {
            each.name: text for each, text in found.items() if text is not None and (text.strip() or each.kind.empty)
        }

    # Places ---------------------------------------------------------------------------------------------------------

    @property
    def store_path(self) -> Path:
        """The file of the store."""
        return (self.home / "store.db").absolute()

    @property
    def results_path(self) -> Path | None:
        """The folder of saved results; null if `results_storage` is a URL."""
        if self.results_storage is None:
            return (self.home / "results").absolute()
        return None if "://" in self.results_storage else Path(self.results_storage).absolute()


def _known(declared: Mapping[str, Setting], name: str) -> Setting:
    try:
        return declared[name]
    except (KeyError, TypeError):
        from difflib import get_close_matches  # only to word an error

        near = get_close_matches(str(name), declared, 1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(declared)}."
        raise SettingsError(f"There is no setting {name!r:.60}. {hint}") from None


# What holds ---------------------------------------------------------------------------------------------------------

_here: ContextVar[Settings | None] = ContextVar("tidegate_settings", default=None)
_process: Settings | None = None
_reading = threading.Lock()


def settings() -> Settings:
    """The settings that hold here: those of `temporary_settings` around the code, else those of the process.

    The latter are read once, by the first call.  Threads that user code starts by itself begin with the latter.
    """
    global _process
    here = _here.get() or _process
    if here is None:
        with _reading:
            if _process is None:
                _process = read_settings()
            here = _process
    return here


def read_settings(profile: str | None = None) -> Settings:
    """What profiles and environment say now.  `profile`: the one to use, before all else.

    Raises `SettingsError` for values that cannot be, a file of profiles that cannot be read and an unknown `profile`.
    """
    from .profiles import chosen  # looks for a file: once a process

    values, strong = chosen(profile)
    environment = Settings.read_environment(os.environ)
    return Settings(**({**environment, **values} if strong else {**values, **environment}))


@contextmanager
def entered(other: Settings) -> Iterator[Settings]:
    """Have `other` hold inside: for a worker that settings travelled to.  Nothing is done if it holds already."""
    if other == settings():
        yield settings()
        return
    token = _here.set(other)
    try:
        yield other
    finally:
        _here.reset(token)


@contextmanager
def temporary_settings(
    updates: Mapping[str, Any] | None = None,
    set_defaults: Mapping[str, Any] | None = None,
    restore_defaults: Iterable[str] = (),
) -> Iterator[Settings]:
    """Change settings inside, in this thread or task and the runs that it starts, and restore them at the end.

    ``with temporary_settings({"log_prints": True}):``; `set_defaults` holds where nothing is set, `restore_defaults`
    names settings that go back to their defaults.  The others stay as set or unset as they are.
    """
    token = _here.set(settings().changed(updates, set_defaults, restore_defaults))
    try:
        yield settings()
    finally:
        _here.reset(token)


@contextmanager
def use_profile(name: str) -> Iterator[Settings]:
    """Have a profile hold before all else, in the whole process: what ``--profile`` of the command line does."""
    global _process
    chosen = read_settings(name)
    before, _process = _process, chosen
    token = _here.set(None)
    try:
        yield chosen
    finally:
        _here.reset(token)
        _process = before


def ensure_home() -> Path:
    """Make the home folder, private and ignored by git, where it is not there; only a warning if that fails."""
    home = settings().home.absolute()
    try:
        if not home.exists():
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            (home / ".gitignore").write_text("*\n")
    except OSError as error:
        why = f"The folder {home} cannot be made ({error.strerror}). Set TIDEGATE_HOME to a folder that can."
        warnings.warn(why, stacklevel=2)
    return home
