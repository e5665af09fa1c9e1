"""What keeps a run from analysts: a freeze, and a run unlike those before it; and who may overrule what."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import AuditError, FrozenError, HeldRunError
from senti_tasks.jobs import scoring
from senti_tasks.warehouse import database, overview
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.schema import review_labels, run_shards, run_summaries, scoring_runs, staged_labels
from senti_tasks.warehouse.scoring import publication, publication_lock, runs, staging
from tests.conftest import Databases
from tests.situations import (
    WEDNESDAY,
    add_model,
    add_reviews,
    answer,
    count,
    open_planned_run,
    promote,
    rows,
    scoring_run,
)

RUNS = 8


def two_reviews(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {1: "很好", 2: "太差"})


@pytest.fixture
def shop(engine: Engine, home: Path) -> Engine:
    two_reviews(engine)
    return engine


def answered(engine: Engine, idempotency_key: str = "this run", *, scope: str = "new") -> int:
    with database.writing(engine) as connection:
        run = open_planned_run(connection, idempotency_key, scope=scope)
        answer(connection, run)
    return run


def audit(run: int, anyway: str | None = None) -> None:
    scoring.audit(run, anyway, anyway and "小李")


def test_a_frozen_run_is_scored_and_audited_and_published_after_unfreezing(shop: Engine) -> None:
    run = answered(shop)
    with database.writing(shop) as connection:
        publication_lock.freeze(connection, by="小李", reason="盘点", now=WEDNESDAY)
        again = publication_lock.freeze(connection, by="小王", reason="别的", now=WEDNESDAY + timedelta(hours=1))
    assert again == {"frozen_at": WEDNESDAY, "frozen_by": "小李", "frozen_reason": "盘点"}
    audit(run)
    with pytest.raises(FrozenError, match=rf"frozen by 小李 .*盘点.*senti score --run {run}"):
        publish(shop, run)
    assert count(shop, review_labels) == 0
    with database.writing(shop) as connection:
        assert overview.status(connection)["frozen"] == again
        assert publication_lock.unfreeze(connection)
        assert not publication_lock.unfreeze(connection)
    publish(shop, run)
    assert count(shop, review_labels) == 2


def publish(engine: Engine, run: int) -> None:
    with database.writing(engine) as connection:
        publication.publish(connection, run, now=WEDNESDAY)


def eight_runs(engine: Engine) -> None:
    two_reviews(engine)
    scoring_run(engine, "first")
    for number in range(RUNS - 1):
        add_run(engine, number, negative=20)
        scoring_run(engine, f"run {number}")


@pytest.fixture
def usual(bare_home: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Eight runs of 40 reviews, half of them negative."""
    url = databases.prepared("eight runs", eight_runs)
    monkeypatch.setenv("SENTI_DATABASE_URL", url)
    opened = database.connect(url)
    yield opened
    opened.dispose()
    databases.drop(url)


def add_run(engine: Engine, number: int, *, negative: int, size: int = 40) -> None:
    keys = range(1_000 * (number + 1), 1_000 * (number + 1) + size)
    with database.writing(engine) as connection:
        texts = {key: f"太差{key}" if position < negative else f"很好{key}" for position, key in enumerate(keys)}
        add_reviews(connection, texts, now=WEDNESDAY)


def test_a_run_unlike_those_before_it_waits_for_a_person_whose_reason_is_kept(usual: Engine) -> None:
    add_run(usual, 50, negative=40)
    run = answered(usual)
    with pytest.raises(HeldRunError, match=r"shares_are_as_usual: .*'label': 0, 'share': 1.0.*--publish-anyway"):
        audit(run)
    audit(run, anyway="大促销")
    publish(usual, run)
    (shown,) = [row for row in rows(usual, "scoring_health") if row["run_id"] == run]
    assert (shown["overruled_by"], shown["overruled_reason"]) == ("小李", "大促销")
    assert "shares_are_as_usual: {'label': 0, 'share': 1.0, 'usual_share': 0.5}" in shown["overruled"]


