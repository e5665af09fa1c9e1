"""The report on a scoring run: what it did, and how it compares with the runs before it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from senti_tasks.config import DriftConfig
from senti_tasks.judging.drift import LEAST_RUNS
from senti_tasks.reports import drift, page, plots

_DEVIATIONS, _SHARE, _CONFIDENCE = 4, 0.05, 0.02  # what is usual, as in sql/checks/usual

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Band:
    """A figure of this run, the same figure of earlier runs, and the range of what is usual."""

    name: str
    before: tuple[float, ...]
    now: float
    low: float
    high: float

    @property
    def is_usual(self) -> bool:
        return self.low <= self.now <= self.high


def html(
    run: Row,
    *,
    written_at: datetime,
    label_names: Mapping[int, str],
    labels: Sequence[Row],
    earlier: Sequence[Row],
    progress: Row,
    failures: Sequence[Row],
    distinct_texts: int,
    products: Sequence[Row],
    held: Sequence[Row],
    checks: Sequence[str],
    drift_parts: Sequence[Row],
    drift_before: Sequence[Row],
    drift_config: DriftConfig,
    price_per_hour: float | None = None,
    home: str | None = None,
) -> str:
    """The page on ``run``, a row of ``scoring_runs``. The other rows are those of ``warehouse.scoring.run_figures``;
    ``held`` is that of ``held_runs.waiting``, ``checks`` has the names of the checks of an audit. ``drift_parts`` are
    rows of ``label_drift``, and ``drift_before`` those of the runs before it. ``home`` is where the page links back
    to."""
    total = sum(row["labels"] for row in labels)
    compared = bands(labels, earlier, label_names)
    runs = len({row["run_id"] for row in earlier})
    return page.render(
        "run",
        heading=f"Run {run['run_id']} ({run['scope']}) of model {run['model_version']}",
        written_at=written_at,
        home=home,
        verdict=verdict(run, total),
        facts=_facts(run, total, distinct_texts),
        stages=_stages(run, progress),
        cost=_cost(run, total, price_per_hour),
        progress=progress,
        labels=[
            {
                "label": label_names.get(row["label"], str(row["label"])),
                "labels": row["labels"],
                "share": page.percent(row["labels"] / total),
                "mean confidence": f"{row['confidence_sum'] / row['labels']:.3f}",
            }
            for row in labels
        ],
        bands=[_row(band) for band in compared],
        plots=[_plot(band) for band in compared],
        runs=runs,
        least_runs=LEAST_RUNS,
        products=[
            {
                **row,
                "product": row["product"] or "(no product)",
                "negative_share": page.percent(row["negative_share"]),
                "negative_share_before": page.percent(row["negative_share_before"]),
                "z": f"{row['z']:+.1f}",
            }
            for row in products
        ],
        drift=drift.table(drift_parts),
        drift_summary=drift.summary(drift_parts),
        drift_plots=drift.drawn(drift_parts, drift_before, drift_config),
        failures=failures,
        held=held,
        audit=audit(run),
        checks=[page.title(name) for name in checks],
    )


def verdict(run: Row, total: int) -> dict[str, str]:
    """state (good, bad or wait) and the sentence about the run that stands first."""
    state, planned = run["state"], run["planned"] or 0
    if state == "published":
        since = _at(run, "published_at")
        sentence = f"{total:,} of {planned:,} reviews have their label, and analysts see them since {since}."
        if run["failed"]:
            sentence += f" {run['failed']:,} could not be labelled."
        if run["overruled"]:
            sentence += f" {run['overruled_by']} published it although it was unusual."
            return {"state": "wait", "sentence": sentence}
        return {"state": "good" if not run["failed"] else "wait", "sentence": sentence}
    if state == "held":
        sentence = (
            f"A person must decide: {total:,} labels wait since {_at(run, 'held_at')}, because the run is unusual."
        )
        return {"state": "bad", "sentence": sentence}
    if state == "abandoned":
        return {"state": "wait", "sentence": "This run was given up; another run labels its reviews."}
    return {
        "state": "wait",
        "sentence": f"This run is not finished: it is {state}, with {total:,} of {planned:,} labels.",
    }


def audit(run: Row) -> dict[str, str]:
    """What the audit of the run found, as one sentence, and the state of it."""
    if run["overruled"]:
        found = f"{run['overruled_by']} overruled it ({run['overruled_reason']}): {run['overruled']}"
        return {"state": "bad", "found": found}
    if run["state"] == "held":
        return {"state": "bad", "found": run["held_because"]}
    if run["state"] in ("audited", "published"):
        return {"state": "good", "found": "Every check passed."}
    return {"state": "wait", "found": "It has not been audited, or did not pass: `senti status` has the state."}


def bands(labels: Sequence[Row], earlier: Sequence[Row], label_names: Mapping[int, str]) -> list[Band]:
    """The share of each label and the mean confidence, each with what is usual by the rule of ``sql/checks/usual``:
    within 0.05 (a share) or 0.02 (the confidence) of the mean of the earlier runs, or within 4 standard deviations. The
    variance is that between the runs plus that of a sample as large as this run. Empty with fewer than ``LEAST_RUNS``
    runs."""
    by_run: dict[int, list[Row]] = {}
    for row in earlier:
        by_run.setdefault(row["run_id"], []).append(row)
    sizes = [sum(row["labels"] for row in rows) for rows in by_run.values()]
    total, all_labels = sum(row["labels"] for row in labels), sum(sizes)
    if len(sizes) < LEAST_RUNS or not total:
        return []
    found = []
    given = {row["label"]: row["labels"] for row in labels}
    for label, name in label_names.items():
        counts = [sum(row["labels"] for row in rows if row["label"] == label) for rows in by_run.values()]
        share, mean = (sum(counts) + 1.0) / (all_labels + 2.0), sum(counts) / all_labels
        square = sum(count * count / size for count, size in zip(counts, sizes, strict=True)) / all_labels
        variance = square - mean * mean + share * (1 - share) / total
        shares = tuple(count / size for count, size in zip(counts, sizes, strict=True))
        now = given.get(label, 0) / total
        found.append(_band(f"share of {name}", shares, now, share, variance, _SHARE))
    sums = [sum(row["confidence_sum"] for row in rows) for rows in by_run.values()]
    mean = sum(sums) / all_labels
    mean_square = sum(one * one / size for one, size in zip(sums, sizes, strict=True)) / all_labels
    square = sum(row["confidence_squares"] for row in earlier) / all_labels
    variance = mean_square - mean * mean + (square - mean * mean) / total
    means = tuple(one / size for one, size in zip(sums, sizes, strict=True))
    now = sum(row["confidence_sum"] for row in labels) / total
    found.append(_band("mean confidence", means, now, mean, variance, _CONFIDENCE))
    return found


def _band(name: str, before: tuple[float, ...], now: float, usual: float, variance: float, least: float) -> Band:
    half = max(least, _DEVIATIONS * math.sqrt(max(variance, 0.0)))
    return Band(name, before, now, usual - half, usual + half)


def _plot(band: Band) -> Any:
    axis = plots.axis_over("", [*band.before, band.now, band.low, band.high])
    title = f"{band.name}: this run, and the band of what is usual"
    return plots.bands(title, band.before, band.now, band.low, band.high, axis)


def _row(band: Band) -> dict[str, Any]:
    allowed = f"{max(band.low, 0):.3f} to {min(band.high, 1):.3f}"
    return {"figure": band.name, "this run": f"{band.now:.3f}", "usual": allowed, "is usual": band.is_usual}


def _facts(run: Row, total: int, distinct_texts: int) -> list[tuple[str, Any]]:
    facts = [
        ("reviews planned", run["planned"]),
        ("labelled", total),
        ("could not be labelled", run["failed"]),
        ("edited, deleted or held meanwhile", run["superseded"]),
        ("truncated", run["truncated"]),
        ("labels of a text seen before in this run", max(total - distinct_texts, 0)),
        ("found late", run["late"]),
        ("variant", run["variant"]),
        ("due (UTC)", run["due"]),
    ]
    return [(name, value) for name, value in facts if value is not None]


def _stages(run: Row, progress: Row) -> list[dict[str, Any]]:
    """Seconds of each stage whose begin and end are recorded; pauses after a failure count."""
    ends = [
        ("planning and waiting for a worker", run["opened_at"], progress["claimed_at"], None),
        ("scoring", progress["claimed_at"], progress["accepted_at"], run["planned"]),
        ("audit and publication", progress["accepted_at"], run["published_at"], None),
        ("all", run["opened_at"], run["published_at"], run["planned"]),
    ]
    rows = []
    for name, begin, end, reviews in ends:
        if begin is None or end is None:
            continue
        seconds = max((end - begin).total_seconds(), 0.0)  # the clocks of two machines may differ
        speed = None if reviews is None or seconds <= 0 else round(reviews / seconds, 1)
        rows.append({"stage": name, "seconds": round(seconds, 1), "reviews a second": speed})
    return rows


def _cost(run: Row, total: int, price_per_hour: float | None) -> float | None:
    """The price of a million labels at the speed of this run, from opening to publication; ``None`` if unknown."""
    if price_per_hour is None or not total or not run["seconds"]:
        return None
    return float(price_per_hour * run["seconds"] / 3600 / total * 1_000_000)


def _at(run: Row, column: str) -> str:
    return f"{run[column]:%Y-%m-%d %H:%M} UTC"
