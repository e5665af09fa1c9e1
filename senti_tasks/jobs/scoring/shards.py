"""Scores one shard of a run: reads it chunk by chunk, and stages the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.context import enter, now
from senti_tasks.jobs.scoring.loading import scorer_of

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from sqlalchemy import Engine

    from senti_tasks.scoring.predictions import Predictions
    from senti_tasks.warehouse.scoring.shards import Claim, Item
    from senti_tasks.warehouse.scoring.staging import Answers


def score_shard(run: int, shard: int, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Labels one shard window by window, from where an earlier attempt stopped; a finished shard is left as it is.

    While a window is scored, the next one is read and the one before is staged. ``progress`` is called with the number
    of reviews in each, once it is staged. Returns shard and rows answered by this attempt. Raises ``ShardTakenError``
    when a later attempt claimed the shard meanwhile.
    """
    from senti_tasks.scoring.pipeline import ahead, behind
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.scoring import runs, shards

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
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.scoring import shards

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

    from senti_tasks.warehouse.scoring.staging import Answers

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
