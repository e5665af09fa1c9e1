"""Parses the date of a review in the spellings that files use."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

from senti_tasks.cells import is_missing, plain
from senti_tasks.errors import quoted

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""No review is older or newer. 1970-01-01, 0001-01-01 and 9999-12-31 are what programs write for a missing date."""
_SERIAL_ZERO = datetime(1899, 12, 30)  # noqa: DTZ001 - spreadsheets know no time zones
_SERIAL = re.compile(r"[2-6]\d{4}(\.\d+)?")  # days since 1899-12-30, in spreadsheets: 1954 to 2091
_SECONDS = re.compile(r"\d{9,10}(\.\d+)?")  # 1973 to 2286
_MILLISECONDS = re.compile(r"\d{13}(\.\d+)?")  # 2001 to 2286; 12 digits could also be 202405011830
_EXPONENT = re.compile(r"\d(\.\d+)?e\+?\d{1,2}")  # as spreadsheets show long numbers: 1.577981109E+12
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d:\d\d)?", re.ASCII)
_NO_DATE = re.compile(r"0000-0?0-0?0([ t]0?0:00(:00(\.0+)?)?z?)?")  # MySQL's date for none
_DAY = re.compile(r"(\d{4})\s*[年/.-]\s*(\d{1,2})\s*[月/.-]\s*(\d{1,2})\s*[日号]?(?:[\st,]+|(?<=[日号])|$)(.*)")
_HOUR = re.compile(
    r"(?:(?:星期|周)[一二三四五六日天])?\s*(上午|下午|晚上|中午|凌晨|早上)?\s*(\d{1,2})[:时点](\d{1,2})?"
    r"(?:[:分](\d{1,2}(?:\.\d+)?)?秒?)?\s*(am|pm)?\s*(z|utc|gmt|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
)
_DAY_AND_MONTH = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:[\st,]+|$)(.*)")
_NAMED_MONTHS = ("%b %d, %Y", "%B %d, %Y", "%b %d, %Y %H:%M:%S", "%b %d, %Y %I:%M %p", "%d %B %Y", "%d %b %Y")


def parse(value: object, timezone: ZoneInfo) -> datetime | None:
    """``value`` as an aware datetime in UTC. Without a time zone it is in ``timezone``. ``None`` for a missing value.

    Accepts dates, datetimes, ISO 8601, dates with slashes, dots, Chinese characters or without leading zeros
    (2024/5/1 8:03, 2024年5月1日 下午3:05), English months, seconds (9 or 10 digits) or milliseconds (13 digits) since
    1970, and days as spreadsheets number them (45413). Raises ``ValueError`` for anything else, for a date that can be
    read in two ways (03/04/2024), and for one outside of 1970 to 2099.
    """
    if type(value) is str and _PLAIN.fullmatch(value):  # a fast path: most files spell dates so
        with suppress(ValueError, OverflowError):
            found = datetime.fromisoformat(value).replace(tzinfo=timezone).astimezone(UTC)
            if _FIRST <= found < _LAST:
                return found
    if is_missing(value) or _NO_DATE.fullmatch(plain(value)):
        return None
    try:
        found = _parsed(value)
        found = (found.replace(tzinfo=timezone) if found.tzinfo is None else found).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"created_at {quoted(value)} is no date: expected ISO 8601 (2024-05-01 18:30:00+08:00), 2024/05/01, "
            "2024年5月1日, or seconds or milliseconds since 1970"
        ) from None
    if not _FIRST <= found < _LAST:
        raise ValueError(f"created_at {quoted(value)} is no date of a review: expected one from 1970 to 2099")
    return found


def _parsed(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time.min)
    spelling = plain(value)
    if number := _numbered(spelling):
        return number
    with suppress(ValueError):
        return datetime.fromisoformat(spelling)
    if day := _DAY.fullmatch(spelling):
        year, month, date_, rest = day.groups()
        return _at(int(year), int(month), int(date_), rest)
    if day := _DAY_AND_MONTH.fullmatch(spelling):
        first, second, year, rest = day.groups()
        if first != second and int(first) <= 12 and int(second) <= 12:
            raise ValueError(spelling)  # 03/04/2024 is in March or in April
        month, date_ = sorted((int(first), int(second)))
        return _at(int(year), month, date_, rest)
    return _with_english_month(spelling)


def _numbered(spelling: str) -> datetime | None:
    """The time that a number stands for; ``None`` if ``spelling`` is no number, or is 20240501."""
    if _EXPONENT.fullmatch(spelling):
        spelling = f"{float(spelling):.0f}"
    if _SECONDS.fullmatch(spelling):
        return _EPOCH + timedelta(seconds=float(spelling))
    if _MILLISECONDS.fullmatch(spelling):
        return _EPOCH + timedelta(milliseconds=float(spelling))
    if _SERIAL.fullmatch(spelling):
        return _SERIAL_ZERO + timedelta(seconds=round(float(spelling) * 86_400))
    if not spelling.isdigit() or len(spelling) == len("20240501"):
        return None
    if len(spelling) == len("20240501183000"):
        return datetime.strptime(spelling, "%Y%m%d%H%M%S")  # noqa: DTZ007 - parse adds the time zone
    raise ValueError(spelling)  # fromisoformat reads an hour from 20240501123


def _at(year: int, month: int, day: int, clock: str) -> datetime:
    midnight = datetime(year, month, day)  # noqa: DTZ001 - parse adds the time zone
    clock = clock.strip()
    if not clock:
        return midnight
    found = _HOUR.fullmatch(clock)
    if found is None:
        raise ValueError(clock)
    half, hours, minutes, seconds, english, zone = found.groups()
    hour, minute, second = int(hours), int(minutes or 0), float(seconds or 0)
    if half in ("下午", "晚上") or english == "pm":
        hour += 12 if hour < 12 else 0
    elif (half in ("上午", "凌晨", "早上") or english == "am") and hour == 12:
        hour = 0
    if hour > 24 or minute > 59 or second >= 60 or (hour == 24 and (minute or second)):
        raise ValueError(clock)
    moment = midnight + timedelta(hours=hour, minutes=minute, seconds=second)  # 24:00 is the next midnight
    if zone is None:
        return moment
    offset = "+00:00" if zone.isalpha() else zone
    return datetime.fromisoformat(f"{moment.isoformat()}{offset}")


def _with_english_month(spelling: str) -> datetime:
    for layout in _NAMED_MONTHS:
        with suppress(ValueError):
            return datetime.strptime(spelling, layout)  # noqa: DTZ007 - parse adds the time zone
    with suppress(ValueError):
        return datetime.strptime(spelling, "%a %b %d %H:%M:%S %z %Y")
    if re.search("[a-z]{3}", spelling):
        return parsedate_to_datetime(spelling)  # as in e-mails and HTTP: Wed, 01 May 2024 18:30:00 +0800
    raise ValueError(spelling)
