"""Trainings and the settings that break them off: hours free of training, and the minutes between checkpoints."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from senti_tasks import settings
from senti_tasks.errors import TrainingStoppedError
from senti_tasks.jobs import corpora, imports, pretraining, training
from senti_tasks.training import base_names
from tests.made_up_reviews import made_up_reviews
from tests.small_training import SHAPE

QUICK = {"epochs": 1, "batch_size": 8, "max_length": 64}
HOUR = timedelta(hours=1)


@pytest.fixture
def shop(home: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Path:
    """The home of a warehouse with 200 labelled reviews, and a base model that is trained in seconds."""
    monkeypatch.setenv("SENTI_BASE_MODEL", "scratch:tiny")
    monkeypatch.setitem(base_names.SCRATCH, "scratch:tiny", SHAPE)
    lines = [f"{review.text},{'好评' if review.label else '差评'}" for review in made_up_reviews(200)]
    (home / "reviews.csv").write_text("\n".join(["review,label", *lines, ""]), "utf-8")
    imports.import_reviews(home / "reviews.csv", {})
    return home


def hours(start: datetime, end: datetime) -> str:
    zone = settings.load().zone
    return f"{start.astimezone(zone):%H:%M}-{end.astimezone(zone):%H:%M}"


def corpus() -> str:
    return str(corpora.snapshot_corpus(datetime.now(UTC).isoformat(), "week")["corpus"])


def test_in_the_hours_free_of_training_none_begins_and_the_error_says_when_one_may(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, now = corpus(), datetime.now(UTC)
    texts = pretraining.snapshot_texts(now.isoformat(), "month", "scratch:tiny")
    recipe = {**QUICK, "held_out_share": 0.1}
    monkeypatch.setenv("SENTI_NO_TRAINING", hours(now - HOUR, now + HOUR))
    with pytest.raises(TrainingStoppedError, match="because SENTI_NO_TRAINING keeps") as refused:
        training.train(made, "week", config=QUICK)
    with pytest.raises(TrainingStoppedError, match="because SENTI_NO_TRAINING keeps"):
        pretraining.pretrain(texts, "month", recipe)
    assert refused.value.retry_at is not None
    assert now + HOUR - timedelta(minutes=1) < refused.value.retry_at <= now + HOUR

    monkeypatch.setenv("SENTI_NO_TRAINING", hours(now + 6 * HOUR, now + 8 * HOUR))
    model = training.train(made, "week", config=QUICK)["model"]
    assert pretraining.pretrain(texts, "month", recipe)["encoder"]
    monkeypatch.setenv("SENTI_NO_TRAINING", hours(now - HOUR, now + HOUR))
    assert training.train(made, "week", config=QUICK) == {"model": model}, "one that has ended is found at any hour"


@pytest.mark.parametrize(("minutes", "saved"), [("", 0), ("1", 1)])
def test_the_minutes_between_checkpoints_are_a_setting(
    minutes: str, saved: int, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_CHECKPOINT_MINUTES", minutes)
    ticks: Iterator[int] = count(0, 25)  # seconds: each step of these 15 takes less than half a minute
    monkeypatch.setattr("senti_tasks.training.loop.checkpoints.monotonic", lambda: float(next(ticks)))

    def crash(row: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(corpus(), "week", config=QUICK, report=crash)
    assert len(list(shop.glob("var/work/training/**/checkpoint-*"))) == saved
