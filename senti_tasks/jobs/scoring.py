"""Reviews in, labels out: the tasks of ``score_reviews`` and ``rescore_reviews``, in their order."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.workplace import Workplace, enter, instant, now

if TYPE_CHECKING:
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection, Engine

    from senti_tasks.scoring.predictions import Predictions
    from senti_tasks.scoring.scorer import Scorer
    from senti_tasks.warehouse.shards import Claim, Item
    from senti_tasks.warehouse.staging import Answers

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

    Scope ``new`` answers what the model in service has not answered of what changed since its watermark, ``reconcile``
    the same of all reviews, whenever they changed, ``all`` every review again. Raises ``NoChampionError`` when no model
    is in service.
    """
    from senti_tasks.errors import ConfigError
    from senti_tasks.warehouse import database, promotions, registry, runs

    if scope not in ("new", "all", "reconcile"):
        raise ConfigError(f"scope must be new, all or reconcile (or rescore, for the incoming model), found {scope!r}")
    place = enter()
    with database.writing(place.engine) as connection:
        if (opened := runs.run_of_origin(connection, origin)) is not None:
            return opened
        model = promotions.in_service(connection)
        form = registry.serving_form(connection, model)["form"]
        run = runs.open_run(
            connection, origin=origin, scope=scope, model_version=model, form=form, due=instant(due), at=now()
        )
    run_id: int = run["run_id"]
    return run_id


def open_ranges(origin: str, due: str) -> list[int]:
    """Opens runs of scope ``rescore``, each of a range of keys that the incoming model has not answered, or finds those
    that ``origin`` opened before; at least one. Raises ``NoChampionError`` when no promoted model waits."""
    from senti_tasks.config import ScoreConfig
    from senti_tasks.errors import NoChampionError
    from senti_tasks.warehouse import database, promotions, registry, runs

    place, config = enter(), ScoreConfig()
    with database.writing(place.engine) as connection:
        if opened := runs.ranges_of_origin(connection, origin):
            return opened
        waiting = promotions.incoming(connection)
        if waiting is None:
            raise NoChampionError("no promoted model waits for its labels: there is nothing to re-score")
        model = waiting["model_version"]
        return runs.open_ranges(
            connection,
            origin=origin,
            model_version=model,
            form=registry.serving_form(connection, model)["form"],
            due=instant(due),
            at=now(),
            rows=config.range_rows,
            most=config.max_shards,
        )


def score_range(run: int) -> dict[str, Any]:
    """A run from its plan to its publication: what is done of a re-scoring stays done, range by range."""
    for shard in plan(run, 1):
        score_shard(run, shard)
    audit(run)
    return publish(run)


def plan(run: int, shards: int | None = None) -> list[int]:
    """Freezes what the run answers; returns its shards, at least one. A planned run keeps its plan."""
    from datetime import timedelta

    from senti_tasks.config import ScoreConfig
    from senti_tasks.warehouse import database, runs

    place, config = enter(), ScoreConfig()
    config.check_shards(shards)
    with database.writing(place.engine) as connection:
        return runs.plan(
            connection,
            run,
            shards=shards,
            shard_rows=config.shard_rows,
            max_shards=config.max_shards,
            overlap=timedelta(hours=place.settings.overlap_hours),
        )


def planned(run: int) -> int:
    """How many reviews the run planned."""
    from senti_tasks.warehouse import database, runs

    place = enter()
    with database.reading(place.engine) as connection:
        rows: int = runs.run(connection, run)["planned"]
    return rows


def answered(run: int) -> int:
    """How many reviews of the run's plan earlier attempts have answered or passed."""
    from senti_tasks.warehouse import database, runs

    place = enter()
    with database.reading(place.engine) as connection:
        return runs.answered(connection, run)


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


def abandon(run: int) -> None:
    """Gives up a run, whoever opened it, unless it is published. Raises ``RunStateError`` when there is no such run."""
    from senti_tasks.warehouse import database, runs

    place = enter()
    with database.writing(place.engine) as connection:
        runs.run(connection, run)
        runs.abandon(connection, run)


