"""A warehouse for pictures: two trainings and a run on each day of two weeks, on the project's own sample.

The last run is unusual: the reviews after a recall.
"""

import csv
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from local import sample
from local.demo import SAMPLE_CONFIG, SAMPLE_GATE
from senti_tasks.api.corpora import snapshot_corpus
from senti_tasks.api.training import train
from senti_tasks.errors import HeldRunError
from senti_tasks.jobs import imports, models, scoring
from senti_tasks.jobs.operations import upkeep

BASE = "scratch:tiny"
RECALLED, RECALL_SEED = 60, 7
"""Reviews of the last run, which are all negative; the seed of the sample that they are taken from."""


def play(folder: Path) -> None:
    """Fills the warehouse that the settings name, which must be empty. ``folder`` is for files."""
    upkeep.migrate()
    reviews = sample.reviews()
    first = [one for one in reviews if _day(one) < sample.LABELLED_DAYS]
    imports.import_reviews(_write(folder / "reviews.csv", first, labelled=True), {})
    corpus = snapshot_corpus(BASE)
    config: dict[str, Any] = dict(SAMPLE_CONFIG)
    trained = train(corpus, BASE, gate=SAMPLE_GATE, **config)
    models.promote(trained.version, "first model", actor="小李")
    _run(sample.LABELLED_DAYS - 1)
    for day in range(sample.LABELLED_DAYS, sample.DAYS):
        new = [one for one in reviews if _day(one) == day]
        imports.import_reviews(_write(folder / f"day-{day}.csv", new), {})
        _run(day)
    train(corpus, BASE, gate=SAMPLE_GATE, **{**config, "epochs": 1})  # which learns too little
    known = {one.review for one in reviews}
    complaints = [one for one in sample.reviews(seed=RECALL_SEED) if one.label == "0" and one.review not in known]
    imports.import_reviews(_write(folder / "recall.csv", complaints[-RECALLED:]), {})
    with suppress(HeldRunError):
        _run(sample.DAYS)


def _day(review: sample.Review) -> int:
    return (datetime.fromisoformat(review.created_at) - sample.FIRST_DAY).days


def _write(file: Path, reviews: Sequence[sample.Review], *, labelled: bool = False) -> Path:
    names = [name for name in sample.Review.__slots__ if labelled or name != "label"]
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(names)
        writer.writerows([getattr(one, name) for name in names] for one in reviews)
    return file


def _run(day: int) -> None:
    """The scheduled run after ``day``."""
    due = (sample.FIRST_DAY + timedelta(days=day + 1, hours=2)).isoformat()
    runs = scoring.open_series(f"score_reviews/scheduled__{due}", due)
    scoring.complete_series(runs)
    scoring.publish_series(runs)
