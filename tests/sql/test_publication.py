"""Staged labels become what analysts see: audited, all at once, exactly once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import monotonic, sleep
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import AuditError, FrozenError, RunStateError
from senti_tasks.warehouse import database, partitions, schema
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.schema import (
    erased_reviews,
    model_variants,
    review_label_history,
    review_labels,
    run_items,
    run_shards,
    scoring_errors,
    scoring_runs,
    staged_labels,
)
from senti_tasks.warehouse.scoring import pending, publication, publication_lock, runs, series, shards
from tests.situations import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    add_model,
    add_reviews,
    answer,
    count,
    delete,
    edit,
    judged,
    on_postgresql,
    open_planned_run,
    promote,
    rows,
    scoring_run,
)

TEXTS = {1: "很好", 2: "太差", 3: "一般"}


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """Three reviews and a model in service."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, TEXTS)
    return engine


def answered(engine: Engine, idempotency_key: str = "run", *, scope: str = "new") -> int:
    """A run whose labels are staged and accepted."""
    with database.writing(engine) as connection:
        run = open_planned_run(connection, idempotency_key, scope=scope)
        answer(connection, run)
    return run


def audit(engine: Engine, run: int) -> dict[str, Any]:
    with database.writing(engine) as connection:
        return publication.audit(connection, run)


def publish(engine: Engine, run: int) -> dict[str, Any]:
    with database.writing(engine) as connection:
        return publication.publish(connection, run, now=WEDNESDAY)


def audited(engine: Engine, idempotency_key: str = "run", *, scope: str = "new") -> int:
    run = answered(engine, idempotency_key, scope=scope)
    audit(engine, run)
    return run


def count_pending(engine: Engine, model: str = "m1") -> int:
    with database.reading(engine) as connection:
        return pending.count(connection, model)


def labels(engine: Engine) -> dict[int, int]:
    return {row["review_id"]: row["label"] for row in rows(engine, review_labels)}


# Auditing

STAGED = {"text_hash": "0" * 32, "truncated": False, "local_day": MONDAY.date(), "scored_at": MONDAY, "attempt": 1}
LABEL = {"label": 1, "score": 0.9, "confidence": 0.9}
OFFENCES: dict[str, tuple[sa.Executable, str]] = {
    "every_answer_was_planned": (
        sa.insert(staged_labels).values(run_id=1, shard=0, review_id=99, **STAGED, **LABEL),
        "'review_id': 99",
    ),
    "every_item_is_answered": (sa.delete(staged_labels).where(staged_labels.c.review_id == 2), "'review_id': 2"),
    "every_shard_is_accepted": (sa.update(run_shards).values(accepted_attempt=None), "'shard': 0"),
    "labels_are_of_the_set": (
        sa.update(staged_labels).where(staged_labels.c.review_id == 2).values(label=7),
        "'review_id': 2, 'label': 7",
    ),
    "no_review_is_answered_twice": (
        sa.insert(staged_labels).values(run_id=1, shard=0, review_id=3, **STAGED, **LABEL),
        "'review_id': 3, 'answers': 2",
    ),
    "the_model_is_known": (
        sa.update(model_variants).values(verdict="refused", serves=False, digest=None),
        "'variant': 'fp32'",
    ),
    "scores_are_probabilities": (
        sa.update(staged_labels).where(staged_labels.c.review_id == 1).values(score=1.5),
        "'review_id': 1, 'score': 1.5",
    ),
}


def test_every_check_has_an_offence_here() -> None:
    assert {path.stem for path in (SQL / "checks").glob("*.sql")} == set(OFFENCES)


@pytest.mark.parametrize("check", OFFENCES)
def test_a_check_names_its_offenders_and_nothing_is_published(check: str, shop: Engine) -> None:
    run = answered(shop)
    offence, offender = OFFENCES[check]
    with database.writing(shop) as connection:
        connection.execute(offence)
    with pytest.raises(AuditError) as error:
        audit(shop, run)
    assert f"run {run} was not published, and yesterday's labels stand: " in str(error.value)
    assert f"{check}: " in str(error.value)
    assert offender in str(error.value)
    with pytest.raises(RunStateError, match=f"run {run} is planned, and only an audited run can be published"):
        publish(shop, run)
    assert count(shop, review_labels) == 0
    assert count(shop, staged_labels) >= 2


