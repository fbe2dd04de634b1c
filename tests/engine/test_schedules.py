"""When runs are due: cron expressions in time zones, intervals, and what is still to be made."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tidegate.errors import UsageError
from tidegate.model.deployments import Deployment, Schedule
from tidegate.rules.schedules import WINDOW, check, next_times, owed

PARIS = ZoneInfo("Europe/Paris")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS).timestamp()


def told(schedule: Schedule, after: str, many: int = 3) -> list[str]:
    return [datetime.fromtimestamp(due, PARIS).isoformat() for due in next_times(schedule, at(after), many)]


def test_a_cron_expression_is_meant_by_the_clocks_of_its_time_zone() -> None:
    assert told(Schedule("0 3 * * *", "Europe/Paris"), "2026-11-30 03:00", 2) == [
        "2026-12-01T03:00:00+01:00",
        "2026-12-02T03:00:00+01:00",
    ]
    assert told(Schedule("0 3 * * *"), "2026-11-30 03:00", 1) == ["2026-11-30T04:00:00+01:00"]


def test_a_moment_that_the_clocks_leave_out_is_due_right_after_it() -> None:
    assert told(Schedule("30 2 * * *", "Europe/Paris"), "2026-03-28 12:00") == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
        "2026-03-31T02:30:00+02:00",
    ]


def test_a_moment_that_comes_twice_is_due_once_unless_each_hour_is() -> None:
    assert told(Schedule("30 2 * * *", "Europe/Paris"), "2026-10-24 12:00") == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
        "2026-10-27T02:30:00+01:00",
    ]
    assert told(Schedule("30 * * * *", "Europe/Paris"), "2026-10-25 01:45") == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:30:00+01:00",
    ]


@pytest.mark.parametrize(("after", "first"), [(100.0, 110.0), (95.0, 100.0), (99.99, 100.0)])
def test_an_interval_counts_from_its_anchor_in_both_directions(after: float, first: float) -> None:
    assert next_times(Schedule(interval=10.0, anchor=50.0), after, 2) == [first, first + 10]
    assert next_times(Schedule(interval=10.0, anchor=1_000.0), after, 2) == [first, first + 10]


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (Schedule("61 * * * *"), "'61 * * * *' is no cron expression: bad minute."),
        (Schedule("hourly"), "'hourly' is no cron expression"),
        (Schedule("0 0 31 2 *"), "'0 0 31 2 *'"),
        (Schedule("0 3 * * *", "Europe/Pariss"), "There is no time zone 'Europe/Pariss'."),
        (Schedule("0 3 * * *", "../etc/passwd"), "There is no time zone '../etc/passwd'."),
        (Schedule("0 3 * * *", ""), "There is no time zone ''."),
        (Schedule(interval=0.5), "An interval takes 1 s or more, not 0.5."),
        (Schedule(interval=float("nan")), "An interval takes 1 s or more, not nan."),
        (Schedule(interval=float("inf")), "An interval takes 1 s or more, not inf."),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_in_one_line(schedule: Schedule, wanted: str) -> None:
    with pytest.raises(UsageError) as raised:
        check(schedule)
    assert wanted in str(raised.value)
    assert "\n" not in str(raised.value)


def deployment(name: str, *schedules: Schedule, paused: bool = False) -> Deployment:
    return Deployment(name, "load", "etl.py:load", "/", schedules=schedules, paused=paused)


@pytest.mark.conforms("B289")
def test_the_next_runs_of_each_schedule_are_owed_and_none_that_is_planned() -> None:
    minutes = Schedule("* * * * *")
    both = deployment("both", minutes, Schedule(interval=40.0))
    resting = deployment("resting", minutes, paused=True)
    found = owed([resting, both], {"load/both": {120.0}}, 65.0)
    assert [(each.name, due) for each, due in found] == [("both", due) for due in (80.0, 160.0, 180.0, 240.0)]
    planned = {"load/both": {80.0, 120.0, 160.0, 180.0, 240.0}}
    assert owed([resting, both], planned, 65.0) == []
    assert len(owed([deployment("one", minutes)], {}, 65.0)) == WINDOW
