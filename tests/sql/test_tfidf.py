"""``--base-model tfidf``: a model like any other, from its corpus to labels in the warehouse, and to an erasure."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from senti_tasks.artifacts import folder_digest
from senti_tasks.errors import BaseModelError, ConfigError
from senti_tasks.jobs import corpora, judging, models, pretraining, reports, scoring, training, variants
from senti_tasks.jobs.operations import erasure
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import registry
from senti_tasks.warehouse.schema import review_labels
from tests.faults.scored_runs import score_run
from tests.made_up_reviews import made_up_reviews
from tests.situations import LENIENT, MONDAY, add_reviews, annotate, on_sqlite, promote, rows


@pytest.fixture
def corpus(home: Path, engine: Engine) -> str:
    """300 labelled reviews in a snapshot; and 20 that nobody labelled."""
    arrived = made_up_reviews(320)
    with database.writing(engine) as connection:
        add_reviews(connection, {key: one.text for key, one in enumerate(arrived, start=1)})
        for key, one in enumerate(arrived[:300], start=1):
            annotate(connection, key, one.label or 0, one.text)
    return str(corpora.snapshot_corpus(MONDAY.isoformat(), "weekly", "tfidf")["corpus"])


def test_it_is_trained_judged_promoted_and_scores(
    corpus: str, home: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_VARIANT", "int8")
    version = training.train(corpus, "weekly", "tfidf")["model"]
    assert training.train(corpus, "weekly", "tfidf")["model"] == version
    assert variants.build_variants(version) == {
        "model": version, "variant": "fp32", "reasons": ["fp32 proven: the model as it was trained"],
    }  # fmt: skip
    judgement = judging.judge(judging.evaluate(version), LENIENT)
    if not judgement["promote"]:  # the made-up corpus has few test rows
        assert all("accuracy" not in reason for reason in judgement["reasons"])
    found = models.show(version)
    with_baseline = [rule for rule in found["gate"] if (rule["rule"], rule["reference"]) == ("accuracy", "baseline")]
    assert [rule["figure"] for rule in with_baseline] == [0.0], "the baseline is the same classifier, fitted again"
    assert "equals the baseline's" in with_baseline[0]["reason"]
    (fp32,) = found["variants"]
    assert fp32["library"].startswith("scikit-learn ")
    assert fp32["temperature"] != 1.0
    with database.writing(engine) as connection:
        promote(connection, version, kind="person")
    run = score_run("run", MONDAY)
    assert scoring.publish(run)["labelled"] == 320
    labels = {row["review_id"]: row["label"] for row in rows(engine, review_labels)}
    truth = {key: one.label for key, one in enumerate(made_up_reviews(320), start=1)}
    assert sum(labels[key] == truth[key] for key in range(301, 321)) >= 18
    assert scoring.predict(["房间很干净，前台热情周到。"])[0]["label"] == 1
    page = reports.model_html(version)
    assert ("inverse regularisation" in page.lower(), "--base-model tfidf" in page, "--max-ngrams" in page) == (
        True,
        True,
        False,
    )


@on_sqlite
def test_its_folder_is_like_any_other_and_the_same_each_time(corpus: str, home: Path, engine: Engine) -> None:
    versions = [training.train(corpus, key, "tfidf")["model"] for key in ("one", "two")]
    with database.reading(engine) as connection:
        one, two = (registry.model(connection, version) for version in versions)
    folder = home / "var/artifacts" / one["artifact"]
    assert one["digest"] == two["digest"] == folder_digest(folder)
    assert one["training"]["weights_digest"] == two["training"]["weights_digest"]
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "config.json", "model.safetensors", "text_profile.safetensors", "vocabulary.json",
    }  # fmt: skip
    assert "n-grams" in (folder / "README.md").read_text("utf-8")
    assert one["config"] == {
        "min_texts": 2, "max_ngrams": 1_000_000, "inverse_regularisation": 10.0, "max_iterations": 1000,
    }  # fmt: skip
    assert "max_length" not in models.show(versions[0])["corpus_summary"]["tokens"]


@on_sqlite
def test_its_vocabulary_is_bounded(corpus: str, home: Path, engine: Engine) -> None:
    version = training.train(corpus, "small", "tfidf", {"max_ngrams": 50})["model"]
    with database.reading(engine) as connection:
        folder = home / "var/artifacts" / registry.model(connection, version)["artifact"]
    assert len(json.loads((folder / "vocabulary.json").read_text("utf-8"))["ngrams"]) == 50


@on_sqlite
def test_options_of_a_bert_are_refused(corpus: str) -> None:
    with pytest.raises(ConfigError, match="TfidfConfig has no field epochs"):
        training.train(corpus, "weekly", "tfidf", {"epochs": 3, "seed": None})
    with pytest.raises(ConfigError, match="TfidfConfig has no field epochs"):
        corpora.snapshot_corpus(MONDAY.isoformat(), "another", "tfidf", {"epochs": 3})


@on_sqlite
def test_there_is_nothing_to_pretrain(home: Path) -> None:
    with pytest.raises(BaseModelError, match="has no encoder that could be pretrained"):
        pretraining.snapshot_texts(MONDAY.isoformat(), "monthly", "tfidf")


@on_sqlite
def test_an_erasure_names_it_as_any_model_that_learnt_from_the_review(corpus: str) -> None:
    version = training.train(corpus, "weekly", "tfidf")["model"]
    assert version in json.dumps(erasure.erase(["1"], reason="演示", actor="小李"), default=str)