@pytest.mark.parametrize("column", ["score", "confidence"])
@pytest.mark.parametrize("value", [float("nan"), -0.1])
def test_what_is_no_probability_is_caught(column: str, value: float, shop: Engine) -> None:
    run = answered(shop)
    with database.writing(shop) as connection:
        connection.execute(sa.update(staged_labels).where(staged_labels.c.review_id == 1).values({column: value}))
    with pytest.raises(AuditError, match=r"scores_are_probabilities"):
        audit(shop, run)


def test_many_offenders_are_cut_short(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, dict.fromkeys(range(10, 30), "很好"))
    run = answered(shop)
    with database.writing(shop) as connection:
        connection.execute(sa.update(staged_labels).values(label=7))
    with pytest.raises(AuditError, match=r"labels_are_of_the_set: (\{[^}]*\}; ){4}\{[^}]*\}, and more"):
        audit(shop, run)


def test_an_audit_of_ten_thousand_labels_takes_no_time_worth_mentioning(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, dict.fromkeys(range(10, 10010), "很好"))
        run = open_planned_run(connection)
        claim = shards.claim(connection, run, 0)
        assert claim is not None
        chunk = shards.read_chunk(connection, run, 0, after=None, limit=20_000)
        shards.accept(connection, shards.stage(connection, claim, judged(chunk), cursor=chunk[-1].review_id))
    started = monotonic()
    audit(shop, run)
    assert monotonic() - started < 3, "a check takes time with the square of the rows: 8 s here, hours in a large run"


def test_other_runs_are_not_held_against_this_one(shop: Engine) -> None:
    broken = answered(shop, "broken")
    with database.writing(shop) as connection:
        connection.execute(sa.update(staged_labels).values(label=7))
    assert scoring_run(shop, "sound")["labelled"] == 3
    with pytest.raises(AuditError):
        audit(shop, broken)


def test_an_edit_after_the_plan_does_not_fail_the_audit(shop: Engine) -> None:
    with database.writing(shop) as connection:
        run = open_planned_run(connection)
    with database.writing(shop) as connection:
        edit(connection, 1, "改主意了")
        delete(connection, 2)
        answer(connection, run)
    audit(shop, run)
    found = publish(shop, run)
    assert (found["planned"], found["labelled"], found["superseded"]) == (3, 1, 2)
    assert count_pending(shop) == 1


def test_a_run_without_a_plan_has_nothing_to_audit(shop: Engine) -> None:
    with database.writing(shop) as connection:
        (run,) = series.open_series(
            connection, idempotency_key="run", scope="new", model_version="m1", variant="fp32", due=MONDAY, now=MONDAY
        )
    with pytest.raises(RunStateError, match=f"run {run} is open: there is nothing to audit"):
        audit(shop, run)
    with pytest.raises(RunStateError, match=f"run {run} is open, and only an audited run can be published"):
        publish(shop, run)


def test_a_planned_run_that_was_not_audited_is_not_published(shop: Engine) -> None:
    run = answered(shop)
    with pytest.raises(RunStateError, match=r"only an audited run can be published"):
        publish(shop, run)


# Publishing


def test_publishing_shows_every_label_and_counts_them(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {4: "  "})
    found = publish(shop, audited(shop))
    assert {key: found[key] for key in ("state", "planned", "labelled", "failed", "superseded", "publish_seq")} == {
        "state": "published",
        "planned": 4,
        "labelled": 3,
        "failed": 1,
        "superseded": 0,
        "publish_seq": 1,
    }
    assert labels(shop) == {1: 1, 2: 0, 3: 1}
    assert count_pending(shop) == 0


