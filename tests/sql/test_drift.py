"""Rows of drift: ordinary runs raise no alarm, and a product whose reviews become those of another domain does."""

import html
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks import settings
from senti_tasks.errors import HeldRunError
from senti_tasks.jobs import page, reports, scoring
from senti_tasks.jobs.operations import alerts
from senti_tasks.judging.score_bins import score_bins
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import model_variants, reviews, run_drift, told_events
from senti_tasks.warehouse.scoring import shards, staging
from tests.situations import WEDNESDAY, add_model, judged, on_postgresql, open_planned_run, promote, rows

PRODUCTS = ("耳机", "酒店", "牛奶", None)


class Shop:
    """A shop whose nights are drawn: scores, and which texts are unlike those of the training."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.draws = np.random.default_rng(7)
        self.reviews = 0

    def positives(self, size: int) -> np.ndarray:
        """Scores of a calibrated model that is seldom unsure."""
        return np.where(self.draws.random(size) < 0.7, self.draws.beta(8, 1, size), self.draws.beta(1, 8, size))

    def night(self, size: int = 400, *, other: str | None = None, share: float = 1.0, publish: bool = True) -> int:
        """Scores a night of ``size`` reviews; of the product ``other``, this ``share`` is of another domain."""
        self.reviews += size
        keys = range(self.reviews - size + 1, self.reviews + 1)
        added = [
            {"review_id": key, "review_text": f"好 {key}", "product": PRODUCTS[key % 4], "created_at": WEDNESDAY}
            for key in keys
        ]
        with database.writing(self.engine) as connection:
            connection.execute(sa.insert(reviews), [{**row, "updated_at": WEDNESDAY} for row in added])
            run = open_planned_run(connection, f"night {self.reviews}")
            claim = shards.claim(connection, run, 0)
            assert claim is not None
            chunk = shards.read_chunk(connection, run, 0, after=None, limit=size)
            claim = shards.stage(connection, claim, self.answers(chunk, other, share), cursor=chunk[-1].review_id)
            shards.accept(connection, claim)
        scoring.audit(run)
        if publish:
            scoring.publish(run)
        return run

    def answers(self, chunk: list[shards.Item], other: str | None, share: float) -> staging.Answers:
        size = len(chunk)
        scores = self.positives(size)
        is_other = np.array([item.product == other and other is not None for item in chunk])
        is_other &= self.draws.random(size) < share
        scores = np.where(is_other, self.draws.uniform(0.3, 0.7, size), scores)
        return replace(
            judged(chunk),
            labels=(scores > 0.5).astype(np.int64),
            scores=scores,
            confidences=np.maximum(scores, 1 - scores),
            characters=self.draws.integers(5, 60, size),
            unknown_characters=np.where(is_other, 3, 0),
            unlike=(unlikeness := self.draws.normal(np.where(is_other, 2, 0), 1).astype(np.float32)) > 1.645,
            unlikeness=unlikeness,
        )


@pytest.fixture
def shop(engine: Engine, home: Path) -> Shop:
    made = Shop(engine)
    scores = made.positives(2_000)
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        bins = score_bins(np.column_stack([1 - scores, scores]))
        connection.execute(sa.update(model_variants).values(score_bins=bins))
        promote(connection, "m1")
    return made


def drift(engine: Engine, run: int) -> dict[str | None, dict[str, object]]:
    """The rows of a run by product; that of the run in all under "all"."""
    found = [row for row in rows(engine, "label_drift") if row["run_id"] == run]
    return {"all" if row["part"] == "run" else row["product"]: row for row in found}


def test_thirty_ordinary_runs_raise_no_alarm_and_another_domain_does_within_one_run(shop: Shop) -> None:
    for night in range(30):
        run = shop.night(size=300 + 10 * (night % 7))
        found = drift(shop.engine, run)
        assert set(found) == {"all", *PRODUCTS}
        assert not [row["drift"] for row in found.values() if row["drift"] is not None]
    assert found["all"]["psi"] < 0.1  # type: ignore[operator]
    assert found["all"]["psi_training"] < 0.1  # type: ignore[operator]
    with pytest.raises(HeldRunError, match="confidence_is_as_usual"):
        shop.night(other="酒店")
    found = drift(shop.engine, run + 1)
    changed = found["酒店"]["drift"]
    assert isinstance(changed, str)
    assert "the scores are distributed otherwise (PSI" in changed
    assert "of the texts are unlike those of the training (limit 15%)" in changed
    assert "the expected accuracy is" in changed
    assert found["耳机"]["drift"] is None
    assert found["酒店"]["unknown_share"] > found["耳机"]["unknown_share"] == 0  # type: ignore[operator]
    assert [row["kind"] for row in rows(shop.engine, told_events)] == [], "SENTI_ALERT_URL is not set"
    shown = page.show(frozenset(), "", "/sentiment")
    assert f"The reviews of run {run + 1} are not as they were" in shown
    assert f"酒店: {changed}" in html.unescape(shown)
    report = html.unescape(reports.run_html(run + 1))
    assert "The reviews are not as they were. all: " in report
    assert changed in report
    assert "The reviews are not as they were" not in reports.run_html(run)


def test_the_first_runs_are_compared_with_the_training_alone(shop: Shop) -> None:
    first = drift(shop.engine, shop.night(other="牛奶"))
    assert first["牛奶"]["drift"] is not None
    assert "unlike" in str(first["牛奶"]["drift"])
    assert first["牛奶"]["psi"] is None
    assert first["牛奶"]["psi_training"] > 0.25  # type: ignore[operator]
    assert first["all"]["reviews"] == 400


def test_a_bound_is_a_setting(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_DRIFT_UNLIKE", "0.9")
    assert settings.load().drift_unlike == 0.9
    assert drift(shop.engine, shop.night(other="牛奶"))["牛奶"]["drift"] is None


def test_a_held_run_has_its_rows_too_and_an_audit_repeated_writes_the_same(shop: Shop) -> None:
    for _ in range(8):
        shop.night(size=800)
    with pytest.raises(HeldRunError):
        shop.night(size=3_000, other="酒店", publish=False)
    (held,) = {row["run_id"] for row in rows(shop.engine, "label_drift") if row["state"] == "held"}
    before = drift(shop.engine, held)
    assert before["酒店"]["drift"] is not None
    with pytest.raises(HeldRunError):
        scoring.audit(held)
    assert drift(shop.engine, held) == before
    scoring.audit(held, "看过了", "小李")
    scoring.publish(held)
    scoring.audit(held)
    assert drift(shop.engine, held)["酒店"]["drift"] == before["酒店"]["drift"]


def test_a_model_without_profile_and_bins_has_what_its_labels_show(shop: Shop) -> None:
    with database.writing(shop.engine) as connection:
        connection.execute(sa.update(model_variants).values(score_bins=None))
    shop.night()
    (row,) = [row for row in rows(shop.engine, run_drift) if row["part"] == "run"]
    assert (row["reviews"], row["bin_1"], row["psi"], row["drift"]) == (400, None, None, None)


@on_postgresql
def test_a_rescoring_has_rows_and_no_drift(shop: Shop) -> None:
    shop.night(other="酒店")
    with database.writing(shop.engine) as connection:
        run = open_planned_run(connection, "again", scope="all")
        claim = shards.claim(connection, run, 0)
        assert claim is not None
        chunk = shards.read_chunk(connection, run, 0, after=None, limit=1_000)
        claim = shards.stage(connection, claim, shop.answers(chunk, "酒店", 1.0), cursor=chunk[-1].review_id)
        shards.accept(connection, claim)
        connection.execute(sa.text("UPDATE scoring_runs SET scope = 'rescore' WHERE run_id = :run"), {"run": run})
    scoring.audit(run)
    found = drift(shop.engine, run)
    assert found["酒店"]["psi_training"] > 0.25  # type: ignore[operator]
    assert [row["drift"] for row in found.values()] == [None] * 5


def test_an_alert_says_where_and_what_and_holds_no_text(shop: Shop) -> None:
    assert not alerts.tell_drift(3, 2, {"part": "product", "drift": "the scores are distributed otherwise"})
