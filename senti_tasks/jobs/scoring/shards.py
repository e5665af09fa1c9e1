"""Scores one shard of a run: reads it chunk by chunk and stages the labels."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from senti_tasks import text
from senti_tasks.config import PlanConfig
from senti_tasks.errors import TurnOverError
from senti_tasks.jobs.context import JobContext, load_context, now
from senti_tasks.jobs.scoring import sampling
from senti_tasks.jobs.scoring.loading import scorer_and_profile
from senti_tasks.jobs.scoring.runs import finish, plan_next
from senti_tasks.scoring.pipeline import ahead, behind
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.warehouse import database
from senti_tasks.warehouse.scoring import runs, shards
from senti_tasks.warehouse.scoring.shards import Claim, Item
from senti_tasks.warehouse.scoring.staging import Answers

if TYPE_CHECKING:
    from senti_tasks.corpus.text_profile import TextFigures, TextProfile

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=20)
"""How long others leave a shard to the process that works at it, after that process last renewed its lease."""
WAIT_S = 1.0
"""Seconds between two looks at what other processes have still to do."""
RENEWAL_S = 5.0
"""Seconds between two renewals: three may fail."""


def score_shard(
    run: int, shard: int, progress: Callable[[int], None] | None = None, attempt: int = 1
) -> dict[str, Any]:
    """Labels one shard chunk by chunk, from the cursor of the earlier attempt. A finished shard is not changed.

    While a chunk is scored, the next one is read and the previous one is staged. ``progress`` is called with the number
    of reviews of each staged chunk. ``attempt`` is the number of the task's attempt, from 1: see ``cpu_after_tries`` in
    the settings. Returns shard and answered (reviews, by this attempt). Raises ``ShardTakenError`` if a later attempt
    has claimed the shard meanwhile, and ``DeviceGoneError``.
    """
    context = load_context()
    with context.writing() as connection:
        opened = runs.run(connection, run)
        lease_until = database.clock(connection) + LEASE
        claim = shards.claim(connection, run, shard, lease_until=lease_until, now=now())
    if claim is None:
        return {"shard": shard, "answered": 0}
    with _lease(context, claim):
        return {"shard": shard, "answered": _score(context, opened, claim, progress, attempt)}


def _score(
    context: JobContext, opened: dict[str, Any], claim: Claim, progress: Callable[[int], None] | None, attempt: int
) -> int:
    """Labels the claimed shard of the run ``opened``; returns how many reviews this attempt answered."""
    answered, held, last_stage = 0, claim, 0

    def stage(scored: tuple[_Chunk, Predictions]) -> None:
        nonlocal answered, held
        chunk, predictions = scored
        answers = _answers(chunk, predictions, context.settings.zone)
        if predictions.stages is not None:
            answers = sampling.with_stages(answers, chunk.is_known, predictions, last_stage)
        with context.writing() as connection:
            held = shards.stage(connection, held, answers, cursor=chunk.cursor)
        answered += chunk.reviews
        if progress is not None:
            progress(chunk.reviews)

    if claim.planned:
        scorer, profile = scorer_and_profile(context, opened["model_version"], opened["variant"], attempt)
        sampled = sampling.sampled_by(opened, scorer, context.settings.cascade_checks)
        last_stage = scorer.last_stage
        # Close the generators here. If garbage collection closed one, that could happen in the thread that it joins,
        # and deadlock.
        with closing(ahead(_chunks(context, opened, claim, scorer.chunk_rows, profile))) as chunks:
            texts = ((chunk, chunk.unknown) for chunk in chunks)
            with closing(scorer.stream(texts, claim.planned, sampled)) as answers, behind(stage) as put:
                for scored in answers:
                    put(scored)
    with context.writing() as connection:
        shards.accept(connection, held, now=now())
    return answered


@contextmanager
def _lease(context: JobContext, claim: Claim) -> Iterator[None]:
    """Renews the lease of the shard in a thread of its own, until the block ends: a chunk may take longer than a
    lease. If the block raises, the lease ends at once, so that others need not wait for it."""
    ended = Event()

    def renew(lease: timedelta | None) -> None:
        try:
            with context.writing() as connection:
                lease_until = None if lease is None else database.clock(connection) + lease
                shards.renew(connection, claim, lease_until=lease_until)
        except Exception as error:  # the attempt itself notices if the database is gone
            log.warning("the lease of shard %d of run %d was not changed: %s", claim.shard, claim.run_id, error)

    def keep() -> None:
        while not ended.wait(RENEWAL_S):
            renew(LEASE)

    thread = Thread(target=keep, name="lease", daemon=True)
    thread.start()
    failed = True
    try:
        yield
        failed = False
    finally:
        ended.set()
        thread.join()
        if failed:
            renew(None)


Watch = Callable[[str, dict[str, int] | int], None]
"""Called with what a series does: ``("shard", {run, shard})`` as one begins, ``("rows", number)`` as a chunk of it is
staged, ``("waits", number)`` while other processes score the last shards."""


def complete_series(
    run_ids: list[int], worker: int = 0, watch: Watch | None = None, attempt: int = 1
) -> dict[str, float]:
    """Scores shards of a series that no other process is scoring, one after another, until all of them are finished.

    Any number of calls share the work. While others score the last shards, this one waits: if one of them dies, its
    lease ends after ``LEASE``, and its shard is scored here. ``worker`` only tells the tasks of a DAG run apart.
    ``attempt`` is the number of the task's attempt, from 1. Returns worker, shards and answered (by this call),
    seconds, and busy_share: in which share of them this call did not wait for others.

    In a re-scoring, raises ``TurnOverError`` after ``PlanConfig.turn_seconds``, so that other work gets the slot.
    """
    config, begun = PlanConfig(), time.monotonic()
    with load_context().reading() as connection:
        yields = runs.run(connection, run_ids[0])["scope"] == "rescore"
    tell = watch or (lambda what, value: None)
    finished = answered = 0
    waited_s = 0.0
    while left := count_left(run_ids):
        if (reserved := reserve_shard(run_ids)) is None:
            tell("waits", left)
            time.sleep(WAIT_S)
            waited_s += WAIT_S
            continue
        if yields and finished and time.monotonic() - begun > config.turn_seconds:
            raise TurnOverError(f"{left:,} shards are left, and other work may wait for this slot", retry_at=now())
        tell("shard", reserved)
        done = complete_shard(**reserved, progress=lambda rows: tell("rows", rows), attempt=attempt)
        finished, answered = finished + 1, answered + done["answered"]
        log.info("shard %d of run %d is finished (%d reviews); %d left", *reserved.values(), done["answered"], left - 1)
    seconds = time.monotonic() - begun
    busy_share = max(0.0, 1 - waited_s / seconds)
    log.info("%d shards, %d reviews in %.1f s, busy %.0f %%", finished, answered, seconds, 100 * busy_share)
    return {
        "worker": worker,
        "shards": finished,
        "answered": answered,
        "seconds": round(seconds, 1),
        "busy_share": round(busy_share, 3),
    }


def complete_shard(
    run: int, shard: int, progress: Callable[[int], None] | None = None, attempt: int = 1
) -> dict[str, Any]:
    """Scores a shard as ``score_shard`` does. If it was the last one of its run, the run is audited and published,
    unless a freeze or a check prevents that."""
    scored = score_shard(run, shard, progress, attempt)
    with load_context().reading() as connection:
        left = shards.count_left(connection, [run])
    if left == 0:
        finish(run)
    return scored


def reserve_shard(run_ids: list[int]) -> dict[str, int] | None:
    """Finds a shard of these runs that no other process is scoring, and keeps it for this one for ``LEASE``.

    Returns run and shard, or ``None`` if there is none. If all shards of the planned runs are taken, the next run is
    planned.
    """
    context = load_context()
    with context.writing() as connection:
        present = database.clock(connection)  # one clock for all machines: that of one may be minutes ahead
        found = shards.reserve(connection, run_ids, now=present, lease_until=present + LEASE)
        overlap = timedelta(hours=context.settings.overlap_hours)
        if found is None and (run := plan_next(connection, run_ids, overlap)) is not None:
            found = shards.reserve(connection, [run], now=present, lease_until=present + LEASE)
    return None if found is None else {"run": found[0], "shard": found[1]}


def count_left(run_ids: list[int]) -> int:
    """How many shards of these runs are not finished; a run that is not planned yet counts as one."""
    with load_context().reading() as connection:
        return shards.count_left(connection, run_ids)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Reviews that are scored and staged together."""

    reviews: int
    cursor: Any
    """The last review_id of the chunk."""
    present: list[Item]
    """The reviews that were neither edited nor deleted since the plan."""
    hashes: list[str]
    """The text hash of each of ``present``."""
    known: dict[str, dict[str, Any]]
    """Labels of the same model and variant from earlier runs, by text hash."""
    figures: TextFigures | None
    """Of the texts of ``present``; ``None`` if the model has no profile."""

    @property
    def is_known(self) -> npt.NDArray[np.bool_]:
        """(len(present),): which of ``present`` have a known label."""
        return np.array([key in self.known for key in self.hashes], dtype=bool)

    @property
    def unknown_ids(self) -> list[Any]:
        """The review_ids of ``unknown``, in order."""
        pairs = zip(self.present, self.hashes, strict=True)
        return [item.review_id for item, key in pairs if key not in self.known]

    @property
    def unknown(self) -> list[str | None]:
        """The texts of ``present`` without a known label, in order."""
        pairs = zip(self.present, self.hashes, strict=True)
        return [item.text for item, key in pairs if key not in self.known]