def test_a_run_with_nothing_to_do_is_published_as_empty(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
    found = scoring_run(engine)
    assert (found["state"], found["planned"], found["labelled"], found["failed"]) == ("published", 0, 0, 0)


def test_publishing_twice_changes_nothing(shop: Engine) -> None:
    run = audited(shop)
    first, second = publish(shop, run), publish(shop, run)
    assert first == second
    assert rows(shop, schema.publication_lock)[0]["publish_seq"] == 1
    assert audit(shop, run)["run_id"] == run


def test_a_failure_in_the_middle_of_publishing_leaves_nothing(shop: Engine) -> None:
    scoring_run(shop, "yesterday")
    with database.writing(shop) as connection:
        edit(connection, 1, "太差了")
        add_reviews(connection, {5: ""})
    run = audited(shop)
    before = [rows(shop, table) for table in (review_labels, review_label_history, scoring_errors, scoring_runs)]
    with database.writing(shop) as connection:
        connection.execute(sa.update(schema.publication_lock).values(publish_seq=0))  # its next number is yesterday's
    with pytest.raises(sa.exc.IntegrityError, match=r"publish_seq"):
        publish(shop, run)
    assert [
        rows(shop, table) for table in (review_labels, review_label_history, scoring_errors, scoring_runs)
    ] == before
    with database.writing(shop) as connection:
        connection.execute(sa.update(schema.publication_lock).values(publish_seq=1))
    assert publish(shop, run)["labelled"] == 1


def test_an_analyst_sees_nothing_of_a_run_before_its_commit(shop: Engine) -> None:
    run = audited(shop)
    with database.writing(shop) as connection:
        publication.publish(connection, run, now=WEDNESDAY)
        assert rows(shop, "review_sentiment") == []
    assert len(rows(shop, "review_sentiment")) == 3


def test_two_publishers_of_a_run_publish_it_once(shop: Engine) -> None:
    run = audited(shop)
    start = Barrier(2)

    def contend(_worker: int) -> dict[str, Any]:
        start.wait()
        return publish(shop, run)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(contend, range(2))
    assert first == second
    assert rows(shop, schema.publication_lock)[0]["publish_seq"] == 1


def test_runs_published_at_the_same_time_follow_one_another(shop: Engine) -> None:
    overlapping = [audited(shop, f"run {number}") for number in range(3)]
    start = Barrier(3)

    def contend(run: int) -> int:
        start.wait()
        return int(publish(shop, run)["publish_seq"])

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(contend, overlapping)) == [1, 2, 3]
    assert labels(shop) == {1: 1, 2: 0, 3: 1}
    assert len({row["run_id"] for row in rows(shop, review_labels)}) == 1


def test_of_two_overlapping_runs_the_first_to_publish_labels_a_review(shop: Engine) -> None:
    first, second = answered(shop, "first"), answered(shop, "second")
    for run in (second, first):
        audit(shop, run)
        publish(shop, run)
    assert {row["run_id"] for row in rows(shop, review_labels)} == {second}
    assert count(shop, review_label_history) == 0


def test_a_full_run_labels_the_same_texts_again_without_history(shop: Engine) -> None:
    scoring_run(shop, "yesterday")
    again = scoring_run(shop, "again", scope="all")
    assert {row["run_id"] for row in rows(shop, review_labels)} == {again["run_id"]}
    assert count(shop, review_label_history) == 0


# Edits


def test_an_edit_between_reading_and_publishing_is_pending_and_the_old_label_does_not_hide_it(shop: Engine) -> None:
    run = answered(shop)
    with database.writing(shop) as connection:
        edit(connection, 1, "用了一周，太差")
    audit(shop, run)
    publish(shop, run)
    assert count_pending(shop) == 1
    shown = {row["review_id"]: row for row in rows(shop, "review_sentiment")}
    assert (shown[1]["label"], bool(shown[1]["stale"])) == (1, True)
    assert not shown[2]["stale"]
    assert scoring_run(shop, "next")["labelled"] == 1
    shown = {row["review_id"]: row for row in rows(shop, "review_sentiment")}
    assert (shown[1]["label"], bool(shown[1]["stale"])) == (0, False)
    assert count_pending(shop) == 0


def test_the_label_of_an_older_text_never_replaces_that_of_a_newer_one(shop: Engine) -> None:
    late = audited(shop, "late")
    with database.writing(shop) as connection:
        edit(connection, 1, "太差")
    scoring_run(shop, "early")
    publish(shop, late)
    assert labels(shop)[1] == 0
    assert count(shop, review_label_history) == 0
    assert count_pending(shop) == 0


