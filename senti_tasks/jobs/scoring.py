"""Reviews in, labels out: the tasks of ``score_reviews`` and ``rescore_reviews``, in their order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.workplace import Workplace, enter, instant, now

if TYPE_CHECKING:
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection

    from senti_tasks.scoring.scorer import Scorer
    from senti_tasks.warehouse.runs import Item

log = logging.getLogger(__name__)


def has_incoming() -> bool:
    """Whether a promoted model waits for its labels before it may serve."""
    from senti_tasks.warehouse import database, promotions

    place = enter()
    with database.reading(place.engine) as connection:
        waiting = promotions.incoming(connection)
    log.info("waiting for its labels: %s", waiting["model_version"] if waiting else "no model")
    return waiting is not None


def open_run(origin: str, due: str, scope: str = "new") -> int:
    """Opens the run of ``origin``, or finds the one it opened before; returns its run_id.

    Scope ``new`` answers what the model in service has not answered, ``all`` every review again, ``rescore`` what the
    incoming model has not answered. Raises ``NoChampionError`` when there is no such model.
    """
    from senti_tasks.errors import ConfigError, NoChampionError
    from senti_tasks.warehouse import database, promotions, registry, runs

    if scope not in ("new", "all", "rescore"):
        raise ConfigError(f"scope must be new, all or rescore, found {scope!r}")
    place = enter()
    with database.writing(place.engine) as connection:
        if (opened := runs.run_of_origin(connection, origin)) is not None:
            return opened
        if scope == "rescore":
            waiting = promotions.incoming(connection)
            if waiting is None:
                raise NoChampionError("no promoted model waits for its labels: there is nothing to re-score")
            model = waiting["model_version"]
        else:
            model = promotions.in_service(connection)
        form = registry.serving_form(connection, model)["form"]
        run = runs.open_run(
            connection, origin=origin, scope=scope, model_version=model, form=form, due=instant(due), at=now()
        )
    run_id: int = run["run_id"]
    return run_id


def plan(run: int, shards: int | None = None) -> list[int]:
    """Freezes what the run answers; returns its shards, at least one. A planned run keeps its plan."""
    from senti_tasks.config import ScoreConfig
    from senti_tasks.warehouse import database, runs

    place = enter()
    with database.writing(place.engine) as connection:
        wanted = ScoreConfig().shards_for(runs.rows_to_plan(connection, run), shards)
        return runs.plan(connection, run, shards=wanted)


def planned(run: int) -> int:
    """How many reviews the run planned."""
    from senti_tasks.warehouse import database, runs

    place = enter()
    with database.reading(place.engine) as connection:
        rows: int = runs.run(connection, run)["planned"]
    return rows


def unfinished_run(scope: str, origin_prefix: str, restart: bool = False) -> int | None:
    """The oldest run that was opened under ``origin_prefix`` and not published: what a killed call left behind.

    Runs of a model that neither serves nor is about to are abandoned, and with ``restart`` every such run is.
    """
    from senti_tasks.warehouse import database, promotions, runs

    place = enter()
    with database.writing(place.engine) as connection:
        wanted = {promotions.champion(connection)}
        if None not in wanted:
            wanted.add(promotions.in_service(connection))
        while (found := runs.unfinished_run(connection, scope=scope, origin_prefix=origin_prefix)) is not None:
            if found["model_version"] in wanted and not restart:
                run_id: int = found["run_id"]
                return run_id
            log.info("run %d of %s is abandoned", found["run_id"], found["model_version"])
            runs.abandon(connection, found["run_id"])
    return None


def score_shard(run: int, shard: int, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Labels one shard page by page, from where an earlier attempt stopped; a finished shard is left as it is.

    ``progress`` is called with the number of reviews in each page, once it is staged. Returns shard and rows answered
    by this attempt. Raises ``ShardTakenError`` when a later attempt claimed the shard meanwhile.
    """
    from senti_tasks.config import ScoreConfig
    from senti_tasks.warehouse import database, runs

    place = enter()
    with database.writing(place.engine) as connection:
        model = runs.run(connection, run)["model_version"]
        claim = runs.claim(connection, run, shard)
    scorer = cache(lambda: scorer_of(place, model))  # checked and loaded once, and not for a shard without a text
    answered = 0
    if claim is not None:
        through = claim.staged_through
        rows = ScoreConfig().page_rows
        while True:
            with database.reading(place.engine) as connection:
                page = runs.read_page(connection, run, shard, after=through, limit=rows)
            if not page:
                break
            answers = _answers(scorer, page, place.settings.zone)
            through = page[-1].review_id
            with database.writing(place.engine) as connection:
                runs.stage(connection, claim, answers, through=through)
            answered += len(page)
            if progress is not None:
                progress(len(page))
        with database.writing(place.engine) as connection:
            runs.accept(connection, claim)
    return {"shard": shard, "answered": answered}