def test_a_run_that_a_person_overruled_goes_with_its_model_and_one_that_waits_for_a_person_stays(usual: Engine) -> None:
    """A freeze kept the first one from publication until another model served."""
    add_run(usual, 50, negative=40)
    overruled = answered(usual, "overruled")
    with pytest.raises(HeldRunError):
        audit(overruled)
    audit(overruled, anyway="大促销")
    add_run(usual, 60, negative=40)
    waiting = answered(usual, "waiting")
    with pytest.raises(HeldRunError):
        audit(waiting)
    with database.writing(usual) as connection:
        assert runs.abandon_unused(connection, in_use={"another model"}) == [overruled]
    states = {row["run_id"]: row["state"] for row in rows(usual, scoring_runs)}
    assert (states[overruled], states[waiting]) == ("abandoned", "held")


def test_a_run_whose_confidence_has_fallen_waits_too(usual: Engine) -> None:
    with database.writing(usual) as connection:
        texts = {key: f"一般{key}" if key % 2 else f"太差{key}" for key in range(90_000, 90_040)}
        add_reviews(connection, texts, now=WEDNESDAY)
    with pytest.raises(HeldRunError, match="confidence_is_as_usual: "):
        audit(answered(usual))


def test_a_run_like_those_before_it_passes(usual: Engine) -> None:
    add_run(usual, 50, negative=23)
    audit(answered(usual))


def test_a_range_of_a_rescoring_is_not_compared(usual: Engine) -> None:
    add_run(usual, 50, negative=40)
    audit(answered(usual, scope="rescore"))


def test_before_seven_runs_there_is_nothing_to_compare_with(shop: Engine) -> None:
    scoring_run(shop, "first")
    add_run(shop, 50, negative=40)
    audit(answered(shop))


def test_what_publishing_rests_on_cannot_be_overruled(usual: Engine) -> None:
    add_run(usual, 50, negative=40)
    run = answered(usual)
    with database.writing(usual) as connection:
        connection.execute(sa.update(run_shards).where(run_shards.c.run_id == run).values(accepted_attempt=None))
    with pytest.raises(AuditError, match="every_shard_is_accepted") as error:
        audit(run, anyway="大促销")
    assert "--publish-anyway" not in str(error.value)


def test_equal_runs_are_hardly_ever_refused(shop: Engine) -> None:
    """Two hundred seeded runs of one shop, each compared with the 28 before it."""
    draws = np.random.default_rng(2026)
    scoring_run(shop, "first")
    (first,) = rows(shop, scoring_runs)
    with database.writing(shop) as connection:
        run = open_planned_run(connection, "this run")
    refused = 0
    for number in range(228):
        size = int(draws.integers(20, 2_000))
        negative = int(draws.binomial(size, 0.3))
        if number >= 28:
            refused += is_refused(shop, run, size, negative)
        add_to_history(shop, first, number, size, negative)
    assert refused <= 2


def add_to_history(engine: Engine, first: dict[str, object], number: int, size: int, negative: int) -> None:
    """A published run like ``first``, of which only the sums are kept."""
    own = {"run_id": 100 + number, "idempotency_key": f"{number}", "publish_seq": 100 + number, "labelled": size}
    with database.writing(engine) as connection:
        connection.execute(sa.insert(scoring_runs).values({**first, **own}))
        for label, labels in ((0, negative), (1, size - negative)):
            sums = {"labels": labels, "confidence_sum": 0.9 * labels, "confidence_squares": 0.81 * labels}
            connection.execute(sa.insert(run_summaries).values(run_id=100 + number, label=label, **sums))


def is_refused(engine: Engine, run: int, size: int, negative: int) -> bool:
    """Whether the check of the shares finds anything when ``run`` has staged so many labels."""
    answers = staging.Answers(
        list(range(size)),
        ["0" * 32] * size,
        labels=(np.arange(size) >= negative).astype(np.int64),
        scores=np.full(size, 0.5),
        confidences=np.full(size, 0.9),
        truncated=np.zeros(size, dtype=bool),
        local_days=[WEDNESDAY.date()] * size,
        products=[None] * size,
        scored_at=WEDNESDAY,
        reasons={},
    )
    check = sa.text((SQL / "checks" / "usual" / "shares_are_as_usual.sql").read_text("utf-8"))
    with database.writing(engine) as connection:
        staging.append(connection, run, 0, 1, answers)
        offenders = connection.execute(check, {"run_id": run}).all()
        connection.execute(sa.delete(staged_labels))
    return len(offenders) > 0
