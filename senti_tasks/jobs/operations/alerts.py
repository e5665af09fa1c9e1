"""Tells people about events of the pipeline. Nothing here raises: an alert must not fail what it tells about."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from senti_tasks import settings
from senti_tasks.alerts import Alert, Kind, addresses, deliver
from senti_tasks.errors import ChampionAlarmError, HeldRunError, SentiError
from senti_tasks.jobs.context import load_context, now
from senti_tasks.settings import Settings
from senti_tasks.warehouse import told

log = logging.getLogger(__name__)

MEANS = {
    "score_reviews": "reviews of this night have no label yet. What was published before stays as it is.",
    "rescore_reviews": "the new model is not in service yet, or labels of an earlier one are still shown.",
    "maintain_warehouse": "late reviews wait for a label, or old data stays longer than it should.",
    "retrain_sentiment": "there is no new model this week. The model in service stays.",
    "pretrain_encoder": "there is no new encoder this month. Nothing in service changes.",
}
CLEAR = "correct the cause named in the task's log, then clear the task in Airflow. Nothing is lost or labelled twice."


def tell(alert: Alert) -> bool:
    """Sends ``alert`` unless SENTI_ALERT_URL is not set, or somebody was told of the event before; whether it was
    sent."""
    try:
        urls = addresses(settings.load().alert_url)
        if not urls:
            return False
        try:
            with load_context().writing() as connection:
                if not told.claim(connection, alert.event, alert.kind.value, now=now()):
                    return False
        except SentiError as error:  # people have to know of the event all the same
            log.warning("the alert is not recorded: %s", error)
            return deliver(alert, urls)
        if deliver(alert, urls):
            return True
        with load_context().writing() as connection:
            told.withdraw(connection, alert.event)
    except Exception:
        log.warning("nobody could be told: %s", alert.title, exc_info=True)
    return False


def tell_failure(dag: str, task: str, run: str, error: BaseException | str | None) -> bool:
    """Tells of a task that failed for good. Of the mapped tasks of a run that fail alike, it tells once."""
    kind, todo = Kind.TASK_FAILED, CLEAR
    if isinstance(error, HeldRunError):
        kind, todo = Kind.HELD_RUN, "look at the labels, then type one of the two commands above."
    elif isinstance(error, ChampionAlarmError):
        kind, todo = Kind.CHAMPION, "look at the newest labels: `senti models show` and the query model_against_people."
    means = MEANS.get(dag, "the run of this DAG did not end.")
    if kind is Kind.CHAMPION:
        means = "the model in service is less accurate than it was. It stays until a better one is promoted."
    name = type(error).__name__ if isinstance(error, BaseException) else "no error of its own"
    # only our own messages: those of other libraries may quote a review
    cause = f"{name}: {error}" if isinstance(error, SentiError) else name
    return tell(
        Alert(
            kind,
            f"task/{dag}/{run}/{task}/{name}",
            f"{task} of {dag} failed for good ({run}). {cause}",
            means,
            todo,
            _link(dag, run, task),
        )
    )


def tell_judgement(judgement: dict[str, Any], *, wants_approval: bool = False) -> bool:
    """Tells of a model that the gate refused, or that waits for a person's approval."""
    model, reasons = judgement["model"], "; ".join(judgement["reasons"])
    if wants_approval:
        kind, means = Kind.APPROVAL, "the model in service stays until somebody approves the new one, for five days."
        todo = "answer in Airflow, under Required Actions."
    else:
        kind, means = Kind.REFUSED, "the model in service stays."
        todo = f"look at the figures: `senti models show {model}`. Nothing has to be done."
    happened = f"{model} {'passed' if wants_approval else 'did not pass'} the gate: {reasons}"
    return tell(Alert(kind, f"{kind.value}/{model}", happened, means, todo))


def tell_promotion(version: str, actor: str, reason: str, *, serves: bool, seq: int, is_rollback: bool = False) -> bool:
    """Tells of a promotion or a rollback."""
    kind = Kind.ROLLED_BACK if is_rollback else Kind.PROMOTED
    means = (
        "analysts see its labels now."
        if serves
        else "analysts see its labels when it has labelled what the present model has; rescore_reviews does that."
    )
    todo = "nothing. To undo it: `senti models rollback --reason TEXT`."
    return tell(
        Alert(kind, f"promotion/{seq}", f"{version}, by {actor}: {reason}", means, todo, is_good=not is_rollback)
    )


def tell_drift(run: int, parts: int, first: Mapping[str, Any]) -> bool:
    """Tells of a run in which ``parts`` parts (the run in all, or products) have drifted; ``first`` is the row of
    ``label_drift`` that stands first."""
    where = "the run in all" if first["part"] == "run" else "a product"
    most = f", and {parts - 1} more" if parts > 1 else ""
    return tell(
        Alert(
            Kind.DRIFT,
            f"drift/{run}",
            f"run {run}: in {where}{most}: {first['drift']}.",
            "the reviews are not as they were, so the labels may be less accurate. They are published all the same.",
            f"look at `senti report run {run}` and the view label_drift; label some of these reviews, and retrain.",
        )
    )


def tell_cascade(run: int, happened: str, instead: str) -> bool:
    """Tells that a cascade was withdrawn because of what the checks in a run found; ``instead`` serves now."""
    return tell(
        Alert(
            Kind.CASCADE,
            f"cascade/{run}",
            f"run {run}: {happened}.",
            f"its labels are published. The next run scores with {instead}, which takes longer.",
            "look at the view cascade_checks: did other reviews come in? `senti retrain` builds a new cascade.",
        )
    )


def late(found: Settings, moment: datetime) -> Alert:
    """Of the night's labels, which are not published at ``moment``. There is one a day, whoever notices."""
    day = moment.astimezone(found.zone).date()
    return Alert(
        Kind.LATE,
        f"late/{day}",
        f"no labels of {day} were published by {found.labels_by} ({found.timezone}).",
        "analysts see the labels of the day before.",
        "look at score_reviews in Airflow: did a run begin, and where does it stand? By hand: `senti score`.",
        f"{found.airflow_url.rstrip('/')}/dags/score_reviews",
    )


async def tell_late(**context: Any) -> None:
    """For the deadline of a DAG run, whose callback Airflow's triggerer awaits."""
    await asyncio.to_thread(lambda: tell(late(settings.load(), now())))


def _link(dag: str, run: str, task: str) -> str:
    return f"{settings.load().airflow_url.rstrip('/')}/dags/{dag}/runs/{quote(run, safe='')}/tasks/{task}"
