"""A run of scoring through the jobs: each text once, and one bad review stops nothing."""

from typing import Any

import pytest
import sqlalchemy as sa
import torch
from sqlalchemy import Engine

from senti_tasks.errors import DeviceGoneError
from senti_tasks.jobs import scoring
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.scoring import loading
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import review_labels, scoring_errors, scoring_runs
from senti_tasks.warehouse.scoring import shards
from tests.situations import (
    PHRASES,
    TUESDAY,
    add_model,
    add_reviews,
    count,
    edit,
    on_postgresql,
    on_sqlite,
    rows,
    scoring_run,
)

DUE = "2026-11-04T02:00:00+08:00"
GOOD = {key: "".join(PHRASES[key * step % 12] for step in range(1, 4)) + str(key) for key in range(1, 1_001)}
POISON = {  # what a database can hold: PostgreSQL takes no NUL, and neither takes half of a surrogate pair
    "blank": "",
    "white space": " \u3000\n\t",
    "zero width": "\u200b\ufeff",
    "a megabyte": "差评" * 175_000,
    "emoji": "😡👍🏽👨‍👩‍👧‍👦🇨🇳",
    "unknown": "𠀀" * 10_000,
    "right to left": "\u202e很好\u202c\u200f",
    "special tokens": "[CLS]很好[SEP][MASK]",
}
WITHOUT_A_LABEL = {"blank", "white space", "zero width"}
TOO_LONG = {"a megabyte", "unknown"}


def run_a_run(idempotency_key: str, scope: str = "new") -> dict[str, Any]:
    (run,) = scoring.open_series(idempotency_key, DUE, scope)
    for shard in scoring.plan(run):
        scoring.score_shard(run, shard)
    scoring.audit(run)
    return scoring.publish(run)


def test_bad_reviews_get_a_reason_or_a_label_and_the_others_are_labelled(engine: Engine, champion: str) -> None:
    keys = {name: 2_000 + position for position, name in enumerate(POISON)}
    with database.writing(engine) as connection:
        add_reviews(connection, {**GOOD, **{keys[name]: text for name, text in POISON.items()}})
    published = run_a_run("run")
    assert published["failed"] == len(WITHOUT_A_LABEL)
    assert published["labelled"] == len(GOOD) + len(POISON) - len(WITHOUT_A_LABEL)
    assert published["truncated"] == len(TOO_LONG)
    labelled = {row["review_id"]: row for row in rows(engine, review_labels)}
    assert set(GOOD) <= set(labelled)
    assert {name for name, key in keys.items() if key not in labelled} == WITHOUT_A_LABEL
    assert {name for name, key in keys.items() if key in labelled and labelled[key]["truncated"]} == TOO_LONG
    reasons = {row["review_id"]: row["reason"] for row in rows(engine, scoring_errors)}
    assert reasons == {keys[name]: "the text is blank" for name in WITHOUT_A_LABEL}


def test_what_cannot_be_scored_is_tried_again_when_its_text_changes(engine: Engine, champion: str) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "", 2: "味道不错"})
    assert run_a_run("first")["failed"] == 1
    assert run_a_run("second")["planned"] == 0
    with database.writing(engine) as connection:
        edit(connection, 1, "再也不买了")
    assert run_a_run("third")["labelled"] == 1


@on_sqlite
def test_a_text_that_sqlite_holds_with_a_nul_in_it_is_an_error(engine: Engine, champion: str) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很\0好", 2: "味道不错"})
    assert run_a_run("run")["failed"] == 1
    assert "NUL" in rows(engine, scoring_errors)[0]["reason"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU of this machine is not gone")
def test_the_cpu_scores_after_as_many_tries_without_the_gpu_as_the_settings_say(
    engine: Engine, champion: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "味道不错"})
    monkeypatch.setenv("SENTI_DEVICE", "cuda")
    runs = scoring.open_series("night", DUE)
    with pytest.raises(DeviceGoneError, match="SENTI_CPU_AFTER_TRIES"):
        scoring.complete_series(runs, attempt=4)  # by default the CPU never does
    monkeypatch.setenv("SENTI_CPU_AFTER_TRIES", "2")
    for attempt in (1, 2):
        with pytest.raises(DeviceGoneError):
            scoring.complete_series(runs, attempt=attempt)
    assert scoring.complete_series(runs, attempt=3)["answered"] == 1
    assert "attempt 3: the GPU is gone, so the CPU scores" in caplog.text
    assert count(engine, review_labels) == 1


