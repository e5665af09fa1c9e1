"""Which models keep their labels, and what dropping them leaves."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import LockedError, RunStateError
from senti_tasks.jobs.operations import maintenance
from senti_tasks.warehouse import database, partitions
from senti_tasks.warehouse.models import promotions, retention
from senti_tasks.warehouse.schema import (
    label_rollups,
    review_label_history,
    review_labels,
    run_items,
    scoring_runs,
    staged_labels,
)
from senti_tasks.warehouse.scoring import publication, runs, watermarks
from tests.situations import (
    TUESDAY,
    WEDNESDAY,
    add_model,
    add_reviews,
    answer,
    count,
    edit,
    on_postgresql,
    open_planned_run,
    promote,
    rows,
    scoring_run,
)

MODELS = ("m1", "m2", "m3", "m4", "m5")


@pytest.fixture
def shop(engine: Engine, home: Path) -> Engine:
    """Five models that served one after the other; each has labelled both reviews."""
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好", 2: "太差"})
        for version in MODELS:
            add_model(connection, version)
            promotions.start_service(connection, promote(connection, version)["seq"], now=TUESDAY)
    for version in MODELS:
        scoring_run(engine, version, model=version)
    return engine


def expendable(engine: Engine, keep: int) -> list[str]:
    with database.reading(engine) as connection:
        return retention.unneeded_versions(connection, keep=keep)


@pytest.mark.parametrize(
    ("keep", "dropped"), [(1, ["m1", "m2", "m3"]), (2, ["m1", "m2", "m3"]), (3, ["m1", "m2"]), (9, [])]
)
def test_the_last_ones_that_served_keep_their_labels_and_so_does_the_one_to_roll_back_to(
    keep: int, dropped: list[str], shop: Engine
) -> None:
    assert expendable(shop, keep) == dropped


def test_the_incoming_model_and_the_one_in_service_keep_theirs(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_model(connection, "m6")
        promote(connection, "m6")
    scoring_run(shop, "m6", model="m6")
    assert expendable(shop, 1) == ["m1", "m2", "m3", "m4"]


def test_dropping_leaves_the_others_and_a_rollback_to_it_waits_for_a_rescoring(shop: Engine) -> None:
    with database.writing(shop) as connection:
        retention.drop_labels(connection, "m4")
    assert {row["model_version"] for row in rows(shop, review_labels)} == set(MODELS) - {"m4"}
    assert {row["model_version"] for row in rows(shop, label_rollups)} == set(MODELS) - {"m4"}
    with database.writing(shop) as connection:
        assert watermarks.of(connection, "m4") is None
        assert promote(connection, "m4", kind="rollback")["serving_since"] is None
        assert promotions.in_service(connection) == "m5"
    assert scoring_run(shop, "m4 again", model="m4")["labelled"] == 2


def test_a_run_that_waited_while_its_models_labels_were_dropped_is_not_published(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {3: "一般"}, now=WEDNESDAY)
        late = open_planned_run(connection, "waits for a person", model="m4")
        answer(connection, late)
        publication.audit(connection, late)
    with database.writing(shop) as connection:
        retention.drop_labels(connection, "m4")
    with pytest.raises(RunStateError, match="abandoned"), database.writing(shop) as connection:
        publication.publish(connection, late, now=WEDNESDAY)
    assert {row["state"] for row in rows(shop, scoring_runs) if row["run_id"] != late} == {"published"}
    with database.writing(shop) as connection:
        assert promote(connection, "m4", kind="rollback")["serving_since"] is None, (
            "of three reviews it had labelled one"
        )


@on_postgresql
def test_analysts_read_on_while_the_history_of_a_model_is_deleted(shop: Engine) -> None:
    with database.writing(shop) as connection:
        edit(connection, 1, "太差", now=WEDNESDAY)
    scoring_run(shop, "m1 again", model="m1")

    def drop() -> None:
        with database.writing(shop) as connection:
            retention.drop_labels(connection, "m1")

    with ThreadPoolExecutor(1) as pool:
        with shop.connect() as slow:
            slow.execute(sa.select(review_label_history).with_for_update()).all()
            dropping = pool.submit(drop)
            sleep(0.5)
            with database.reading(shop) as analyst:
                analyst.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
                analyst.execute(sa.text("SELECT * FROM review_sentiment")).all()
            assert not dropping.done()
        dropping.result()
    assert "m1" not in {row["model_version"] for row in rows(shop, review_labels)}


@on_postgresql
def test_a_reader_who_stays_keeps_the_partition_and_nothing_is_lost(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT_MS", 50)
    with database.reading(shop) as analyst:
        analyst.execute(sa.select(review_labels.c.label)).all()
        with pytest.raises(LockedError), database.writing(shop) as connection:
            retention.drop_labels(connection, "m1")
    assert count(shop, review_labels) == 10


def test_maintenance_drops_sweeps_and_tidies(shop: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_KEEP_MODELS", "2")
    assert maintenance.retain() == ["m1", "m2", "m3"]
    assert maintenance.retain() == []
    maintenance.tidy()
    assert count(shop, staged_labels) == count(shop, run_items) == 0
    with database.reading(shop) as connection:
        assert partitions.keys(connection, staged_labels) == set()


def test_maintenance_of_an_empty_warehouse_has_nothing_to_do(engine: Engine, home: Path) -> None:
    assert maintenance.settle_deleted("maintenance") == {"deleted": 0, "erased": 0}
    assert maintenance.retain() == []
    maintenance.tidy()


def test_a_run_that_was_never_published_is_given_up_once_a_later_one_was(shop: Engine) -> None:
    with database.writing(shop) as connection:
        failed, newest = (
            open_planned_run(connection, idempotency_key, model="m5") for idempotency_key in ("failed", "newest")
        )
        long_ago = sa.update(scoring_runs).where(scoring_runs.c.run_id == failed)
        connection.execute(long_ago.values(opened_at=TUESDAY))
        assert runs.abandon_overtaken(connection, before=WEDNESDAY) == [failed]
    states = {row["run_id"]: row["state"] for row in rows(shop, scoring_runs)}
    assert (states[failed], states[newest]) == ("abandoned", "planned")
