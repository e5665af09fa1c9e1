"""A candidate from its evaluation to its promotion, through the jobs; and the champion on what is new to it."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from safetensors.torch import load_file, save_file
from sqlalchemy import Engine

from senti_tasks.artifacts import ArtifactStore
from senti_tasks.errors import ChampionAlarmError, RegistryError, RunStateError
from senti_tasks.jobs import champion as job
from senti_tasks.jobs import corpora, judging, models
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.schema import champion_checks, gate_results, model_metrics, text_splits
from tests.made_up_reviews import made_up_reviews
from tests.situations import LENIENT, MONDAY, TUESDAY, add_model, add_reviews, annotate, promote, rows


@pytest.fixture
def stored(home: Path, model_folder: Path) -> tuple[str, str]:
    """The tiny classifier in the artifact store: where it lies, and its digest."""
    return ArtifactStore(str(home / "var/artifacts"), home / "var/work").put(model_folder, "models", "tiny")


def write_corpus(engine: Engine, week: int, numbers: range) -> str:
    """A week in which these reviews arrive, with labels; returns its corpus."""
    at = MONDAY + timedelta(weeks=week)
    arrived = made_up_reviews(numbers.stop)[numbers.start :]
    with database.writing(engine) as connection:
        add_reviews(connection, {key: one.text for key, one in zip(numbers, arrived, strict=True)}, now=at)
        for key, one in zip(numbers, arrived, strict=True):
            annotate(connection, key, one.label or 0, one.text, now=at)
    return str(corpora.snapshot_corpus(at.isoformat(), f"week {week}", "scratch:tiny")["corpus"])


def register(engine: Engine, version: str, corpus: str, stored: tuple[str, str]) -> str:
    with database.writing(engine) as connection:
        artifact, checksum = stored
        return add_model(connection, version, artifact=artifact, checksum=checksum, verdict=None, corpus=corpus)


@pytest.fixture
def candidate(engine: Engine, stored: tuple[str, str], one_thread: None) -> str:
    """``m2``, trained a week after ``m1``, which is the champion and the anchor; and ``m0``, which was before."""
    first = write_corpus(engine, 0, range(1, 301))
    for version in ("m0", "m1"):
        register(engine, version, first, stored)
    with database.writing(engine) as connection:
        promote(connection, "m0")
        promote(connection, "m1")
    return register(engine, "m2", write_corpus(engine, 1, range(301, 421)), stored)


def judged(model: str, **config: Any) -> dict[str, Any]:
    return judging.judge(judging.evaluate(model), {**LENIENT, **config})


def test_every_rule_is_a_row_with_its_figures_also_of_a_candidate_that_lost(candidate: str, engine: Engine) -> None:
    judgement = judged(candidate, loss_margin=0.0, slice_rows=5)
    assert (judgement["promote"], judgement["champion"]) == (False, "m1")
    rules = rows(engine, gate_results, order_by="position")
    assert {rule["rule"] for rule in rules} == {
        *("leak", "labels", "test_rows", "reuse", "accuracy", "macro_f1", "log_loss", "brier"),
        *("calibration", "slices", "slice", "superiority"),
    }
    assert {rule["reference_version"] for rule in rules if rule["reference"] == "champion"} == {"m1"}
    accuracy = next(rule for rule in rules if (rule["rule"], rule["reference"]) == ("accuracy", "champion"))
    assert accuracy["figure"] == 0.0
    assert -0.2 < accuracy["bound"] < 0
    assert accuracy["threshold"] == -0.99
    assert accuracy["rows"] > 30
    assert [rule["slice"] for rule in rules if rule["rule"] == "slice"]
    assert judgement["reasons"] == [rule["reason"] for rule in rules if not rule["passed"] and not rule["slice"]]


def test_the_anchor_is_a_reference_of_its_own_where_it_is_another_model(candidate: str, engine: Engine) -> None:
    with database.writing(engine) as connection:
        assert promotions.anchor(connection) is None, "neither was a person's, nor found to be better"
        promotions.promote(
            connection, "m0", kind="person", compared_with="m1", actor="小李", reason="好", now=TUESDAY, anchors=True
        )
        promote(connection, "m1")
        assert promotions.anchor(connection) == "m0"
    evaluation = judging.evaluate(candidate)
    assert (evaluation["champion"], evaluation["anchor"]) == ("m1", "m0")
    judging.judge(evaluation, LENIENT)
    assert {"m0", "m1", None} == {rule["reference_version"] for rule in rows(engine, gate_results)}
    assert {"candidate", "champion", "anchor", "baseline"} == {row["subject"] for row in rows(engine, model_metrics)}


def test_how_often_a_row_has_judged_is_counted_once_a_model(
    candidate: str, engine: Engine, stored: tuple[str, str]
) -> None:
    judged(candidate)
    judged(candidate)
    with database.reading(engine) as connection:
        corpus = registry.model(connection, candidate)["corpus"]
    again = judged(register(engine, "m3", corpus, stored))
    assert "a test row has judged 1.0 models before this one on average, 1 at most" in again["reasons"]
    ledger = rows(engine, text_splits)
    assert {row["judgements"] for row in ledger if row["split"] == "test"} == {2}
    assert {row["judgements"] for row in ledger if row["split"] != "test"} == {0}


def test_what_is_judged_is_the_variant_that_serves(
    candidate: str, engine: Engine, home: Path, model_folder: Path
) -> None:
    """A faster variant that says the contrary of the model: the model would pass, its variant must not."""
    flipped = home / "flipped"
    shutil.copytree(model_folder, flipped)
    weights = load_file(flipped / "model.safetensors")
    contrary = {name: -one if name.startswith("classifier.") else one for name, one in weights.items()}
    save_file(contrary, flipped / "model.safetensors", {"format": "pt"})
    artifact, digest = ArtifactStore(str(home / "var/artifacts"), home / "var/work").put(flipped, "variants", "bad")
    before = judging.evaluate(candidate)
    with database.writing(engine) as connection:
        (fp32,) = registry.variants(connection, candidate)
        bad = {**fp32, "variant": "bf16", "artifact": artifact, "digest": digest, "agreement": 0.0}
        registry.record_variants(connection, candidate, [bad, {**fp32, "serves": False}])
    with pytest.raises(RunStateError, match="the evaluation of m2 is of another variant than the one that would serve"):
        judging.judge(before, LENIENT)
    judging.evaluate(candidate)
    accuracy = {row["subject"]: row["value"] for row in rows(engine, model_metrics) if row["metric"] == "accuracy"}
    assert accuracy["candidate"] == pytest.approx(1 - accuracy["champion"])


def test_figures_of_an_evaluation_replace_those_of_the_one_before(candidate: str, engine: Engine) -> None:
    with database.writing(engine) as connection:
        stale = {"subject": "anchor", "split": "test", "metric": "accuracy", "value": 0.8}
        registry.record_metrics(connection, candidate, [stale])
    judging.evaluate(candidate)
    assert {"candidate", "champion", "baseline"} == {row["subject"] for row in rows(engine, model_metrics)}


def test_what_leaked_is_refused(candidate: str) -> None:
    evaluation = judging.evaluate(candidate)
    assert evaluation["leaked"] == 0
    judgement = judging.judge({**evaluation, "leaked": 2}, LENIENT)
    assert not judgement["promote"]
    assert judgement["reasons"][0].startswith("2 of the ")


def test_the_gate_decides_or_a_person_is_asked(candidate: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judgement = judged(candidate, slice_rows=5)
    assert judging.is_deserved(judgement)
    assert judging.who_promotes(judgement) == "promote"
    monkeypatch.setenv("SENTI_PROMOTION", "approval")
    assert judging.who_promotes(judgement) == "scorecard"
    card = judging.scorecard(judgement)
    assert card.startswith("**m2**, trained from scratch:tiny on corpus 2026-11-09")
    assert ", would replace m1." in card
    assert "| figure | candidate | champion | baseline |" in card
    assert "| accuracy | accuracy equals the champion's" in card
    assert "### Where it does worst" in card


def test_an_approval_is_a_persons_promotion_and_an_anchor(candidate: str, engine: Engine) -> None:
    judgement = judged(candidate)
    approval = {"chosen_options": ["Approve"], "responded_by_user": {"id": "7", "name": "小李"}}
    for _ in range(2):
        assert judging.promote_approved(judgement, approval)["model"] == candidate
    with database.reading(engine) as connection:
        newest, before, *_ = promotions.history(connection)
        assert (newest["kind"], newest["actor"], newest["compared_with"]) == ("person", "小李", "m1")
        assert before["model_version"] == "m1", "promoted once, although the task was retried"
        assert promotions.anchor(connection) == candidate


def test_a_stale_approval_is_refused(candidate: str, engine: Engine, stored: tuple[str, str]) -> None:
    judgement = judged(candidate)
    with database.writing(engine) as connection:
        corpus = registry.model(connection, candidate)["corpus"]
        promote(connection, add_model(connection, "m9", corpus=corpus))
    with pytest.raises(RegistryError, match="m2 was compared with m1, and the champion is m9 by now: judge it again"):
        judging.promote_approved(judgement, {"responded_by_user": {"id": "7", "name": "小李"}})
    assert models.promote("m2", "仍要用", "小李")["kind"] == "overruling"


def test_what_the_gate_lets_through_without_beating_the_champion_is_no_anchor(candidate: str, engine: Engine) -> None:
    judging.promote(judged(candidate), actor="retrain_sentiment")
    with database.reading(engine) as connection:
        assert promotions.champion(connection) == candidate
        assert promotions.anchor(connection) is None


def test_the_champion_is_scored_on_what_is_new_to_it_and_only_on_that(candidate: str, engine: Engine) -> None:
    with database.reading(engine) as connection:
        corpus = registry.model(connection, candidate)["corpus"]
    check = job.check_champion(corpus)
    assert check["model_version"] == "m1"
    assert 0 < check["rows"] <= 120
    assert check["lower_bound"] < check["accuracy"] < check["upper_bound"]
    assert (check["accuracy_at_promotion"], check["alarm"]) == (None, False)
    assert job.check_champion(corpus)["accuracy"] == check["accuracy"]
    (stored,) = rows(engine, champion_checks)
    assert (stored["model_version"], stored["corpus"], stored["rows"]) == ("m1", corpus, check["rows"])
    assert models.show("m1")["checks"][0]["reason"] == check["reason"]
    job.alarm(check)


def test_a_check_that_comes_late_is_of_the_champion_of_its_day(candidate: str, engine: Engine) -> None:
    with database.writing(engine) as connection:
        corpus = registry.model(connection, candidate)["corpus"]
        promote(connection, candidate, now=datetime.now(UTC) + timedelta(minutes=1))
    assert job.check_champion(corpus)["model_version"] == "m1"


def test_a_champion_that_is_less_accurate_than_at_its_promotion_raises_an_alarm(candidate: str, engine: Engine) -> None:
    with database.writing(engine) as connection:
        corpus = registry.model(connection, candidate)["corpus"]
        key = {"model_version": "m1", "subject": "candidate", "split": "test"}
        for metric, value in {"accuracy": 0.99, "rows": 800.0}.items():
            connection.execute(sa.insert(model_metrics).values(**key, metric=metric, value=value))
    check = job.check_champion(corpus)
    assert check["alarm"]
    with pytest.raises(
        ChampionAlarmError,
        match=r"m1 has .* accuracy at promotion was 99.0 % \(upper bound .* -.*\)\. Look at the newest",
    ):
        job.alarm(check)


def test_without_a_champion_or_new_labels_there_is_nothing_to_check(
    engine: Engine, stored: tuple[str, str], one_thread: None
) -> None:
    corpus = write_corpus(engine, 0, range(1, 301))
    assert job.check_champion(corpus)["reason"] == "no model has been promoted yet"
    register(engine, "m1", corpus, stored)
    with database.writing(engine) as connection:
        promote(connection, "m1")  # on a Monday before the corpus snapshot
    check = job.check_champion(corpus)
    assert (check["rows"], check["alarm"]) == (0, False)
    assert check["reason"] == f"corpus {corpus} holds no label that is new to m1"
    job.alarm(check)
