"""How far a piece of work is: one line that people read in logs, and that programs read back."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

LOG_EVERY_S = 10.0
"""Seconds between two such lines in a log."""
_LINE = re.compile(
    r"(?P<what>.+): (?P<done>[\d,]+) of (?P<total>[\d,]+) (?P<unit>\w+)(?:, (?P<rate>[\d,.]+)/s)?"
    r"(?:, at most (?P<left>[\d:]+) left)?"
)


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is."""

    what: str
    """Such as ``training, epoch 2 of 5``."""
    done: int
    total: int
    unit: str
    """Of ``done`` and ``total``, one word in the plural: ``reviews``."""
    rate: float | None = None
    """Units per second; ``None`` while nothing was measured."""
    left_s: float | None = None
    """Seconds until the end, at most: the work may end before."""

    def __str__(self) -> str:
        rate = "" if self.rate is None else f", {shown_rate(self.rate)}/s"
        left = "" if self.left_s is None else f", at most {shown_time(self.left_s)} left"
        return f"{self.what}: {self.done:,} of {self.total:,} {self.unit}{rate}{left}"

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """The progress of which ``line`` is the text, or ``None`` if it is another line."""
        if (found := _LINE.fullmatch(line)) is None:
            return None
        rate, left = found["rate"], found["left"]
        done, total = (int(found[name].replace(",", "")) for name in ("done", "total"))
        return cls(
            found["what"],
            done,
            total,
            found["unit"],
            None if rate is None else float(rate.replace(",", "")),
            None if left is None else _seconds(left),
        )


Watcher = Callable[[Progress], None]
"""Is called now and then while work goes on, at least once a second where the work allows it."""


def shown_rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def shown_time(seconds: float) -> str:
    """Minutes and seconds, ``4:05``; with hours, ``1:04:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _seconds(shown: str) -> float:
    found = 0.0
    for part in shown.split(":"):
        found = 60 * found + int(part)
    return found
