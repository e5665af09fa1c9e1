"""What keeps a night from analysts: a freeze, and a night unlike those before it; and who may overrule what."""

from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import AuditError, FrozenError
from senti_tasks.warehouse import database, overview
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.schema import review_labels, run_shards, run_summaries, scoring_runs
from senti_tasks.warehouse.scoring import publication, publication_lock
from tests.situations import WEDNESDAY, add_model, add_reviews, answer, count, night, open_night, promote, rows

NIGHTS = 8


@pytest.fixture
def shop(engine: Engine) -> Engine:
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {1: "很好", 2: "太差"})
    return engine


def answered(engine: Engine, origin: str = "tonight", *, scope: str = "new") -> int:
    with database.writing(engine) as connection:
        run = open_night(connection, origin, scope=scope)
        answer(connection, run)
    return run


def audit(engine: Engine, run: int, anyway: str | None = None) -> None:
    with database.writing(engine) as connection:
        publication.audit(connection, run, anyway=anyway, actor=anyway and "小李")


def test_a_frozen_night_is_scored_and_audited_and_published_after_the_thaw(shop: Engine) -> None:
    run = answered(shop)
    with database.writing(shop) as connection:
        publication_lock.freeze(connection, by="小李", reason="盘点", at=WEDNESDAY)
        again = publication_lock.freeze(connection, by="小王", reason="别的", at=WEDNESDAY + timedelta(hours=1))
    assert again == {"frozen_at": WEDNESDAY, "frozen_by": "小李", "frozen_reason": "盘点"}
    audit(shop, run)
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
        publication.publish(connection, run, at=WEDNESDAY)


@pytest.fixture
def usual(shop: Engine) -> Engine:
    """Eight nights of 40 reviews, half of them negative."""
    night(shop, "first")
    for number in range(NIGHTS - 1):
        add_night(shop, number, negative=20)
        night(shop, f"night {number}")
    return shop


def add_night(engine: Engine, number: int, *, negative: int, size: int = 40) -> None:
    keys = range(1_000 * (number + 1), 1_000 * (number + 1) + size)
    with database.writing(engine) as connection:
        texts = {key: f"太差{key}" if position < negative else f"很好{key}" for position, key in enumerate(keys)}
        add_reviews(connection, texts, at=WEDNESDAY)


def test_a_night_unlike_those_before_it_waits_for_a_person_whose_reason_is_kept(usual: Engine) -> None:
    add_night(usual, 50, negative=40)
    run = answered(usual)
    with pytest.raises(AuditError, match=r"shares_are_as_usual: .*'label': 0, 'share': 1.0.*--publish-anyway"):
        audit(usual, run)
    audit(usual, run, anyway="大促销")
    publish(usual, run)
    (shown,) = [row for row in rows(usual, "scoring_health") if row["run_id"] == run]
    assert (shown["overruled_by"], shown["overruled_reason"]) == ("小李", "大促销")
    assert "shares_are_as_usual: {'label': 0, 'share': 1.0, 'usual_share': 0.5}" in shown["overruled"]


def test_a_night_whose_confidence_has_fallen_waits_too(usual: Engine) -> None:
    with database.writing(usual) as connection:
        texts = {key: f"一般{key}" if key % 2 else f"太差{key}" for key in range(90_000, 90_040)}
        add_reviews(connection, texts, at=WEDNESDAY)
    with pytest.raises(AuditError, match="confidence_is_as_usual: "):
        audit(usual, answered(usual))


def test_a_night_like_those_before_it_passes(usual: Engine) -> None:
    add_night(usual, 50, negative=23)
    audit(usual, answered(usual))


@pytest.mark.parametrize("scope", ["all", "reconcile"])
def test_only_nights_of_new_reviews_are_compared(scope: str, usual: Engine) -> None:
    add_night(usual, 50, negative=40)
    audit(usual, answered(usual, scope=scope))


def test_before_seven_nights_there_is_nothing_to_compare_with(shop: Engine) -> None:
    night(shop, "first")
    add_night(shop, 50, negative=40)
    audit(shop, answered(shop))


def test_what_publishing_rests_on_cannot_be_overruled(usual: Engine) -> None:
    add_night(usual, 50, negative=40)
    run = answered(usual)
    with database.writing(usual) as connection:
        connection.execute(sa.update(run_shards).where(run_shards.c.run_id == run).values(accepted_attempt=None))
    with pytest.raises(AuditError, match="every_shard_is_accepted") as error:
        audit(usual, run, anyway="大促销")
    assert "--publish-anyway" not in str(error.value)


def test_equal_nights_are_hardly_ever_refused(shop: Engine) -> None:
    """Two hundred seeded nights of one shop, each compared with the 28 before it."""
    draws = np.random.default_rng(2026)
    night(shop, "first")
    (first,) = rows(shop, scoring_runs)
    refused = 0
    for number in range(228):
        size = int(draws.integers(20, 2_000))
        negative = int(draws.binomial(size, 0.3))
        history(shop, first, number, size, negative)
        if number >= 28:
            refused += offenders(shop, size, negative)
    assert refused <= 2


def history(engine: Engine, first: dict[str, object], number: int, size: int, negative: int) -> None:
    values = {**first, "run_id": 100 + number, "origin": f"{number}", "publish_seq": 100 + number, "labelled": size}
    with database.writing(engine) as connection:
        connection.execute(sa.insert(scoring_runs).values(values))
        for label, labels in ((0, negative), (1, size - negative)):
            sums = {"labels": labels, "confidence_sum": 0.9 * labels, "confidence_squares": 0.81 * labels}
            connection.execute(sa.insert(run_summaries).values(run_id=100 + number, label=label, **sums))


def offenders(engine: Engine, size: int, negative: int) -> int:
    """Whether the check, told that the newest of the nights is tonight's, finds anything."""
    staged = f"""
        SELECT 0 AS label, {negative:d} AS labels UNION ALL SELECT 1, {size - negative:d}
    """
    path = SQL / "checks" / "usual" / "shares_are_as_usual.sql"
    text = path.read_text("utf-8")
    begins, ends = text.index("tonight AS ("), text.index("),\n\nnights AS")
    tonight = f"{text[:begins]}tonight AS ({staged}{text[ends:]}"
    with database.reading(engine) as connection:
        newest = connection.scalar(sa.select(sa.func.max(scoring_runs.c.run_id)))
        return len(connection.execute(sa.text(tonight), {"run_id": newest}).all()) > 0
