"""Markdown tables, for model cards and for the scorecard in Airflow."""

from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of ``rows``, which have the same keys in the same order; the keys are the headings. Empty for no rows."""
    if not rows:
        return ""
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[_cell(value) for value in row.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    spelt = f"{value:.4g}" if isinstance(value, float) else str(value)
    return spelt.replace("|", "\\|").replace("\n", " ")
