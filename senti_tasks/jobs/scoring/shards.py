"""Scores one shard of a run: reads it chunk by chunk, and stages the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Engine

from senti_tasks import text
from senti_tasks.jobs.context import load_context, now
from senti_tasks.jobs.scoring.loading import scorer_of
from senti_tasks.scoring.pipeline import ahead, behind
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.warehouse import database
from senti_tasks.warehouse.scoring import runs, shards
from senti_tasks.warehouse.scoring.shards import Claim, Item
from senti_tasks.warehouse.scoring.staging import Answers


def score_shard(run: int, shard: int, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Labels one shard chunk by chunk, from where an earlier attempt stopped; a finished shard is left as it is.

    While a chunk is scored, the next one is read and the one before is staged. ``progress`` is called with the number
    of reviews in each, once it is staged. Returns shard and rows answered by this attempt. Raises ``ShardTakenError``
    when a later attempt claimed the shard meanwhile.
    """
    context = load_context()
    with database.writing(context.engine) as connection:
        opened = runs.run(connection, run)
        claim = shards.claim(connection, run, shard)
    if claim is None:
        return {"shard": shard, "answered": 0}
    answered, held = 0, claim

    def stage(scored: tuple[_Chunk, Predictions]) -> None:
        nonlocal answered, held
        chunk, predictions = scored
        answers = _answers(chunk, predictions, context.settings.zone)
        with database.writing(context.engine) as connection:
            held = shards.stage(connection, held, answers, cursor=chunk.cursor)
        answered += chunk.reviews
        if progress is not None:
            progress(chunk.reviews)

    if claim.planned:
        scorer = scorer_of(context, opened["model_version"])
        # Close the generator here. If garbage collection closed it, that could happen in the thread that it joins, and
        # deadlock.
        with closing(ahead(_chunks(context.engine, opened, claim, scorer.chunk_rows))) as chunks:
            texts = ((chunk, chunk.unknown) for chunk in chunks)
            with closing(scorer.stream(texts, claim.planned)) as answers, behind(stage) as put:
                for scored in answers:
                    put(scored)
    with database.writing(context.engine) as connection:
        shards.accept(connection, held)
    return {"shard": shard, "answered": answered}


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Reviews that are scored and staged together."""

    reviews: int
    cursor: Any
    """The last review_id."""
    present: list[Item]
    """The reviews that are still what was planned."""
    hashes: list[str]
    """The hash of the text of each."""
    known: dict[str, dict[str, Any]]
    """Labels that the model gave before, by text hash."""

    @property
    def unknown(self) -> list[str | None]:
        """The texts to score."""
        pairs = zip(self.present, self.hashes, strict=True)
        return [item.text for item, key in pairs if key not in self.known]


def _chunks(engine: Engine, opened: dict[str, Any], claim: Claim, rows: int) -> Iterator[_Chunk]:
    """What is left of a shard. The scope ``all`` asks for every review again, whatever is known."""
    cursor = claim.cursor
    while True:
        with database.reading(engine) as connection:
            chunk = shards.read_chunk(connection, claim.run_id, claim.shard, after=cursor, limit=rows)
            present = [item for item in chunk if not item.superseded]
            hashes = [text.text_hash(item.text or "") for item in present]
            asked = [] if opened["scope"] == "all" else hashes
            known = shards.known_labels(connection, opened["model_version"], opened["variant"], asked)
        if not chunk:
            return
        cursor = chunk[-1].review_id
        yield _Chunk(len(chunk), cursor, present, hashes, known)


def _answers(chunk: _Chunk, predictions: Predictions, zone: ZoneInfo) -> Answers:
    """A label or a reason for each review of a chunk: a known label of the same text, or the new prediction."""
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
    positions = np.flatnonzero(new)
    return Answers(
        [item.review_id for item in chunk.present],
        chunk.hashes,
        columns["label"],
        columns["score"],
        columns["confidence"],
        columns["truncated"],
        [(item.created_at or scored_at).astimezone(zone).date() for item in chunk.present],
        scored_at,
        {int(positions[position]): reason for position, reason in predictions.reasons.items()},
    )
