"""What the page in Airflow's UI shows and does. The plugin (``plugins/``) checks the user's permissions before.

Somebody waits for each answer, so the warehouse gets seconds to answer, not minutes.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from senti_tasks.errors import ConfigError, RegistryError, RunStateError
from senti_tasks.jobs import models, reports
from senti_tasks.jobs.context import JobContext, load_context, now, patience
from senti_tasks.jobs.operations import upkeep
from senti_tasks.jobs.scoring import runs
from senti_tasks.reports import decisions as questions
from senti_tasks.reports import sentiment
from senti_tasks.reports.place import Place
from senti_tasks.warehouse import health, overview
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.scoring import decisions, drift, held_runs, publication_lock, run_figures
from senti_tasks.warehouse.scoring import runs as scoring_runs

READING_S = 3
"""Seconds that a reader of the page waits for the warehouse to be reached; a statement may take longer
(``health.PATIENCE_S``)."""
DECIDING_S = 5
"""Seconds that a decision waits for the warehouse, or for a lock: a run may be publishing."""
SERIES_SHOWN, MODELS_SHOWN, DECISIONS_SHOWN, PARTS_SHOWN = 25, 12, 12, 5
APPROVAL_DAYS = 5
"""How long Airflow waits for an approval (``ask`` in dags/conventions.py)."""


def show(may: Collection[str], airflow: str, page: str, done: tuple[str, str | None] | None = None) -> str:
    """The page as HTML. ``may`` has the names of the decisions that the user may make; ``airflow`` and ``page`` are
    those of ``Place``. ``done``: the decision that was made a moment ago, and its subject."""
    with patience(READING_S):
        found = figures(load_context())
    said = None
    if done is not None and done[0] in questions.DECISIONS:
        said = questions.DECISIONS[done[0]].done.format(subject=done[1])
    return sentiment.html(found, place=Place(airflow, page), may=may, written_at=now(), done=said)


def model_report(version: str, home: str) -> str:
    """The report on a model as HTML, with a link to ``home``."""
    with patience(READING_S):
        return reports.model_html(version, home)


def run_report(run_id: int, home: str) -> str:
    """The report on a run as HTML, with a link to ``home``."""
    with patience(READING_S):
        return reports.run_html(run_id, home)


def figures(context: JobContext) -> dict[str, Any]:
    """What ``reports.sentiment`` shows, read in two transactions."""
    with context.reading() as connection:
        health.limit_statements(connection)
        champion, incoming = promotions.champion(connection), promotions.awaiting_service(connection)
        cards = overview.read_view(connection, "model_scorecard", order_by="trained_at", limit=MODELS_SHOWN)
        refused = [card["model_version"] for card in cards if card["verdict"] == "refuse"]
        total, is_exact = health.count_reviews(connection)
        found: dict[str, Any] = {
            "reviews": total,
            "reviews_are_exact": is_exact,
            "champion": champion,
            "serving": None if champion is None else promotions.in_service(connection),
            "incoming": None if incoming is None else incoming["model_version"],
            "previous": _previous(connection, champion),
            "held": held_runs.waiting(connection),
            "frozen": publication_lock.current_freeze(connection),
            "audited": len(scoring_runs.audited_runs(connection)),
            "series": run_figures.newest_series(connection, SERIES_SHOWN),
            "cards": cards,
            "failed_rules": registry.failed_rules(connection, refused),
            "decisions": decisions.newest(connection, DECISIONS_SHOWN),
            "alarm": _alarm(registry.champion_checks_of(connection, champion)) if champion else None,
            "wants_approval": None,
            "drift": drift.newest(connection, limit=PARTS_SHOWN),
        }
        if context.settings.promotion == "approval" and cards:
            ever_promoted = {row["model_version"] for row in promotions.history(connection)}
            found["wants_approval"] = _waits_for_approval(cards[0], ever_promoted)
    with context.reading() as connection:
        gauges = health.read(connection, overlap=timedelta(hours=context.settings.overlap_hours))
    pending = gauges.get("pending_reviews", total)  # before the first publication, no review has a label
    return {
        **found,
        "labelled": gauges.get("labelled_reviews", 0),
        "pending": pending,
        "pending_is_cut": pending == health.MOST_PENDING,
        "failed": gauges.get("failed_reviews", 0),
        "carried_over": gauges.get("carried_over_reviews", 0),
        "incoming_labelled": gauges.get("incoming_labelled_reviews", 0),
        "serving_since": gauges.get("model_in_service_timestamp_seconds"),
    }


def _previous(connection: Connection, champion: str | None) -> str | None:
    """The model to which a rollback returns; ``None`` if there is none."""
    try:
        return None if champion is None else promotions.previous_champion(connection)
    except RegistryError:
        return None


def _alarm(checks: list[dict[str, Any]]) -> str | None:
    last = max(checks, key=lambda check: check["checked_at"], default=None)
    return str(last["reason"]) if last is not None and last["alarm"] else None


def _waits_for_approval(card: dict[str, Any], promoted: Collection[str]) -> str | None:
    """The newest model, if it passed the gate, was never promoted, and the question about it can still be answered."""
    is_recent = card["trained_at"] >= now() - timedelta(days=APPROVAL_DAYS)
    is_open = card["verdict"] == "promote" and card["model_version"] not in promoted and is_recent
    return str(card["model_version"]) if is_open else None


def ask(name: str, subject: str | None, *, airflow: str, page: str, by: str) -> str:
    """The page that asks for confirmation of a decision. ``by``: the user's name. Raises as ``decide`` does if the
    decision is not possible now."""
    place = Place(airflow, page)
    with patience(READING_S):
        champion = _check(name, subject)
    return questions.question(
        name,
        subject,
        seen=champion or "",
        address=place.decision(name, subject),
        home=place.home,
        written_at=now(),
        by=by,
    )


def decide(name: str, subject: str | None, reason: str, actor: str, seen: str = "") -> None:
    """Makes a decision in the name of ``actor``, on record. ``seen``: the champion when the user was asked.

    Raises ``ConfigError`` if the reason is missing or too long, ``RunStateError`` or ``RegistryError`` if the decision
    is not possible (any more), and what publishing raises.
    """
    reason = " ".join(reason.split())
    if questions.DECISIONS[name].needs_reason and not reason:
        raise ConfigError("the reason is missing: go back, and say why, for the record")
    if len(reason) > questions.LONGEST_REASON or "\0" in reason:
        raise ConfigError(
            f"the reason has {len(reason):,} characters: at most {questions.LONGEST_REASON} are recorded, without NUL"
        )
    with patience(DECIDING_S):
        _check(name, subject)
        if name == "publish":
            runs.publish_series([_run_id(subject)], reason, actor)
        elif name == "give-up":
            runs.abandon(_run_id(subject), actor, reason)
        elif name == "promote":
            models.promote(subject or "", reason, actor, instead_of=seen or None)
        elif name == "roll-back":
            models.rollback(reason, actor, instead_of=subject)
        elif name == "freeze":
            upkeep.freeze(reason, actor)
        else:
            upkeep.unfreeze(actor, reason or None)


def _check(name: str, subject: str | None) -> str | None:
    """Raises unless the decision is possible now: the page may be old, or somebody else was faster. Returns the
    champion."""
    with load_context().reading() as connection:
        champion = promotions.champion(connection)
        if name in ("publish", "give-up"):
            state = scoring_runs.run(connection, _run_id(subject))["state"]
            if state != "held":
                raise RunStateError(f"run {subject} is not held (any more), it is {state}: nothing is to be decided")
        elif name in ("promote", "roll-back"):
            registry.model(connection, subject or "")
            if (champion == subject) is (name == "promote"):
                is_it = "is the champion already" if name == "promote" else "is not the champion (any more)"
                raise RegistryError(f"{subject} {is_it}: look at the page again, then decide anew")
        return champion


def _run_id(subject: str | None) -> int:
    if subject is None or not (subject.isascii() and subject.isdecimal()):
        raise RunStateError(f"there is no scoring run {subject}: expected a number")
    return int(subject)
