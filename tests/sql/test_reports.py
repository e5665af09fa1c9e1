"""Reports from a warehouse: on a model that was evaluated and judged, and on runs like and unlike those before them."""

import csv
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.artifacts import ArtifactStore
from senti_tasks.errors import ConfigError, HeldRunError, RegistryError, RunStateError
from senti_tasks.jobs import corpora, judging, models, reports, scoring, suspects
from senti_tasks.warehouse import database
from senti_tasks.warehouse.database import fetch_all
from senti_tasks.warehouse.schema import corpora as corpora_table
from senti_tasks.warehouse.schema import review_labels, scoring_runs
from tests.made_up_reviews import made_up_reviews
from tests.situations import (
    LENIENT,
    MONDAY,
    WEDNESDAY,
    add_model,
    add_reviews,
    annotate,
    answer,
    build_model,
    on_postgresql,
    on_sqlite,
    open_planned_run,
    promote,
    rows,
    scoring_run,
)

ATTACK = "<script>alert(1)</script>"


@pytest.fixture
def judged(home: Path, engine: Engine, model_folder: Path, one_thread: None) -> str:
    """The tiny classifier as ``m1``, judged on made-up reviews of one product, and promoted."""
    store = ArtifactStore(str(home / "var/artifacts"), home / "var/work")
    artifact, digest = store.put(model_folder, "models", "tiny")
    with database.writing(engine) as connection:
        for key, one in enumerate(made_up_reviews(300), start=1):
            add_reviews(connection, {key: one.text}, product=ATTACK)
            annotate(connection, key, one.label or 0, one.text)
    corpus = str(corpora.snapshot_corpus(MONDAY.isoformat(), "week 0", "scratch:tiny")["corpus"])
    suspects.rank_suspects(corpus)
    with database.writing(engine) as connection:
        add_model(connection, "m1", artifact=artifact, checksum=digest, verdict=None, corpus=corpus)
    judging.judge(judging.evaluate("m1"), {**LENIENT, "slice_rows": 5})
    models.promote("m1", "演示", "小李")
    return "m1"


def page(report: dict[str, str]) -> str:
    return Path(report["report"]).read_text("utf-8")


