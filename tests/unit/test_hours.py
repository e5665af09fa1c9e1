"""Hours of the day: when they come next, and whether it is them now."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from senti_tasks.hours import Pause, next_pause

CHINA, GERMANY = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("hours", "now", "start", "end"),
    [
        ("01:30-05:00", "2026-03-01T12:00", "2026-03-02T01:30", "2026-03-02T05:00"),
        ("01:30-05:00", "2026-03-02T01:29", "2026-03-02T01:30", "2026-03-02T05:00"),
        ("01:30-05:00", "2026-03-02T01:30", "2026-03-02T01:30", "2026-03-02T05:00"),
        ("01:30-05:00", "2026-03-02T05:00", "2026-03-03T01:30", "2026-03-03T05:00"),
        ("22:00-05:00", "2026-03-02T04:59", "2026-03-01T22:00", "2026-03-02T05:00"),
        ("22:00-05:00", "2026-03-02T05:00", "2026-03-02T22:00", "2026-03-03T05:00"),
        ("22:00-05:00", "2026-03-02T23:00", "2026-03-02T22:00", "2026-03-03T05:00"),
    ],
)
def test_the_next_pause_is_the_present_one_or_else_the_first_to_come(
    hours: str, now: str, start: str, end: str
) -> None:
    at = [datetime.fromisoformat(text).replace(tzinfo=CHINA) for text in (now, start, end)]
    assert next_pause(hours, at[0]) == Pause(at[1], at[2])


def test_the_hours_are_those_of_the_clock_on_the_wall_when_it_is_put_forward() -> None:
    """In the night to 29 March 2026, 02:00 in Berlin is followed by 03:00."""
    pause = next_pause("01:30-05:00", datetime(2026, 3, 28, 23, 0, tzinfo=GERMANY))
    assert pause is not None
    assert [time.isoformat() for time in (pause.start, pause.end)] == [
        "2026-03-29T01:30:00+01:00",
        "2026-03-29T05:00:00+02:00",
    ]


def test_without_hours_there_is_no_pause() -> None:
    assert next_pause(None, datetime(2026, 3, 2, tzinfo=CHINA)) is None
