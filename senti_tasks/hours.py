"""Hours of the day, such as 01:30-05:00, and when they next come."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

_HOURS = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True)
class Pause:
    """A time during which something must not run; ``end`` is no longer in it. Both have a time zone."""

    start: datetime
    end: datetime


def parse(hours: str) -> tuple[time, time]:
    """Start and end of ``hours``. If the end is the earlier one, it is on the next day.

    Raises ``ValueError`` if these are not two different times of the day.
    """
    try:
        found = _HOURS.fullmatch(hours)
        start, end = map(time.fromisoformat, found.groups() if found else ())
    except ValueError:
        raise ValueError(f"expected two times of the day such as 01:30-05:00, found {hours!r}") from None
    if start == end:
        raise ValueError(f"expected two different times of the day, found {hours!r}")
    return start, end


def next_pause(hours: str | None, now: datetime) -> Pause | None:
    """The present or else the next occurrence of ``hours`` (see ``parse``) in the time zone of ``now``.
    ``None`` if there are no hours."""
    if hours is None:
        return None
    start, end = parse(hours)
    pauses = (
        Pause(
            datetime.combine(now.date() + timedelta(days=day), start, now.tzinfo),
            datetime.combine(now.date() + timedelta(days=day + (end < start)), end, now.tzinfo),
        )
        for day in (-1, 0, 1)
    )
    # In UTC, because times of one zone are compared by the clock on the wall, which goes back once a year.
    return next(pause for pause in pauses if pause.end.astimezone(UTC) > now.astimezone(UTC))