def _answers(scorer: Callable[[], Scorer], page: Sequence[Item], zone: ZoneInfo) -> list[dict[str, Any]]:
    """The rows of ``staged_labels`` for a page: a label or a reason for every review that is still what was planned."""
    from senti_tasks import text

    present = [item for item in page if not item.superseded]
    defects = [text.defect(item.text) for item in present]
    good = [item.text or "" for item, defect in zip(present, defects, strict=True) if defect is None]
    scored_at = now()
    labelled = iter(_labels(scorer(), good) if good else [])
    unanswered = {"label": None, "score": None, "confidence": None, "truncated": False}
    return [
        {
            "review_id": item.review_id,
            "text_digest": text.digest(item.text or ""),
            **(next(labelled) if defect is None else unanswered),
            "reason": defect,
            "local_day": (item.created_at or scored_at).astimezone(zone).date(),
            "scored_at": scored_at,
        }
        for item, defect in zip(present, defects, strict=True)
    ]


def _labels(scorer: Scorer, texts: Sequence[str]) -> list[dict[str, Any]]:
    found = scorer.predict(texts)
    columns = (found.labels, found.scores, found.confidences, found.truncated)
    return [
        {"label": label, "score": score, "confidence": confidence, "truncated": truncated}
        for label, score, confidence, truncated in zip(*(column.tolist() for column in columns), strict=True)
    ]


def audit(run: int) -> dict[str, Any]:
    """Runs the checks of ``sql/checks`` on what the run staged. Raises ``AuditError`` with the offenders."""
    from senti_tasks.warehouse import database, publication

    place = enter()
    with database.writing(place.engine) as connection:
        return publication.audit(connection, run)


def publish(run: int) -> dict[str, Any]:
    """Publishes an audited run in one transaction; returns its counts. Publishing twice changes nothing."""
    from senti_tasks.warehouse import database, publication

    place = enter()
    with database.writing(place.engine) as connection:
        published = publication.publish(connection, run, at=now())
    with database.writing(place.engine) as connection:
        publication.sweep(connection)
    counts = ("run_id", "model_version", "publish_seq", "planned", "labelled", "failed", "superseded", "truncated")
    return {name: published[name] for name in counts}


def is_covered(run: int) -> bool:
    """Whether the run's model waits to serve and has answered every review as it stood at the run's due time."""
    from senti_tasks.warehouse import database, runs

    place = enter()
    with database.reading(place.engine) as connection:
        if _awaited(connection, run) is None:
            return False
        found = runs.run(connection, run)
        missing = runs.count_pending(connection, found["model_version"], due=found["due"])
    log.info("%s: %d reviews missing", found["model_version"], missing)
    return missing == 0


def start_service(run: int) -> dict[str, Any]:
    """Lets the model that the run completed serve, unless it was superseded; returns the model in service."""
    from senti_tasks.warehouse import database, promotions

    place = enter()
    with database.writing(place.engine) as connection:
        if (promotion := _awaited(connection, run)) is not None:
            promotions.start_service(connection, promotion["seq"], at=now())
        return {"model": promotions.in_service(connection)}


def _awaited(connection: Connection, run: int) -> dict[str, Any] | None:
    """The promotion that waits for the labels of the run's model, if there is one."""
    from senti_tasks.warehouse import promotions, runs

    waiting = promotions.incoming(connection)
    model = runs.run(connection, run)["model_version"]
    return waiting if waiting is not None and waiting["model_version"] == model else None


def predict(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Label, its name, score, confidence and truncation of each text, from the champion, in the order given."""
    from senti_tasks.errors import ConfigError, NoChampionError
    from senti_tasks.labels import NAMES
    from senti_tasks.text import defect
    from senti_tasks.warehouse import database, promotions

    for text in texts:
        if (reason := defect(text)) is not None:
            raise ConfigError(f"cannot label {text[:20]!r}: {reason}")
    place = enter()
    with database.reading(place.engine) as connection:
        model = promotions.champion(connection)
    if model is None:
        raise NoChampionError(promotions.NO_CHAMPION)
    labels = _labels(scorer_of(place, model), texts)
    return [
        {"text": text, "label_name": NAMES[label["label"]], **label, "model": model}
        for text, label in zip(texts, labels, strict=True)
    ]


def scorer_of(place: Workplace, version: str) -> Scorer:
    """The scorer of the form of ``version`` that serves, after checking every byte of it; kept for the next call."""
    from senti_tasks.errors import RegistryError
    from senti_tasks.text import NORMALISER_VERSION
    from senti_tasks.warehouse import database, registry

    with database.reading(place.engine) as connection:
        form, trained = registry.serving_form(connection, version), registry.model(connection, version)
    if trained["normaliser_version"] != NORMALISER_VERSION:
        raise RegistryError(
            f"{version} was trained on texts cleaned by rule {trained['normaliser_version']}, and this code has rule "
            f"{NORMALISER_VERSION}: retrain, or run the code of {trained['code_version']}"
        )
    return _load(place.store.fetch(form["artifact"], form["digest"]), place.settings.device)


@lru_cache(maxsize=2)
def _load(folder: Path, device: str) -> Scorer:
    from senti_tasks.scoring import scorer

    return scorer.load(folder, device)
