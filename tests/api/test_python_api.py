"""``import senti_tasks`` in a notebook: models, corpora, trainings and views."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

import senti_tasks
from local import sample
from senti_tasks.jobs import imports
from senti_tasks.training import base_names
from senti_tasks.warehouse import database
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.schema import model_variants
from tests.situations import (
    LENIENT,
    MODEL_LENGTH,
    SAMPLE_ROWS,
    add_model,
    add_reviews,
    annotate,
    deploy,
    on_sqlite,
    scoring_run,
)

HEAVY = ("airflow", "datasets", "numpy", "pandas", "pydantic", "sqlalchemy", "torch", "transformers", "typer")
TEXTS = ["味道不错，还会再来", "再也不买了", "😊", "物流太慢" * MODEL_LENGTH]


def test_the_import_loads_nothing_heavy_and_names_all_that_there_is() -> None:
    program = f"""
import sys, senti_tasks
found = [name for name in {HEAVY} if name in sys.modules] + [name for name in sys.modules if "senti_tasks." in name]
missing = [name for name in senti_tasks.__all__ if name not in dir(senti_tasks)]
senti_tasks.load_model, senti_tasks.read_view, senti_tasks.train
heavy = [name for name in ("airflow", "datasets", "pandas", "torch", "transformers") if name in sys.modules]
print(found, missing, heavy)
"""
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.stderr) == ("[] [] []", "")


def test_a_name_that_is_not_there_is_refused_with_those_that_are(dialect: str) -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'laod_model': it has .*load_model"):
        senti_tasks.laod_model  # noqa: B018
    assert all(getattr(senti_tasks, name).__doc__ for name in senti_tasks.__all__ if name != "__version__")


@on_sqlite
def test_texts_in_labels_probabilities_and_reasons_out(champion: str) -> None:
    model = senti_tasks.load_model()
    assert (model.version, model.variant, model.labels) == (champion, "fp32", ("negative", "positive"))
    found = model.predict([*TEXTS, None, "  ", float("nan"), pd.NA, 5])  # type: ignore[list-item]
    assert list(found.columns) == [
        *("label", "score", "confidence", "p_negative", "p_positive", "truncated", "reason")
    ]  # fmt: skip
    assert set(found["label"][:4]) <= {"negative", "positive"}
    assert found["label"][4:].isna().all()
    assert found["reason"][:4].isna().all()
    assert found["reason"][4:].tolist() == [
        *("there is no text", "the text is blank", "there is no text", "there is no text"),
        "expected a text, found a value of type int",
    ]  # fmt: skip
    assert found["truncated"].tolist() == [False, False, False, True, *[pd.NA] * 5]
    sums = found["p_negative"] + found["p_positive"]
    assert np.allclose(sums[:4], 1)
    assert sums[4:].isna().all()
    assert np.allclose(found["confidence"][:4], found[["p_negative", "p_positive"]][:4].max(axis=1))
    probabilities = model.probabilities([*TEXTS, None])
    assert (probabilities.shape, str(probabilities.dtype)) == ((5, 2), "float32")
    assert np.isnan(probabilities[4]).all()


@on_sqlite
def test_a_frame_keeps_its_index_and_can_be_joined(champion: str) -> None:
    model = senti_tasks.load_model(champion)
    frame = pd.DataFrame({"comment": ["很好", None], "stars": [5, 1]}, index=["a", "b"])
    joined = frame.join(model.predict(frame, text="comment"))
    assert joined.loc["b", "reason"] == "there is no text"
    assert joined.loc["a", "label"] in model.labels
    assert model.predict(frame["comment"]).equals(model.predict(frame, text="comment"))
    empty = model.predict([])
    assert (len(empty), empty.dtypes.equals(model.predict(frame["comment"]).dtypes)) == (0, True)
    assert model.probabilities([]).shape == (0, 2)


@on_sqlite
def test_a_mistake_in_a_call_says_what_to_do(champion: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, frame = senti_tasks.load_model(), pd.DataFrame({"comment": ["很好"]})
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: model.predict("很好"), r"put it into a list, \[text\]"),
        (lambda: model.predict(frame), "text= names the column of the texts; the DataFrame has comment"),
        (lambda: model.predict(frame, text="review"), "no column 'review'; it has comment"),
        (lambda: model.predict(["很好"], text="review"), "leave it out"),
        (lambda: senti_tasks.load_model("2020-01-01-none"), f"the newest are {champion}"),
        (lambda: senti_tasks.load_model(tmp_path / "none"), "holds no model: expected a folder with config.json"),
        (lambda: senti_tasks.load_model(device="cpu"), "set SENTI_DEVICE"),
        (lambda: model.save(tmp_path), "is not an empty folder"),
        (lambda: senti_tasks.read_view("reviews"), "there is no view 'reviews': expected one of calendar"),
        (lambda: senti_tasks.read_view("calendar", columns=["days"]), "no column days; it has day, day_number"),
        (lambda: senti_tasks.read_query("best"), "there is no query 'best': expected one of certain_negatives"),
        (lambda: senti_tasks.read_sql("SELECT no_such_column"), "the warehouse refuses the statement: no such column"),
        (lambda: senti_tasks.load_corpus("none"), "none"),
    ]
    for call, message in calls:
        with pytest.raises(senti_tasks.SentiError, match=message):
            call()
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(senti_tasks.SentiError, match=r"pass pathlib.Path\('mine'\)"):
        senti_tasks.load_model("mine")


@on_sqlite
def test_without_a_champion_it_is_said_how_to_get_one(home: Path) -> None:
    with pytest.raises(senti_tasks.SentiError, match="retrain"):
        senti_tasks.load_model()


@on_sqlite
@pytest.mark.parametrize("architecture", ["bert", "electra", "roberta"])
def test_plain_transformers_gives_the_calibrated_probabilities_of_a_saved_model(
    architecture: str, home: Path, engine: Engine, model_folder: Path, tmp_path: Path, one_thread: None
) -> None:
    folder = model_folder if architecture == "bert" else _like(model_folder, architecture, tmp_path / architecture)
    version = deploy(engine, folder, home)
    with database.writing(engine) as connection:
        connection.execute(sa.update(model_variants).values(temperature=2.5))
    model = senti_tasks.load_model()
    saved = model.save(tmp_path / "saved")

    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    plain, tokenizer = AutoModelForSequenceClassification.from_pretrained(saved), AutoTokenizer.from_pretrained(saved)
    short = [text for text in TEXTS if len(text) < MODEL_LENGTH]
    with torch.inference_mode():
        logits = plain(**tokenizer(short, padding=True, return_tensors="pt")).logits
    found = torch.softmax(logits, dim=1).numpy()
    assert np.abs(found - model.probabilities(short)).max() < 1e-5
    unscaled = senti_tasks.load_model(home / "var/artifacts" / _artifact(engine, version)).probabilities(short)
    assert np.abs(found - unscaled).max() > 1e-3, "the temperature makes a difference"

    again = senti_tasks.load_model(saved)
    assert (again.version, again.labels) == (None, model.labels)
    assert np.abs(again.probabilities(TEXTS) - model.probabilities(TEXTS)).max() < 1e-5
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= {path.name for path in saved.iterdir()}
    with pytest.raises(senti_tasks.SentiError, match="is a folder already: copy it"):
        again.save(tmp_path / "copy")


def _artifact(engine: Engine, version: str) -> str:
    with database.reading(engine) as connection:
        return str(connection.scalar(sa.select(model_variants.c.artifact).filter_by(model_version=version)))


def _like(bert: Path, architecture: str, folder: Path) -> Path:
    """A classifier of another architecture, with the tokenizer of ``bert`` and random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    shape = json.loads((bert / "config.json").read_text("utf-8"))
    kept = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "id2label")
    values = {name: shape[name] for name in (*kept, "label2id", "pad_token_id", "initializer_range")}
    values |= {"max_position_embeddings": MODEL_LENGTH + 4}
    with torch.random.fork_rng():
        torch.manual_seed(2026)
        config = AutoConfig.for_model(architecture, **values)
        model = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(bert).save_pretrained(folder)
    return folder


