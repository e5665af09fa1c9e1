"""Parses the date of a review in the spellings that files use."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from senti_tasks.errors import quoted

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = re.compile(r"\d{9,10}(\.\d+)?")  # 1973 to 2286
_MILLISECONDS = re.compile(r"\d{13}(\.\d+)?")  # 2001 to 2286; 12 digits could also be 202405011830
_UNPADDED = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")


def parse(value: object, timezone: ZoneInfo) -> datetime | None:
    """``value`` as an aware datetime in UTC. Without a time zone it is in ``timezone``. ``None`` for a blank value.

    Accepts dates, datetimes, ISO 8601, ISO 8601 with slashes or without leading zeros (2024/5/1 8:03), and seconds (9
    or 10 digits) or milliseconds (13 digits) since 1970. Raises ``ValueError``.
    """
    if value is None or value != value or not str(value).strip():  # NaN differs from itself
        return None
    try:
        found = _parsed(value)
        return (found.replace(tzinfo=timezone) if found.tzinfo is None else found).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"created_at {quoted(value)} is no date: expected ISO 8601 (2024-05-01 18:30:00+08:00), 2024/05/01, "
            "or seconds or milliseconds since 1970"
        ) from None


def _parsed(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time.min)
    spelling = str(value).strip().replace("/", "-")
    if _SECONDS.fullmatch(spelling):
        return _EPOCH + timedelta(seconds=float(spelling))
    if _MILLISECONDS.fullmatch(spelling):
        return _EPOCH + timedelta(milliseconds=float(spelling))
    if spelling.isdigit() and len(spelling) != len("20240501"):  # fromisoformat reads an hour from 20240501123
        raise ValueError(spelling)
    with suppress(ValueError):
        return datetime.fromisoformat(spelling)
    for layout in _UNPADDED:
        with suppress(ValueError):
            return datetime.strptime(spelling, layout)  # noqa: DTZ007 - parse adds the time zone
    raise ValueError(spelling)