def score_shard(run: int, shard: int, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Labels one shard window by window, from where an earlier attempt stopped; a finished shard is left as it is.

    While a window is scored, the next one is read and the one before is staged. ``progress`` is called with the number
    of reviews in each, once it is staged. Returns shard and rows answered by this attempt. Raises ``ShardTakenError``
    when a later attempt claimed the shard meanwhile.
    """
    from senti_tasks.scoring.pipeline import ahead, behind
    from senti_tasks.warehouse import database, runs, shards

    place = enter()
    with database.writing(place.engine) as connection:
        night = runs.run(connection, run)
        claim = shards.claim(connection, run, shard)
    if claim is None:
        return {"shard": shard, "answered": 0}
    answered, held = 0, claim

    def stage(scored: tuple[_Window, Predictions]) -> None:
        nonlocal answered, held
        window, predictions = scored
        answers = _answers(window, predictions, place.settings.zone)
        with database.writing(place.engine) as connection:
            held = shards.stage(connection, held, answers, through=window.through)
        answered += window.reviews
        if progress is not None:
            progress(window.reviews)

    if claim.planned:
        scorer = scorer_of(place, night["model_version"])
        # Closed by this thread: what an error leaves behind may be closed by the very thread that it would wait for.
        with closing(ahead(_windows(place.engine, night, claim, scorer.window_rows))) as windows:
            texts = ((window, window.unknown) for window in windows)
            with closing(scorer.stream(texts, claim.planned)) as answers, behind(stage) as put:
                for scored in answers:
                    put(scored)
    with database.writing(place.engine) as connection:
        shards.accept(connection, held)
    return {"shard": shard, "answered": answered}


@dataclass(frozen=True, slots=True)
class _Window:
    """Reviews that are scored and staged together."""

    reviews: int
    through: Any
    """The last review_id."""
    present: list[Item]
    """The reviews that are still what was planned."""
    digests: list[str]
    """Those of their texts."""
    known: dict[str, dict[str, Any]]
    """Answers that the model gave before, by digest."""

    @property
    def unknown(self) -> list[str | None]:
        """The texts to score."""
        pairs = zip(self.present, self.digests, strict=True)
        return [item.text for item, digest in pairs if digest not in self.known]


def _windows(engine: Engine, night: dict[str, Any], claim: Claim, rows: int) -> Iterator[_Window]:
    """What is left of a shard. The scope ``all`` asks for every review again, whatever is known."""
    from senti_tasks import text
    from senti_tasks.warehouse import database, shards

    through = claim.staged_through
    while True:
        with database.reading(engine) as connection:
            page = shards.read_page(connection, claim.run_id, claim.shard, after=through, limit=rows)
            present = [item for item in page if not item.superseded]
            digests = [text.digest(item.text or "") for item in present]
            asked = [] if night["scope"] == "all" else digests
            known = shards.answers_before(connection, night["model_version"], night["form"], asked)
        if not page:
            return
        through = page[-1].review_id
        yield _Window(len(page), through, present, digests, known)


def _answers(window: _Window, predictions: Predictions, zone: ZoneInfo) -> Answers:
    """A label or a reason for each review of a window: what the model said before, or what it says now."""
    import numpy as np

    from senti_tasks.warehouse.staging import Answers

    scored_at, n = now(), len(window.present)
    before = [window.known.get(digest) for digest in window.digests]
    new = np.array([answer is None for answer in before], dtype=bool)
    columns: dict[str, Any] = {}
    for name, said in (
        ("label", predictions.labels),
        ("score", predictions.scores.astype(np.float64)),  # as the database has what was said before
        ("confidence", predictions.confidences.astype(np.float64)),
        ("truncated", predictions.truncated),
    ):
        columns[name] = np.empty(n, said.dtype)
        columns[name][new] = said
        columns[name][~new] = [answer[name] for answer in before if answer is not None]
    places = np.flatnonzero(new)
    return Answers(
        [item.review_id for item in window.present],
        window.digests,
        columns["label"],
        columns["score"],
        columns["confidence"],
        columns["truncated"],
        [(item.created_at or scored_at).astimezone(zone).date() for item in window.present],
        scored_at,
        {int(places[position]): reason for position, reason in predictions.reasons.items()},
    )


def _labels(found: Predictions) -> list[dict[str, Any]]:
    """Label, score, confidence, truncated and reason of each text, in order."""
    columns = (found.labels, found.scores, found.confidences, found.truncated)
    unanswered = {"label": None, "score": None, "confidence": None, "truncated": False}
    return [
        {**unanswered, "reason": found.reasons[position]}
        if position in found.reasons
        else {"label": label, "score": score, "confidence": confidence, "truncated": truncated, "reason": None}
        for position, (label, score, confidence, truncated) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]


def audit(run: int, anyway: str | None = None, actor: str | None = None) -> dict[str, Any]:
    """Runs the checks of ``sql/checks`` on what the run staged. Raises ``AuditError`` with the offenders.

    ``anyway``: why ``actor`` overrules the checks that compare the night with those before it.
    """
    from senti_tasks.warehouse import database, publication

    place = enter()
    with database.writing(place.engine) as connection:
        return publication.audit(connection, run, anyway=anyway, actor=actor)


def publish(run: int) -> dict[str, Any]:
    """Publishes an audited run in one transaction; returns its counts. Publishing twice changes nothing."""
    from senti_tasks.errors import LockedError
    from senti_tasks.warehouse import database, publication

    place = enter()
    with database.writing(place.engine) as connection:
        published = publication.publish(connection, run, at=now())
    try:
        with database.writing(place.engine) as connection:
            publication.sweep(connection)
    except LockedError as error:  # somebody reads staged rows: the next publication sweeps them too
        log.info("staged rows are left for the next sweep: %s", error)
    counts = ("run_id", "model_version", "publish_seq", "planned", "labelled", "failed", "superseded", "truncated")
    return {name: published[name] for name in counts}


def is_covered(runs: list[int]) -> bool:
    """Whether the model of these runs waits to serve and has answered every review as it stood at their due time."""
    from senti_tasks.warehouse import database, pending
    from senti_tasks.warehouse.runs import run as run_of

    place = enter()
    with database.reading(place.engine) as connection:
        if _awaited(connection, runs) is None:
            return False
        found = run_of(connection, runs[0])
        missing = pending.count(connection, found["model_version"], due=found["due"])
    log.info("%s: %d reviews missing", found["model_version"], missing)
    return missing == 0


def start_service(runs: list[int]) -> dict[str, Any]:
    """Lets the model that the runs completed serve, unless it was superseded; returns the model in service."""
    from senti_tasks.warehouse import database, promotions, watermarks
    from senti_tasks.warehouse.runs import run as run_of

    place = enter()
    with database.writing(place.engine) as connection:
        if (promotion := _awaited(connection, runs)) is not None:
            first = run_of(connection, runs[0])
            watermarks.advance(connection, promotion["model_version"], min(first["due"], first["opened_at"]))
            promotions.start_service(connection, promotion["seq"], at=now())
        return {"model": promotions.in_service(connection)}


def _awaited(connection: Connection, runs: list[int]) -> dict[str, Any] | None:
    """The promotion that waits for the labels of the runs' model, if there is one."""
    from senti_tasks.warehouse import promotions
    from senti_tasks.warehouse.runs import run as run_of

    waiting = promotions.incoming(connection)
    model = run_of(connection, runs[0])["model_version"]
    return waiting if waiting is not None and waiting["model_version"] == model else None


def predict(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Label, its name, score, confidence and truncation of each text, from the champion, in the order given."""
    from senti_tasks.errors import ConfigError, NoChampionError
    from senti_tasks.warehouse import database, promotions, registry

    place = enter()
    with database.reading(place.engine) as connection:
        model = promotions.champion(connection)
        if model is None:
            raise NoChampionError(promotions.NO_CHAMPION)
        names = registry.label_names(connection, model)
    found = scorer_of(place, model).predict(texts)
    for position, reason in found.reasons.items():
        raise ConfigError(f"cannot label {texts[position][:20]!r}: {reason}")
    return [
        {"text": text, "label_name": names[label["label"]], **label, "model": model}
        for text, label in zip(texts, _labels(found), strict=True)
        if label.pop("reason") is None
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
    return load_form(place, form)


def load_form(place: Workplace, form: dict[str, Any]) -> Scorer:
    """The scorer of a registered form, after checking every byte of it; kept for the next call."""
    folder = place.store.fetch(form["artifact"], form["digest"])
    device = device_for(place, form["form"])
    return _load(folder, form["form"], device, form["temperature"], place.settings.work_folder)


def device_for(place: Workplace, form: str) -> str:
    """Where ``form`` runs: SENTI_DEVICE, but int8 on the CPU, also of a GPU worker, which builds and judges it."""
    device = place.settings.device
    if form != "int8" or device != "cuda":
        return device
    log.warning("int8 runs on the CPU of this GPU worker: SENTI_FORM=bf16 gives the next model a form for the GPU")
    return "cpu"


@lru_cache(maxsize=2)
def _load(folder: Path, form: str, device: str, temperature: float, work: Path) -> Scorer:
    from senti_tasks.scoring import loading

    scorer = loading.load(folder, form, device, temperature=temperature, probe_file=work / "token_budgets.json")
    # Pages of reviews make Python look for garbage all night long, and torch and a model are a quarter of a million
    # objects that are none.
    gc.collect()
    gc.freeze()
    return scorer