@pytest.mark.parametrize("scope", ["new", "all"])
def test_the_label_of_an_edited_text_goes_to_history_once(scope: str, shop: Engine) -> None:
    first = scoring_run(shop, "first")
    with database.writing(shop) as connection:
        edit(connection, 1, "太差")
    run = audited(shop, "second", scope=scope)
    second = publish(shop, run)
    publish(shop, run)
    scoring_run(shop, "third", scope="all")
    (moved,) = rows(shop, review_label_history)
    assert (moved["review_id"], moved["label"], moved["publish_seq"], moved["replaced_by"]) == (
        1,
        1,
        first["publish_seq"],
        second["publish_seq"],
    )
    assert labels(shop)[1] == 0


def test_a_touched_row_with_the_same_text_leaves_no_history(shop: Engine) -> None:
    scoring_run(shop, "first")
    with database.writing(shop) as connection:
        edit(connection, 1, TEXTS[1])
    assert count_pending(shop) == 1
    scoring_run(shop, "second")
    assert count_pending(shop) == 0
    assert count(shop, review_label_history) == 0


def test_a_text_edited_back_and_forth_keeps_every_label_it_had(shop: Engine) -> None:
    scoring_run(shop, "first")
    for number, (text, at) in enumerate([("太差", TUESDAY), ("很好", WEDNESDAY)]):
        with database.writing(shop) as connection:
            edit(connection, 1, text, now=at)
        scoring_run(shop, f"after edit {number}")
    history = rows(shop, review_label_history, order_by="publish_seq")
    assert [(row["label"], row["publish_seq"], row["replaced_by"]) for row in history] == [(1, 1, 2), (0, 2, 3)]
    assert labels(shop)[1] == 1


# Errors


def test_what_cannot_be_scored_is_recorded_and_not_tried_again_until_it_is_edited(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {4: " "})
    assert scoring_run(shop, "first")["failed"] == 1
    (failed,) = rows(shop, scoring_errors)
    assert (failed["review_id"], failed["reason"]) == (4, "the text is blank")
    assert count_pending(shop) == 0
    assert scoring_run(shop, "second")["planned"] == 0
    with database.writing(shop) as connection:
        edit(connection, 4, "后来补上的：很好")
    assert count_pending(shop) == 1
    assert scoring_run(shop, "third")["labelled"] == 1


def test_an_error_met_by_two_runs_is_recorded_once(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {4: " "})
    first, second = audited(shop, "first"), audited(shop, "second")
    publish(shop, first)
    publish(shop, second)
    assert count(shop, scoring_errors) == 1


def test_each_model_has_labels_of_its_own(shop: Engine) -> None:
    scoring_run(shop)
    with database.writing(shop) as connection:
        add_model(connection, "m2")
    assert count_pending(shop, "m2") == 3
    scoring_run(shop, "incoming", scope="rescore", model="m2")
    assert count_pending(shop, "m2") == 0
    assert count(shop, review_labels) == 6


# Sweeping


def test_sweeping_removes_what_published_runs_staged_and_nothing_else(shop: Engine) -> None:
    scoring_run(shop, "published")
    with database.writing(shop) as connection:
        add_reviews(connection, {4: "来晚了"}, now=TUESDAY)
    waiting = audited(shop, "waiting")
    with database.writing(shop) as connection:
        publication.sweep(connection)
    assert {row["run_id"] for row in rows(shop, staged_labels)} == {waiting}
    assert {row["run_id"] for row in rows(shop, run_items)} == {waiting}
    assert publish(shop, waiting)["labelled"] == 1
    assert count(shop, review_labels) == 4


def test_a_row_that_says_neither_label_nor_reason_cannot_be_staged(shop: Engine) -> None:
    with database.writing(shop) as connection:
        run = open_planned_run(connection)
    keys = {"run_id": run, "shard": 0, "attempt": 1, "review_id": 1, "text_hash": "0" * 32}
    silent = {**keys, "truncated": False, "local_day": WEDNESDAY.date(), "scored_at": WEDNESDAY}
    with pytest.raises(sa.exc.IntegrityError), database.writing(shop) as connection:
        connection.execute(sa.insert(staged_labels).values(silent))


