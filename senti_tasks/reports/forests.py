"""Forest plots: differences, accuracies and counts with their intervals, one row each."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from senti_tasks.reports import page, plots

SLICES_DRAWN = 60
"""Rules about slices that are drawn, the worst first; there may be hundreds."""

Row = Mapping[str, Any]


def of_gate(gate: Sequence[Row]) -> list[dict[str, Any]]:
    """A forest plot for each kind of comparison, on one axis each."""
    kinds = {
        "Rows for a verdict": [one for one in gate if one["rule"] == "test_rows"],
        "Accuracy and macro-F1, on all test rows": [one for one in gate if one["rule"] in ("accuracy", "macro_f1")],
        "Log loss and Brier score, on all test rows": [one for one in gate if one["rule"] in ("log_loss", "brier")],
        "Calibration error (ECE)": [one for one in gate if one["rule"] == "calibration"],
        "Accuracy by slice, the worst first": sorted(
            (one for one in gate if one["rule"] == "slice"), key=lambda one: (one["passed"], one["figure"])
        )[:SLICES_DRAWN],
    }
    return [{"name": name, "rows": _forest(rules)} for name, rules in kinds.items() if rules]


def _forest(rules: Sequence[Row]) -> list[dict[str, Any]]:
    ends = [rule[name] for rule in rules for name in ("figure", "bound", "threshold") if rule[name] is not None]
    axis = plots.axis_over("", [0.0, *ends])
    drawn = []
    for rule in rules:
        is_loss = rule["rule"] in ("log_loss", "brier")
        found = _loss(rule) if is_loss else _points(rule)
        strip = plots.strip(
            rule["figure"], axis, interval=_interval(rule), threshold=rule["threshold"], passed=rule["passed"]
        )
        name = rule["slice"] or page.title(rule["rule"])
        if rule["reference"]:
            name += f" against the {rule['reference']}"
        drawn.append({"name": name, "strip": strip, "found": found, "passed": rule["passed"]})
    return drawn


def _interval(rule: Row) -> tuple[float, float] | None:
    """The one-sided interval: a slice has an upper bound, the other rules a lower one."""
    if rule["bound"] is None:
        return None
    return (-math.inf, rule["bound"]) if rule["rule"] == "slice" else (rule["bound"], math.inf)


def _points(rule: Row) -> str:
    if rule["rule"] == "test_rows":
        return f"{rule['figure']:,.0f} rows, needed {rule['threshold']:,.0f}"
    if rule["rule"] == "calibration":
        return f"{100 * rule['figure']:.1f} points, allowed {100 * rule['threshold']:.1f}, on {rule['rows']:,} rows"
    side = "upper" if rule["rule"] == "slice" else "lower"
    bound, allowed = page.points(rule["bound"]), page.points(rule["threshold"])
    return f"{page.points(rule['figure'])} points ({side} bound {bound}, allowed {allowed}) on {rule['rows']:,} rows"


def _loss(rule: Row) -> str:
    allowed = f"lower bound {rule['bound']:+.3f}, allowed {rule['threshold']:+.3f}"
    return f"{rule['figure']:+.3f} ({allowed}) on {rule['rows']:,} rows"


def of_slices(slices: Sequence[Row]) -> list[dict[str, Any]]:
    """The accuracy on each of ``slices``, the first of which has all rows, with its bounds."""
    overall = slices[0]["accuracy"]
    axis = plots.axis_over("", [end for one in slices for end in (one["low"], one["high"])])
    return [
        {
            "name": one["name"],
            "strip": plots.strip(one["accuracy"], axis, interval=(one["low"], one["high"]), threshold=overall),
            "found": f"{page.percent(one['accuracy'])} ({page.percent(one['low'])} to {page.percent(one['high'])}) "
            f"on {one['rows']:,} rows",
            "passed": None,
        }
        for one in slices
    ]
