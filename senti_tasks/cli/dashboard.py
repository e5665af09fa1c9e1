"""``senti status`` on a terminal: what there is, what serves, what waits for a person, and the last runs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from senti_tasks.cli import tables

_RUN_COLUMNS = {
    "run_id": "run",
    "state": "state",
    "model_version": "model",
    "labelled": "labelled",
    "planned": "planned",
    "when": "published",
    "scope": "scope",
    "failed": "failed",
    "superseded": "superseded",
}
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def dashboard(found: dict[str, Any], waiting: Sequence[str], now: datetime | None = None) -> RenderableType:
    """The panels of what ``jobs.operations.upkeep.status`` returns. ``waiting``: sentences about what waits for a
    person."""
    now = now or datetime.now(UTC)
    parts: list[RenderableType] = [Columns([_reviews(found), _models(found)], expand=True)]
    if waiting:
        lines = Text("\n".join(f"• {line}" for line in waiting))
        parts.append(_panel("waits for you", lines, "magenta"))
    runs = [{**run, "when": shown_age(run.get("published_at"), now)} for run in found["runs"]]
    table = tables.table(runs, _RUN_COLUMNS) if runs else "none yet: senti score"
    return Group(*parts, _panel("last runs", table))


def shown_age(then: datetime | None, now: datetime) -> str:
    """How long ago ``then`` was; ``-`` for never."""
    if then is None:
        return "-"
    seconds = max(0.0, (now - then).total_seconds())
    if seconds < _MINUTE:
        return "just now"
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    raise AssertionError(seconds)


def _reviews(found: dict[str, Any]) -> Panel:
    held = sum(run["reviews"] for run in found["held"])
    rows = {"reviews": found["reviews"], "labelled by people": found["annotated"], "pending": found["pending"]}
    rows |= {"in held runs": held} if held else {}
    rows |= {"carried over": found["carried_over"]} if found["carried_over"] else {}
    return _panel("reviews", _facts({name: f"{number:,}" for name, number in rows.items()}))


def _models(found: dict[str, Any]) -> Panel:
    facts = {"in service": found["in_service"] or "no model yet", "champion": found["champion"] or "none yet"}
    if found["incoming"]:
        facts |= {"incoming": found["incoming"], "it lacks": f"{found['missing']:,} labels"}
    facts["publishing"] = "frozen" if found["frozen"] else "possible"
    return _panel("models", _facts(facts, right=False))


def _facts(facts: dict[str, str], *, right: bool = True) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right" if right else "left", style="bold")
    for name, value in facts.items():
        table.add_row(name, Text(value, style="magenta" if value == "frozen" else ""))
    return table


def _panel(title: str, content: RenderableType, style: str = "none") -> Panel:
    return Panel(content, title=title, title_align="left", box=box.ROUNDED, border_style=style)
