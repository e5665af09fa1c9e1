"""Checks of a cascade in service: to how many of its answers the last stage gives another label, run by run.

The rows of ``run_checks`` are written when a run is audited, from its staged rows. The sample of one run is small, so
its upper bound is above any useful limit. It is the lower bound that raises the alarm: then chance does not explain
what was found. The recent runs together show less than that, and sooner show little.
"""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import fetch_all
from senti_tasks.warehouse.models import registry
from senti_tasks.warehouse.schema import run_checks, run_shards, scoring_runs, staged_labels
from senti_tasks.warehouse.scoring.run_figures import RUNS_COMPARED
from senti_tasks.warehouse.scoring.runs import run

CONFIDENCE = 0.99
"""One-sided confidence of each bound. At 0.95, a cascade at its limit would raise an alarm in every twentieth run."""
VARIANT = "cascade"

_COUNTS = ("answered", "escalated", "checked", "differing")

Bounds = Callable[[int, int], tuple[float, float]]
"""The lower and the upper confidence bound of a share, from the number found among a number of rows."""


def record(connection: Connection, run_id: int, bounds: Bounds) -> str | None:
    """Writes the row of ``run_checks`` of a run of a cascade whose staged rows have passed the audit; it replaces an
    earlier one. Nothing is written for other variants, and for a published run, whose staged rows may be gone.

    Only rows of accepted shards count. The caller holds the publication lock. Returns the alarm, or ``None``.
    """
    found = run(connection, run_id)
    if found["variant"] != VARIANT or found["state"] in ("published", "abandoned"):
        return None
    variant = registry.variant_of(connection, found["model_version"], VARIANT)
    if variant is None or variant["disagreement_limit"] is None:
        return None
    limit = variant["disagreement_limit"]
    counts = _counts(connection, run_id)
    before = _earlier(connection, found)
    recent = {name: counts[name] + (before[name] or 0) for name in _COUNTS}
    row: dict[str, Any] = {"run_id": run_id, **counts, "recent_runs": 1 + before["runs"], "disagreement_limit": limit}
    row |= _figures("disagreement", counts, bounds) | _figures("recent_disagreement", recent, bounds)
    found_alarms = [_alarm(f"in {count}", counted, row[f"{name}_least"], limit) for count, counted, name in (
        ("the run", counts, "disagreement"),
        (f"the last {row['recent_runs']} runs", recent, "recent_disagreement"),
    )]  # fmt: skip
    row["alarm"] = next((alarm for alarm in found_alarms if alarm is not None), None)
    connection.execute(sa.delete(run_checks).where(run_checks.c.run_id == run_id))
    connection.execute(sa.insert(run_checks), row)
    alarm: str | None = row["alarm"]
    return alarm


def _alarm(where: str, counts: Mapping[str, int], least: float | None, limit: float) -> str | None:
    if least is None or least <= limit:
        return None
    return (
        f"{where}, {counts['differing']} of {counts['checked']} answers that were checked at random are not those of "
        f"the last stage of the cascade, so at least {least:.2%} of all labels differ ({CONFIDENCE:.0%} confidence); "
        f"the limit is {limit:.2%}"
    )


def _counts(connection: Connection, run_id: int) -> dict[str, int]:
    staged, shard = staged_labels.c, run_shards.c
    accepted = sa.and_(shard.run_id == staged.run_id, shard.shard == staged.shard, shard.accepted_attempt.is_not(None))
    differs = sa.and_(staged.checked_label.is_not(None), staged.checked_label != staged.label)
    counted = sa.select(
        sa.func.count(staged.escalated).label("answered"),
        sa.func.count(sa.case((staged.escalated, 1))).label("escalated"),
        sa.func.count(staged.checked_label).label("checked"),
        sa.func.count(sa.case((differs, 1))).label("differing"),
    ).select_from(staged_labels.join(run_shards, accepted))
    (found,) = fetch_all(connection, counted.where(staged.run_id == run_id))
    return found


def _earlier(connection: Connection, found: Mapping[str, Any]) -> dict[str, Any]:
    """The sums of the runs of this cascade before the run ``found``, as many as count as recent, and their number."""
    of, check = scoring_runs.c, run_checks.c
    newest = (
        sa.select(*(check[name] for name in _COUNTS))
        .join_from(run_checks, scoring_runs, of.run_id == check.run_id)
        .where(of.model_version == found["model_version"], of.state != "abandoned", check.run_id < found["run_id"])
        .order_by(check.run_id.desc())
        .limit(RUNS_COMPARED - 1)
        .subquery("newest")
    )
    sums = (sa.cast(sa.func.sum(newest.c[name]), sa.BigInteger).label(name) for name in _COUNTS)
    (summed,) = fetch_all(connection, sa.select(sa.func.count().label("runs"), *sums).select_from(newest))
    return summed


def _figures(name: str, counts: Mapping[str, int], bounds: Bounds) -> dict[str, float | None]:
    """The share of all labels that differ from those of the last stage, and its bounds; ``None`` without a check."""
    if counts["checked"] == 0:
        return dict.fromkeys((name, f"{name}_least", f"{name}_most"))
    others = 1 - counts["escalated"] / counts["answered"]  # what the last stage answers does not differ
    least, most = bounds(counts["differing"], counts["checked"])
    share = counts["differing"] / counts["checked"]
    return {name: others * share, f"{name}_least": others * least, f"{name}_most": others * most}