@on_sqlite
def test_a_corpus_and_a_training(home: Path, engine: Engine, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    monkeypatch.setitem(base_names.SCRATCH, "scratch:tiny", shape)
    imports.import_reviews(sample.write(home / "sample.csv", SAMPLE_ROWS), {})
    corpus = senti_tasks.snapshot_corpus("scratch:tiny")
    parts = {name: corpus.split(name) for name in ("train", "validation", "test")}
    assert {name: len(part) for name, part in parts.items()} == corpus.rows
    assert set(parts["train"]["label_name"]) == set(corpus.labels) == {"negative", "positive"}
    assert not set(parts["train"]["content_hash"]) & set(parts["test"]["content_hash"])
    assert senti_tasks.load_corpus(corpus.name) == corpus
    with pytest.raises(senti_tasks.SentiError, match="a split is one of train, validation, test, found 'dev'"):
        corpus.split("dev")

    epochs: list[int] = []
    trained = senti_tasks.train(
        corpus, "scratch:tiny", epochs=1, gate=LENIENT, report=lambda row: epochs.append(row["epoch"])
    )
    assert (set(epochs), len(trained.history), bool(trained.reasons)) == ({1}, 1, True)
    assert {"candidate", "baseline"} <= set(trained.metrics.columns)
    assert trained.metrics.loc["rows", "candidate"] == corpus.rows["test"]
    assert trained.model.predict(["味道不错"])["label"][0] in corpus.labels
    with pytest.raises(senti_tasks.SentiError, match="retrain"):
        senti_tasks.load_model()  # it was not promoted


def test_views_have_the_same_types_on_both_databases(home: Path, engine: Engine, champion: str) -> None:
    with database.writing(engine) as connection:
        texts = {number: "太差" if number % 3 else "很好" for number in range(1, 41)}
        add_reviews(connection, texts, product="面馆")
        annotate(connection, 1, 1, texts[1])
        add_model(connection, "2026-11-03-other", verdict=None)
    scoring_run(engine)
    listed = senti_tasks.views()
    assert set(listed["view"]) == {file.stem for file in (SQL / "views").glob("*.sql")}
    assert listed["description"].str.len().min() > 20
    for name in listed["view"]:
        frame = senti_tasks.read_view(name, limit=50)
        for column, kind in frame.dtypes.astype(str).items():
            if str(column).endswith("_at") or column == "serving_since":
                assert kind.startswith("datetime64") and kind.endswith("UTC]"), (name, column, kind)
            elif column in ("day", "week_start", "local_day", "first_day", "last_day"):
                assert kind.startswith("datetime64"), (name, column, kind)
            elif column in ("stale", "carried_over", "truncated", "in_service", "changed", "same_text", "agrees"):
                assert kind == "boolean", (name, column, kind)
            elif str(column).endswith(("_share", "score", "confidence", "accuracy")) and frame[column].notna().any():
                assert kind == "float64", (name, column, kind)
    days = senti_tasks.read_view("sentiment_daily", columns=["local_day", "reviews", "negative_share"])
    assert list(days.columns) == ["local_day", "reviews", "negative_share"]
    assert (days["reviews"].sum(), days["local_day"].dt.year.unique().tolist()) == (40, [2026])
    answer = senti_tasks.read_sql(
        "SELECT label_name, COUNT(*) AS reviews FROM sentiment_latest WHERE product = :product GROUP BY label_name",
        product="面馆",
    )
    assert dict(zip(answer["label_name"], answer["reviews"], strict=True)) == {"negative": 27, "positive": 13}
    assert len(senti_tasks.read_query("how_many_reviews_wait")) == 1


def test_no_statement_of_a_notebook_changes_the_warehouse(home: Path, engine: Engine, champion: str) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好"})
    for statement in ("DELETE FROM reviews", "DELETE FROM reviews RETURNING review_id"):
        with pytest.raises(senti_tasks.SentiError, match="the warehouse refuses the statement"):
            senti_tasks.read_sql(statement)
    assert senti_tasks.read_sql("SELECT COUNT(*) AS reviews FROM reviews")["reviews"][0] == 1