# Each text once


def answers(engine: Engine, digests: list[str], variant: str = "fp32") -> dict[str, dict[str, Any]]:
    with database.reading(engine) as connection:
        return shards.known_labels(connection, "m1", variant, digests)


def test_what_the_model_said_of_a_text_is_found_by_its_digest(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        add_model(connection, "m2")
        add_reviews(connection, {1: "好评", 2: "好评", 3: "房间太差"})
    scoring_run(engine, "a", model="m1")
    scoring_run(engine, "b", model="m2")
    first, _, third = (row["text_hash"] for row in rows(engine, review_labels, order_by="review_id")[::2])
    found = answers(engine, [first, third, "f" * 32])
    assert found == {
        first: {"label": 1, "score": 0.9, "confidence": 0.9, "truncated": False},
        third: {"label": 0, "score": 0.2, "confidence": 0.8, "truncated": False},
    }
    assert answers(engine, [first], variant="int8") == {}
    assert answers(engine, []) == {}


@on_postgresql
def test_a_text_that_many_reviews_share_costs_one_probe_of_an_index(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        add_reviews(connection, dict.fromkeys(range(1_000), "好评"))
    scoring_run(engine, "a", model="m1")
    digest = rows(engine, review_labels)[0]["text_hash"]
    with database.writing(engine) as connection:
        connection.exec_driver_sql("ANALYZE review_labels")
    with database.reading(engine) as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        before = _rows_read(connection)
        assert len(shards.known_labels(connection, "m1", "fp32", [digest])) == 1
        assert _rows_read(connection) - before < 50


def _rows_read(connection: Any) -> int:
    """Rows that this session's scans of label tables returned so far; counted by PostgreSQL itself."""
    found = connection.exec_driver_sql(
        "SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_fetched(oid)), 0) "
        "FROM pg_class WHERE starts_with(relname, 'review_labels') OR starts_with(relname, 'ix_review_labels')"
    )
    return int(found.scalar_one())


def test_a_text_scored_before_gets_the_answer_that_was_published(engine: Engine, champion: str) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "好评", 2: "物流慢得离谱"})
    run_a_run("first")
    told_apart = sa.update(review_labels).where(review_labels.c.review_id == 1).values(score=0.123)
    with database.writing(engine) as connection:
        connection.execute(told_apart)  # a score that the model would not give
        add_reviews(connection, {3: "好评", 4: "物流慢得离谱", 5: "值得推荐"}, now=TUESDAY)
    assert run_a_run("second")["labelled"] == 3
    labels = {row["review_id"]: (row["label"], row["score"]) for row in rows(engine, review_labels)}
    assert labels[3] == labels[1]
    assert labels[3][1] == 0.123
    assert labels[4] == labels[2]


def test_scoring_everything_again_asks_the_model_again(engine: Engine, champion: str) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "好评", 2: "好评"})
    run_a_run("first")
    before = rows(engine, review_labels, order_by="review_id")
    assert run_a_run("again", "all")["labelled"] == 2
    after = rows(engine, review_labels, order_by="review_id")
    assert [row["run_id"] for row in after] != [row["run_id"] for row in before]
    assert [row["label"] for row in after] == [row["label"] for row in before]


def test_chunks_are_staged_one_by_one_and_cover_the_shard(
    engine: Engine, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading.scorer_of(load_context(), champion), "chunk_rows", 7)
    with database.writing(engine) as connection:
        add_reviews(connection, {key: GOOD[key] for key in range(1, 31)})
    (run,) = scoring.open_series("run", DUE)
    (shard,) = scoring.plan(run, 1)
    seen: list[int] = []
    assert scoring.score_shard(run, shard, progress=seen.append)["answered"] == 30
    assert seen == [7, 7, 7, 7, 2]
    scoring.audit(run)
    assert scoring.publish(run)["labelled"] == 30
    assert rows(engine, scoring_runs)[0]["failed"] == 0