def _chunks(
    context: JobContext, opened: dict[str, Any], claim: Claim, rows: int, profile: TextProfile | None
) -> Iterator[_Chunk]:
    """The chunks of a shard after the cursor, in key order. Runs of scope ``all`` use no known labels."""
    cursor = claim.cursor
    while True:
        with context.reading() as connection:
            chunk = shards.read_chunk(connection, claim.run_id, claim.shard, after=cursor, limit=rows)
            present = [item for item in chunk if not item.superseded]
            hashes = [text.text_hash(item.text or "") for item in present]
            asked = [] if opened["scope"] == "all" else hashes
            known = shards.known_labels(connection, opened["model_version"], opened["variant"], asked)
        if not chunk:
            return
        cursor = chunk[-1].review_id
        figures = None if profile is None else profile.measure([item.text for item in present])
        yield _Chunk(len(chunk), cursor, present, hashes, known, figures)


def _answers(chunk: _Chunk, predictions: Predictions, zone: ZoneInfo) -> Answers:
    """An answer for each of ``chunk.present``: the known label of the same text, or else the new prediction.

    ``predictions`` are those of ``chunk.unknown``. An answer is a label, or the reason why the text has none.
    """
    scored_at, n = now(), len(chunk.present)
    before = [chunk.known.get(key) for key in chunk.hashes]
    new = np.array([answer is None for answer in before], dtype=bool)
    columns: dict[str, Any] = {}
    for name, values in (
        ("label", predictions.labels),
        ("score", predictions.scores.astype(np.float64)),  # the type of known labels
        ("confidence", predictions.confidences.astype(np.float64)),
        ("truncated", predictions.truncated),
    ):
        columns[name] = np.empty(n, values.dtype)
        columns[name][new] = values
        columns[name][~new] = [answer[name] for answer in before if answer is not None]
    positions, found = np.flatnonzero(new), chunk.figures
    measured = () if found is None else (found.characters, found.unknown, found.unlike, found.unlikeness)
    return Answers(
        [item.review_id for item in chunk.present],
        chunk.hashes,
        columns["label"],
        columns["score"],
        columns["confidence"],
        columns["truncated"],
        [(item.created_at or scored_at).astimezone(zone).date() for item in chunk.present],
        [item.product for item in chunk.present],
        scored_at,
        {int(positions[position]): reason for position, reason in predictions.reasons.items()},
        *measured,
    )
