"""The comparison of two models on the rows that are in the test splits of both."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from senti_tasks.judging import evaluation as measures
from senti_tasks.judging import intervals
from senti_tasks.reports import evaluation, page, plots
from senti_tasks.reports.evaluation import Judged

CONFIDENCE = 0.95
"""Of each one-sided bound, as in the gate."""
LEAST_ROWS = 30
"""Rows of a slice below which a difference says nothing and is left out."""
RATES = ("accuracy", "macro_f1", "roc_auc", "log_loss", "brier", "ece")
_FIGURES = ("rows", *RATES)

Row = Mapping[str, Any]


def figures(first: Judged, second: Judged) -> dict[str, Any]:
    """rows (in both, with the same label), metrics (of each model), counts (of rows by who is right), difference (of
    the accuracy, second minus first) with low and high, slices with the same, roc and reliability of both."""
    places = {key: place for place, key in enumerate(second.review_ids)}
    pairs = [(place, places[key]) for place, key in enumerate(first.review_ids) if key in places]
    pairs = [(one, other) for one, other in pairs if first.labels[one] == second.labels[other]]
    if not pairs:
        return {"rows": 0}
    own, others = (np.array(side) for side in zip(*pairs, strict=True))
    labels = first.labels[own]
    given = (first.probabilities["candidate"][own], second.probabilities["candidate"][others])
    right = [probabilities.argmax(axis=1) == labels for probabilities in given]
    of_rows = Judged(
        [first.review_ids[row] for row in own],
        labels,
        [first.products[row] for row in own],
        first.characters[own],
        {"first": given[0], "second": given[1]},
        1.0,
    )
    two = given[0].shape[1] == 2 and len(np.unique(labels)) == 2
    return {
        "rows": len(labels),
        "metrics": [measures.measure(labels, probabilities) for probabilities in given],
        "counts": {
            "both are right": int((right[0] & right[1]).sum()),
            "only the first is": int((right[0] & ~right[1]).sum()),
            "only the second is": int((~right[0] & right[1]).sum()),
            "neither is": int((~right[0] & ~right[1]).sum()),
        },
        "slices": _slices(of_rows, right),
        "roc": [evaluation.roc(labels, probabilities[:, 1]) for probabilities in given] if two else [],
        "reliability": [evaluation.reliability(labels, probabilities) for probabilities in given],
    }


def _slices(rows: Judged, right: Sequence[npt.NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """name, rows, difference, low and high of all rows, then of each slice with ``LEAST_ROWS`` rows."""
    found = []
    for _, name, mask in evaluation.masks(rows):
        n = int(mask.sum())
        if n < LEAST_ROWS and name != evaluation.ALL_ROWS:
            continue
        second, first = int((mask & right[1] & ~right[0]).sum()), int((mask & right[0] & ~right[1]).sum())
        low = intervals.lower_bound(second, first, n, CONFIDENCE)
        high = intervals.upper_bound(second, first, n, CONFIDENCE)
        found.append({"name": name, "rows": n, "difference": (second - first) / n, "low": low, "high": high})
    return found


def html(first: Row, second: Row, compared: Row, *, label_names: Mapping[int, str], written_at: datetime) -> str:
    """The page that compares two models, which are what ``jobs.models.show`` returns; ``compared`` is that of
    ``figures``."""
    names = [first["version"], second["version"]]
    return page.render(
        "compare",
        heading=f"{names[0]} and {names[1]}",
        written_at=written_at,
        verdict=verdict(names, compared),
        names=names,
        metrics=[
            {"figure": page.title(name), names[0]: compared["metrics"][0][name], names[1]: compared["metrics"][1][name]}
            for name in _FIGURES
            if name in compared["metrics"][0]
        ],
        counts=list(compared["counts"].items()),
        slices=_forest(compared["slices"]),
        plots=_plots(names, compared),
        differences=_differences(first, second, names),
        labels=list(label_names.values()),
    )


def verdict(names: Sequence[str], compared: Row) -> dict[str, str]:
    """state (good, bad or wait) and the sentence that stands first."""
    overall = compared["slices"][0]
    points = f"{page.points(overall['difference'])} points (95 % bounds {page.points(overall['low'])} and "
    points += f"{page.points(overall['high'])}) on {overall['rows']:,} reviews that neither was trained on"
    if overall["low"] > 0:
        return {"state": "good", "sentence": f"{names[1]} is more accurate than {names[0]}: {points}."}
    if overall["high"] < 0:
        return {"state": "bad", "sentence": f"{names[1]} is less accurate than {names[0]}: {points}."}
    return {
        "state": "wait",
        "sentence": f"No difference in accuracy is shown between {names[1]} and {names[0]}: {points}.",
    }


def _forest(slices: Sequence[Row]) -> list[dict[str, Any]]:
    axis = plots.axis_over("", [0.0, *(end for one in slices for end in (one["low"], one["high"]))])
    return [
        {
            "name": one["name"],
            "strip": plots.strip(
                one["difference"], axis, interval=(one["low"], one["high"]), threshold=0.0, passed=one["high"] >= 0
            ),
            "found": f"{page.points(one['difference'])} points ({page.points(one['low'])} to "
            f"{page.points(one['high'])}) on {one['rows']:,} rows",
            "passed": None,
        }
        for one in slices
    ]


def _plots(names: Sequence[str], compared: Row) -> list[Any]:
    drawn = []
    if compared["roc"]:
        lines = dict(zip(names, compared["roc"], strict=True))
        false = plots.Axis("false positive rate")
        drawn.append(plots.curves("ROC: true positive rate", lines, false, plots.Axis(""), diagonal=True))
    lines = dict(zip(names, compared["reliability"], strict=True))
    lowest = min((point[0] for line in lines.values() for point in line), default=0.0)
    confidence = plots.Axis("confidence", 0.5 if lowest >= 0.5 else 0.0)
    title = "Reliability: accuracy by confidence; the diagonal is perfect"
    drawn.append(plots.curves(title, lines, confidence, plots.Axis("", confidence.low), diagonal=True))
    return drawn


def _differences(first: Row, second: Row, names: Sequence[str]) -> list[dict[str, Any]]:
    """What the two trainings do not have in common: name, and the value of each model."""
    described = [_described(model) for model in (first, second)]
    found = dict.fromkeys([*described[0], *described[1]])
    return [
        {"what": page.title(name), names[0]: described[0].get(name), names[1]: described[1].get(name)}
        for name in found
        if described[0].get(name) != described[1].get(name)
    ]


def _described(model: Row) -> dict[str, Any]:
    serving: Row = next((one for one in model["variants"] if one["serves"]), {})
    trained = model["training"]
    return {
        "verdict": model["verdict"],
        "trained at (UTC)": model["trained_at"],
        "base model": model["base_model"],
        "base revision": model["base_revision"],
        "corpus": model["corpus"],
        "rows of train": model["corpus_summary"]["rows"].get("train"),
        **{f"configuration: {page.title(name)}": value for name, value in model["config"].items()},
        "best epoch": trained.get("best_epoch"),
        "training took (s)": trained.get("seconds"),
        "variant that serves": serving.get("variant"),
        "reviews per second": serving.get("reviews_per_second"),
        "temperature": serving.get("temperature"),
        "version of senti": model["code_version"],
        **{f"environment: {name}": value for name, value in trained.get("environment", {}).items()},
    }
