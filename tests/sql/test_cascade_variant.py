"""The variant ``cascade`` of a model: built, certified, chosen, judged, shown, and scored with."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from senti_tasks import cli
from senti_tasks.artifacts import ArtifactStore
from senti_tasks.corpus import snapshot
from senti_tasks.jobs import judging, models, reports, scoring, variants
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.corpora import corpus_folder
from senti_tasks.training import cascades as made
from senti_tasks.training import tfidf
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import model_variants, review_labels, scoring_runs
from tests.cascades import FEW, GENERATED, build_teacher, candidate_with_reviews
from tests.faults.scored_runs import score_run
from tests.situations import LENIENT, WEDNESDAY, add_reviews, on_sqlite, promote, rows


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.fixture
def candidate(home: Path, engine: Engine, teacher: Path, one_thread: None) -> str:
    return candidate_with_reviews(engine, home, teacher)


def found(engine: Engine) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in rows(engine, model_variants)}


def test_a_cascade_is_certified_and_scores(candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_VARIANT", "cascade")
    answer = variants.build_variants(candidate, FEW)
    assert answer["variant"] == "cascade"
    built = found(engine)
    cascade = built["cascade"]
    assert (cascade["verdict"], cascade["serves"], cascade["temperature"] > 0) == ("proven", True, True)
    assert cascade["reviews_compared"] == FEW["agreement_rows"]
    assert cascade["disagreement_bound"] <= cascade["disagreement_limit"] == FEW["max_disagreement"]
    assert cascade["labels_differing"] < cascade["disagreement_bound"] * cascade["reviews_compared"]
    assert 0 < cascade["escalated_share"] < 0.9
    assert cascade["reviews_per_second"] > 0
    assert cascade["library"].startswith("scikit-learn")
    student, last = cascade["stages"]
    assert (student["model"], student["folder"], last["folder"], last["thresholds"]) == (
        "tfidf", "student", "teacher", None,
    )  # fmt: skip
    assert last["variant"] in built
    assert last["temperature"] == built[last["variant"]]["temperature"]
    assert {row["metric"] for row in models.show(candidate)["metrics"] if row["subject"] == "cascade"} == {
        f"{name}_{when}" for name in ("ece", "nll", "brier") for when in ("before", "after")
    }
    with database.writing(engine) as connection:
        promote(connection, candidate)
    run = score_run("run", WEDNESDAY)
    assert scoring.publish(run)["labelled"] == GENERATED
    assert {row["variant"] for row in rows(engine, review_labels)} == {"cascade"}
    assert rows(engine, scoring_runs)[0]["variant"] == "cascade"
    assert scoring.predict(["房间很干净，前台热情周到。"])[0]["model"] == candidate


@on_sqlite
def test_its_folder_has_both_models_and_one_digest(
    candidate: str, home: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_VARIANT", "cascade")
    variants.build_variants(candidate, FEW)
    cascade = found(engine)["cascade"]
    folder = ArtifactStore(str(home / "var/artifacts"), home).fetch(cascade["artifact"], cascade["digest"])
    assert {path.name for path in folder.iterdir()} == {"cascade.json", "student", "teacher"}
    assert (folder / "student/vocabulary.json").is_file()
    assert (folder / "teacher/tokenizer.json").is_file()
    assert json.loads((folder / "cascade.json").read_text("utf-8"))["stages"] == cascade["stages"]


@on_sqlite
def test_the_gate_judges_the_cascade_and_people_see_its_figures(
    candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_VARIANT", "cascade")
    variants.build_variants(candidate, FEW)
    evaluated = judging.evaluate(candidate)
    assert evaluated["variant"] == found(engine)["cascade"]["digest"]
    judging.judge(evaluated, LENIENT)
    shown = CliRunner().invoke(cli.app, ["models", "show", candidate], env={"COLUMNS": "400"}).output
    page = reports.model_html(candidate)
    for text in (shown.lower(), page.lower()):
        assert "escalated" in text
        assert "tf-idf answers" in " ".join(text.split())
    assert variants.build_variants(candidate, FEW)["variant"] == "cascade", "a judged model keeps its variant"


@on_sqlite
def test_auto_takes_the_fastest_certified_variant(
    candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = variants.build_variants(candidate, FEW)
    built = found(engine)
    proven = [row for row in built.values() if row["verdict"] == "proven"]
    assert "cascade" in built
    assert answer["variant"] == max(proven, key=lambda row: row["reviews_per_second"] or 0)["variant"]
    assert sum(row["serves"] for row in built.values()) == 1


@on_sqlite
def test_the_student_learns_from_no_text_that_judges_a_model(
    candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of the validation and test splits are among the reviews, and so are near-duplicates of them."""
    taught: list[str] = []
    real = made.fit_student

    def seen(texts: list[str], *others: Any) -> Any:
        taught.extend(texts)
        return real(texts, *others)

    data = snapshot.load(corpus_folder(load_context(), "2026-11-01-demo"))
    judges = [text for split in ("validation", "test") for text in data[split]["text"]]
    with database.writing(engine) as connection:
        copies = [*judges, *(text + "呀" for text in judges if len(text) > 30)]
        add_reviews(connection, dict(enumerate(copies, start=10**6)))
    monkeypatch.setattr(made, "fit_student", seen)
    monkeypatch.setenv("SENTI_VARIANT", "cascade")
    variants.build_variants(candidate, FEW)
    assert len(taught) > 300
    assert not set(taught) & set(copies)


@on_sqlite
def test_without_reviews_to_choose_thresholds_on_there_is_no_cascade(
    candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_VARIANT", "cascade")
    answer = variants.build_variants(candidate, FEW | {"agreement_rows": GENERATED})
    cascade = found(engine)["cascade"]
    assert (cascade["verdict"], answer["variant"] != "cascade") == ("refused", True)
    assert "its thresholds are chosen on unlabelled reviews beside those of the comparison" in cascade["reason"]


@on_sqlite
def test_a_cascade_that_cannot_keep_the_limit_is_refused(
    candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A student that learns labels at random."""
    real = tfidf.fit

    def shuffled(texts: list[str], labels: list[int], *others: Any) -> Any:
        return real(texts, random.Random(1).sample(labels, len(labels)), *others)  # noqa: S311

    monkeypatch.setattr(tfidf, "fit", shuffled)
    monkeypatch.setenv("SENTI_VARIANT", "cascade")
    answer = variants.build_variants(candidate, FEW)
    cascade = found(engine)["cascade"]
    if cascade["verdict"] == "proven":  # it answers next to nothing
        assert cascade["escalated_share"] > 0.9
    else:
        assert (cascade["digest"], answer["variant"] != "cascade") == (None, True)
        assert "limit" in cascade["reason"]
    assert np.isclose(cascade["disagreement_limit"], FEW["max_disagreement"])
