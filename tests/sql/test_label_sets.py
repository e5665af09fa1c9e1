"""Three labels from a file to the analysts' views, and what those views make of labels by any name."""

import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks import labels
from senti_tasks.errors import RegistryError
from senti_tasks.jobs import corpora, imports, judging, models, scoring, training, variants
from senti_tasks.jobs.operations import upkeep
from senti_tasks.labels import LabelSet
from senti_tasks.training import base_names
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import registry
from senti_tasks.warehouse.schema import model_labels, model_metrics
from tests.situations import add_model, add_reviews, promote, rows, scoring_run

THREE = LabelSet(("negative", "neutral", "positive"))
SAID = {
    "差评": ("太脏了", "非常失望", "味道很差", "态度恶劣", "不值这个价"),
    "中评": ("还算可以", "中规中矩", "一般般吧", "没有惊喜", "勉强接受"),
    "好评": ("很干净", "非常满意", "味道很好", "热情周到", "物超所值"),
}
THINGS = ("房间", "早餐", "前台", "位置", "电池", "屏幕", "外卖", "包装", "情节", "印刷")
SHAPE = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


def reviews_of_three_kinds(rows_of_each: int) -> str:
    """A CSV file's content: reviews that say what they mean, each text once."""
    draw = random.Random(7)  # noqa: S311
    lines: dict[str, str] = {}
    while len(lines) < rows_of_each * len(SAID):
        said = list(SAID)[len(lines) % len(SAID)]
        (one, other), (first, second) = draw.sample(THINGS, 2), draw.sample(SAID[said], 2)
        lines[f"{one}{first}，{other}{second}"] = said
    return "review,label,product\n" + "".join(
        f"{text},{said},{'酒店' if number % 2 else '书店'}\n" for number, (text, said) in enumerate(lines.items())
    )


@pytest.fixture
def three(empty_url: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Engine:
    """A warehouse of three labels with 240 labelled reviews, and a base model that is trained in seconds."""
    monkeypatch.setenv("SENTI_DATABASE_URL", empty_url)
    monkeypatch.setenv("SENTI_LABELS", str(THREE))
    monkeypatch.setenv("SENTI_VARIANT", "fp32")
    monkeypatch.setenv("SENTI_BASE_MODEL", "scratch:tiny")
    monkeypatch.setitem(base_names.SCRATCH, "scratch:tiny", SHAPE)
    upkeep.migrate()
    (bare_home / "reviews.csv").write_text(reviews_of_three_kinds(80), "utf-8")
    found = imports.import_reviews(bare_home / "reviews.csv", {})
    assert (found["imported"], found["labelled"], found["refused"]) == (240, 240, 0)
    return database.connect(empty_url)


def test_three_labels_go_all_the_way(three: Engine, bare_home: Path) -> None:
    snapshot = corpora.snapshot_corpus(datetime.now(UTC).isoformat(), "week")
    # Random weights need a fast pace to learn anything in two seconds.
    recipe = {"epochs": 12, "max_length": 32, "learning_rate": 5e-3}
    model = training.train(snapshot["corpus"], "week", config=recipe)["model"]
    variants.build_variants(model)
    assert judging.judge(judging.evaluate(model))["reasons"]
    models.promote(model, "演示", actor="小李")  # too few test rows for the gate
    with database.reading(three) as connection:
        assert registry.label_names(connection, model) == THREE.names
    figures = {
        row["metric"]: row["value"] for row in rows(three, model_metrics) if row["subject"] in ("candidate", "baseline")
    }
    assert {"confusion_2_1", "macro_f1", "brier"} <= figures.keys()
    assert "roc_auc" not in figures
    (card,) = (bare_home / "var/artifacts/models").glob("*/README.md")
    assert "Labels: 0 negative, 1 neutral, 2 positive." in card.read_text("utf-8")

    (run,) = scoring.open_series("run", datetime.now(UTC).isoformat())
    scoring.plan(run, 1)
    scoring.score_shard(run, 0)
    scoring.audit(run)
    assert scoring.publish(run)["labelled"] == 240
    shown = rows(three, "sentiment_latest")
    assert {row["label"]: row["label_name"] for row in shown} == THREE.names
    assert all(0 <= row["score"] <= 1 for row in shown)
    answers = scoring.predict(["味道很差，态度恶劣", "一般般吧，中规中矩", "非常满意，物超所值"])
    assert [answer["label_name"] for answer in answers] == list(THREE.ordered)
    assert answers[0]["score"] < answers[1]["score"] < answers[2]["score"]
    counts = Counter((row["product"], row["label"]) for row in shown)
    for row in rows(three, "sentiment_by_product"):
        negative, neutral, positive = (counts[row["product"], label] for label in range(3))
        assert (row["negative"], row["positive"]) == (negative, positive)
        assert row["reviews"] == negative + neutral + positive
        assert row["negative_share"] == pytest.approx(negative / row["reviews"])
    (day,) = rows(three, "sentiment_daily")
    totals = Counter(row["label"] for row in shown)
    assert (day["reviews"], day["negative"], day["positive"]) == (240, totals[0], totals[2])
    (scores,) = models.scorecards()
    assert (scores["test_rows"], scores["roc_auc"]) == (figures["rows"], None)

    with database.writing(three) as connection:
        connection.execute(sa.update(model_labels).where(model_labels.c.label == 1).values(label_name="mixed"))
    with pytest.raises(RegistryError, match=f"{model} gives the labels negative, mixed, positive, and the corpus has"):
        judging.evaluate(model)


@pytest.mark.parametrize("label_set", [labels.DEFAULT, THREE, LabelSet(("差", "好")), LabelSet(("1", "2", "3"))])
def test_negative_is_the_lowest_label_and_positive_the_highest_whatever_they_are_called(
    label_set: LabelSet, engine: Engine
) -> None:
    """The runs of these tests give 0 and 1: of three labels, 1 is in between."""
    with database.writing(engine) as connection:
        add_model(connection, "m1", label_set=label_set)
        promote(connection, "m1")
        add_reviews(connection, {1: "很好", 2: "太差", 3: "满意"}, product="面馆")
    scoring_run(engine)
    positive = 2 if len(label_set.ordered) == 2 else 0
    for view in ("sentiment_daily", "sentiment_by_product"):
        (row,) = rows(engine, view)
        assert (row["reviews"], row["negative"], row["positive"]) == (3, 1, positive)
        assert row["negative_share"] == pytest.approx(1 / 3)
    (service,) = rows(engine, "model_in_service")
    assert service["highest_label"] == len(label_set.ordered) - 1