def test_a_full_run_that_labels_what_could_not_be_labelled_takes_the_error_back(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {4: " "})
    scoring_run(shop, "first")
    run = answered(shop, "all", scope="all")
    with database.writing(shop) as connection:
        labelled = {"label": 1, "score": 0.9, "confidence": 0.9, "reason": None}
        connection.execute(sa.update(staged_labels).where(staged_labels.c.review_id == 4).values(labelled))
    audit(shop, run)
    publish(shop, run)
    assert labels(shop)[4] == 1
    assert rows(shop, "scoring_failures") == []


def test_what_was_erased_during_a_plan_leaves_neither_label_nor_error(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {4: " "})
    run = audited(shop)
    with database.writing(shop) as connection:  # as a plan that began before it leaves things
        erased = [{"review_id": key, "erased_at": MONDAY, "actor": "小李", "reason": "演示"} for key in (1, 4)]
        connection.execute(sa.insert(erased_reviews), erased)
    found = publish(shop, run)
    assert (found["labelled"], found["failed"], found["superseded"]) == (2, 0, 2)
    assert set(labels(shop)) == {2, 3}
    assert count(shop, scoring_errors) == 0


def test_a_label_of_the_present_text_is_not_replaced_by_that_of_a_text_that_a_backup_took_back(shop: Engine) -> None:
    scoring_run(shop, "first")
    with database.writing(shop) as connection:
        edit(connection, 1, "太差", now=TUESDAY)
    run = audited(shop, "second")
    with database.writing(shop) as connection:
        edit(connection, 1, TEXTS[1], now=MONDAY)
    publish(shop, run)
    assert labels(shop)[1] == 1
    assert count_pending(shop) == 0


def test_what_was_overruled_once_is_not_asked_again_after_a_freeze(shop: Engine) -> None:
    for number in range(8):
        with database.writing(shop) as connection:
            add_reviews(connection, {100 * number + key: "很好" for key in range(10, 60)}, now=WEDNESDAY)
        scoring_run(shop, f"run {number}")
    with database.writing(shop) as connection:
        add_reviews(connection, {5_000 + key: "太差" for key in range(200)}, now=WEDNESDAY)
    run = answered(shop, "a sale")
    assert "as_usual" in audit(shop, run)["unusual"]
    with database.writing(shop) as connection:
        publication_lock.freeze(connection, by="小李", reason="演示", now=WEDNESDAY)
        publication.audit(connection, run, anyway="a sale", actor="小王")
    with pytest.raises(FrozenError):
        publish(shop, run)
    with database.writing(shop) as connection:
        publication_lock.unfreeze(connection)
    audit(shop, run)
    assert publish(shop, run)["overruled_by"] == "小王"


def test_a_run_that_was_abandoned_while_it_was_scored_says_so(shop: Engine) -> None:
    with database.writing(shop) as connection:
        run = open_planned_run(connection)
        claim = shards.claim(connection, run, 0)
        assert claim is not None
        chunk = shards.read_chunk(connection, run, 0, after=None, limit=10)
    with database.writing(shop) as connection:
        runs.abandon(connection, run)
    with database.writing(shop) as connection:
        publication.sweep(connection)
    with pytest.raises(RunStateError, match=f"run {run} was abandoned"), database.writing(shop) as connection:
        shards.stage(connection, claim, judged(chunk), cursor=3)
    with pytest.raises(RunStateError, match=f"run {run} was abandoned"), database.writing(shop) as connection:
        shards.claim(connection, run, 0)


@on_postgresql
def test_a_plan_and_a_sweep_do_not_wait_for_each_other(shop: Engine) -> None:
    publish(shop, audited(shop, "first"))

    def plan() -> int:
        with database.writing(shop) as connection:
            return open_planned_run(connection, "second")

    with ThreadPoolExecutor(1) as pool:
        with database.writing(shop) as connection:
            partitions.drop(connection, staged_labels, 1)
            planned = pool.submit(plan)
            sleep(0.3)
            partitions.drop(connection, run_items, 1)
        assert planned.result() == 2