def test_a_judged_model_has_a_report_below_the_home_folder(
    judged: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = reports.model_report()
    assert done == {"model": "m1", "report": f"{home}/var/reports/model-m1.html", "errors": None}
    shown, found = page(done), models.show("m1")
    accuracy = next(
        row["value"] for row in found["metrics"] if (row["subject"], row["metric"]) == ("candidate", "accuracy")
    )
    assert f"{100 * accuracy:.1f} %" in shown
    assert "before calibration" in shown
    assert "true positive rate" in shown
    assert ATTACK not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    texts = [row["review_text"] for row in rows_of_corpus(home)]
    assert not [text for text in texts if text in shown], "texts are off by default"
    monkeypatch.setenv("SENTI_REPORT_TEXTS", "true")
    assert [text for text in texts if text in page(reports.model_report("m1", home / "elsewhere" / "m1.html"))]


def test_the_mistakes_of_a_model_are_a_file(judged: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = reports.model_report("m1", errors=home / "errors.csv")
    assert done["errors"] == f"{home}/errors.csv"
    with (home / "errors.csv").open(encoding="utf-8", newline="") as file:
        wrong = list(csv.DictReader(file))
    confusion = [row for row in models.show("m1")["metrics"] if row["metric"] in ("confusion_0_1", "confusion_1_0")]
    assert len(wrong) == sum(row["value"] for row in confusion if row["subject"] == "candidate") > 0
    assert all(row["label"] != row["candidate_label"] and row["product"] == ATTACK for row in wrong)
    confidences = [float(row["candidate_confidence"]) for row in wrong]
    assert confidences == sorted(confidences, reverse=True)
    assert {row["baseline_label"] for row in wrong} <= {"negative", "positive"}
    assert {row["text"] for row in wrong} == {""}
    monkeypatch.setenv("SENTI_REPORT_TEXTS", "true")
    reports.model_report("m1", errors=home / "errors.csv")
    with (home / "errors.csv").open(encoding="utf-8", newline="") as file:
        assert all(row["text"] for row in csv.DictReader(file))


def test_two_models_are_compared_on_the_rows_that_both_were_judged_on(
    judged: str, home: Path, engine: Engine, tmp_path: Path
) -> None:
    store = ArtifactStore(str(home / "var/artifacts"), home / "var/work")
    artifact, digest = store.put(build_model(tmp_path / "other", layers=2), "models", "other")
    with database.writing(engine) as connection:
        corpus = fetch_all(connection, sa.select(corpora_table).order_by(corpora_table.c.created_at))[-1]["corpus"]
        add_model(connection, "m2", artifact=artifact, checksum=digest, verdict=None, corpus=corpus)
    with pytest.raises(RegistryError, match="m2 has no evaluation in the artifact store"):
        reports.compare_report("m1", "m2")
    judging.judge(judging.evaluate("m2"), LENIENT)
    done = reports.compare_report("m1", "m2")
    test_rows = len(rows_of_corpus(home))
    assert (done["models"], done["rows"]) == (["m1", "m2"], test_rows)
    shown = page(done)
    assert f"on {test_rows} reviews that neither was trained on" in shown
    assert "only the second is" in shown
    with pytest.raises(RegistryError, match="m9"):
        reports.compare_report("m1", "m9")


def rows_of_corpus(home: Path) -> list[dict[str, str]]:
    import pyarrow.parquet as pq

    (path,) = (home / "var/artifacts/corpora").glob("*/test.parquet")
    return [{"review_text": text} for text in pq.read_table(path).column("text").to_pylist()]


@on_sqlite
def test_an_evaluation_that_was_changed_or_deleted_is_not_drawn(judged: str, home: Path) -> None:
    (path,) = (home / "var/artifacts/evaluations").glob("m1-*/test.parquet")
    path.write_bytes(path.read_bytes() + b"0")
    assert "no longer in the artifact store" in page(reports.model_report())
    ArtifactStore(str(home / "var/artifacts"), home / "var/work").remove(f"evaluations/{path.parent.name}")
    assert "no longer in the artifact store" in page(reports.model_report())


def test_a_model_without_a_verdict_has_a_report_too(home: Path, engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_model(connection, "m1", verdict=None)
    assert "has not been judged yet" in page(reports.model_report("m1"))


def test_an_empty_warehouse_has_nothing_to_report(home: Path) -> None:
    with pytest.raises(RegistryError, match=r"no model was trained yet.*senti retrain"):
        reports.model_report()
    with pytest.raises(RegistryError, match="there is no model 'm7'"):
        reports.model_report("m7")
    with pytest.raises(RunStateError, match=r"no run was published or held yet.*senti score"):
        reports.run_report()
    with pytest.raises(RunStateError, match="there is no scoring run 7"):
        reports.run_report(7)
    assert not (home / "var/reports").exists()


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(home: Path, engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_model(connection, "m1")
    (home / "file").write_text("x")
    with pytest.raises(ConfigError, match=r"cannot be written to .*file/m1.html.*--output"):
        reports.model_report("m1", home / "file" / "m1.html")


@pytest.fixture
def usual(home: Path, engine: Engine) -> Engine:
    """Eight published runs of 40 reviews of two products, half of them negative."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
    for number in range(8):
        add_run(engine, number, negative=20)
        scoring_run(engine, f"run {number}")
    return engine


def add_run(engine: Engine, number: int, *, negative: int) -> None:
    with database.writing(engine) as connection:
        for product, first in (("电饭煲", 0), (ATTACK, 20)):
            keys = range(1_000 * (number + 1) + first, 1_000 * (number + 1) + first + 20)
            texts = {key: f"太差{key}" if key % 20 < negative / 2 else f"很好{key}" for key in keys}
            add_reviews(connection, texts, product=product, now=WEDNESDAY)


def test_the_newest_run_is_compared_with_those_before_it(usual: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_PRICE_PER_HOUR", "36")
    with database.writing(usual) as connection:
        connection.execute(sa.update(scoring_runs).values(seconds=10.0))
    done = reports.run_report()
    newest = rows(usual, scoring_runs, order_by="run_id")[-1]
    shown = page(done)
    assert done["run_id"] == newest["run_id"]
    assert "40 of 40 reviews have their label" in shown
    assert "share of negative: this run, and the band of what is usual" in shown
    assert "Compared with the last 7 runs" in shown
    assert "A million labels cost 2,500 " in shown
    assert "No product with enough labels" in shown


def test_a_held_run_says_why_it_waits_and_which_products_moved(usual: Engine) -> None:
    add_run(usual, 50, negative=40)
    with database.writing(usual) as connection:
        run = open_planned_run(connection, "unusual")
        answer(connection, run)
    with pytest.raises(HeldRunError):
        scoring.audit(run, None, None)
    shown = page(reports.run_report())
    assert "A person must decide: 40 labels wait" in shown
    assert "shares_are_as_usual: " in shown
    assert f"senti score --run {run} --publish-anyway REASON" in shown
    moved = shown[shown.index("Products that moved") : shown.index("What could not be labelled")]
    assert "电饭煲" in moved
    assert "&lt;script&gt;" in moved
    assert ATTACK not in shown
    assert "100.0 %" in moved


def test_a_report_changes_nothing_in_the_warehouse(usual: Engine) -> None:
    before = rows(usual, scoring_runs, order_by="run_id"), rows(usual, review_labels, order_by="review_id")
    reports.run_report()
    reports.model_report()
    assert (rows(usual, scoring_runs, order_by="run_id"), rows(usual, review_labels, order_by="review_id")) == before


@on_postgresql
def test_the_role_of_the_pipeline_may_write_reports(
    people: dict[str, str], owned_url: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = database.connect(owned_url)
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {1: "很好", 2: "太差"})
    scoring_run(engine)
    engine.dispose()
    monkeypatch.setenv("SENTI_DATABASE_URL", people["pipeline"])
    assert "2 of 2 reviews have their label" in page(reports.run_report())
    assert "passed every rule" in page(reports.model_report())
