"""The part of the report on a run that shows drift: the run in all, and its products."""

from collections.abc import Mapping, Sequence
from typing import Any

from senti_tasks.config import DriftConfig
from senti_tasks.reports import page, plots

Row = Mapping[str, Any]


def table(parts: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows of ``label_drift`` for people."""
    return [
        {
            "part": "all" if row["part"] == "run" else row["product"] or "(no product)",
            "reviews": row["reviews"],
            "drift": row["drift"] or "none",
            "PSI": _rounded(row["psi"], 3),
            "PSI against training": _rounded(row["psi_training"], 3),
            "unlike the training": _share(row["unlike_share"]),
            "unknown characters": _share(row["unknown_share"]),
            "characters": _rounded(row["mean_characters"], 1),
            "expected accuracy": _rounded(row["expected_accuracy"], 3),
            "negative": _share(row["negative_share"]),
        }
        for row in parts
    ]


def summary(parts: Sequence[Row]) -> str:
    """One sentence about the first part that has drifted; empty if none has."""
    drifted = [row for row in table(parts) if row["drift"] != "none"]
    if not drifted:
        return ""
    others = f" So are {len(drifted) - 1} more parts." if len(drifted) > 1 else ""
    return f"The reviews are not as they were. {drifted[0]['part']}: {drifted[0]['drift']}.{others}"


def drawn(parts: Sequence[Row], earlier: Sequence[Row], config: DriftConfig) -> list[Any]:
    """Plots of the run in all beside ``earlier``, the same rows of the runs before it, each with its bound."""
    this = next((row for row in parts if row["part"] == "run"), None)
    if this is None:
        return []
    found = []
    for title, column, limit in (
        ("PSI of the scores against the runs before, and its bound", "psi", config.psi),
        ("share of texts unlike those of the training, and its bound", "unlike_share", config.unlike_share),
    ):
        before = [row[column] for row in earlier if row[column] is not None]
        if this[column] is None or not before:
            continue
        axis = plots.axis_over("", [*before, this[column], limit], zero=True)
        found.append(plots.bands(title, before, this[column], 0.0, limit, axis))
    return found


def _rounded(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str | None:
    return None if value is None else page.percent(value)
