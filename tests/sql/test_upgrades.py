"""From every earlier schema, with a night half done: what was published stays, and the night goes on to its end."""

from collections.abc import Iterator
from datetime import date
from threading import Event, Thread

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine

from senti_tasks.errors import LockedError, WarehouseError
from senti_tasks.warehouse import database, migrations, partitions
from senti_tasks.warehouse.schema import label_rollups, review_labels, run_items, scoring_runs, staged_labels
from senti_tasks.warehouse.scoring import publication, shards, watermarks
from tests.situations import MONDAY, TUESDAY, WEDNESDAY, judged, night, on_postgresql, rows

REVISIONS = ("0001", "0002", "0003", "0004")
OLD = "'2026-11-02 12:00:00+00:00'"
COMMON = f"""
INSERT INTO reviews VALUES
    (1, '很好', NULL, {OLD}, {OLD}), (2, '太差', NULL, {OLD}, {OLD}), (3, '不错', NULL, {OLD}, {OLD});
INSERT INTO corpora VALUES ('c', 'c', {OLD}, 'corpora/c', 'd', '{{}}', {OLD});
INSERT INTO models
    VALUES ('m', 'm', 'c', 'scratch:tiny', NULL, '{{}}', '0.1.0', 1, 'm', 'd', '{{}}', NULL, {OLD});
INSERT INTO model_labels VALUES ('m', 0, 'negative'), ('m', 1, 'positive');
INSERT INTO review_labels (model_version, review_id, text_digest, review_updated_at, label, score, confidence,
    truncated, form, run_id, scored_at, local_day, publish_seq)
    VALUES ('m', 1, 'd', {OLD}, 1, 0.9, 0.9, FALSE, 'fp32', 1, {OLD}, '2026-11-02', 1);
INSERT INTO scoring_runs (run_id, origin, scope, model_version, form, due, state, opened_at, published_at, publish_seq,
    planned, labelled, failed, superseded, truncated)
    VALUES (1, 'first', 'new', 'm', 'fp32', {OLD}, 'published', {OLD}, {OLD}, 1, 1, 1, 0, 0, 0);
INSERT INTO scoring_runs (run_id, origin, scope, model_version, form, due, state, opened_at, planned)
    VALUES (2, 'second', 'new', 'm', 'fp32', '2026-11-03 12:00:00+00:00', 'planned', '2026-11-03 12:00:00+00:00', 2);
INSERT INTO run_items VALUES (2, 0, 2, {OLD}), (2, 0, 3, {OLD});
INSERT INTO run_shards (run_id, shard, planned, attempt, staged_through) VALUES (2, 0, 2, 1, 2);
INSERT INTO staged_labels (run_id, shard, attempt, review_id, text_digest, label, score, confidence, truncated,
    local_day, scored_at)
    VALUES (2, 0, 1, 2, 'd', 0, 0.2, 0.8, FALSE, '2026-11-02', {OLD});
UPDATE publish_clock SET publish_seq = 1
"""
FORM = {
    "0001": "INSERT INTO model_forms VALUES ('m', 'fp32', 'm', 'd', 'torch', 1.0, 1.0, TRUE)",
    "0002": "INSERT INTO model_forms (model_version, form, verdict, reason, artifact, digest, library, temperature, "
    "serves) VALUES ('m', 'fp32', 'proven', '', 'm', 'd', 'torch', 1.0, TRUE)",
}
PUBLISHED = (
    f"INSERT INTO scoring_watermarks VALUES ('m', {OLD})",
    "INSERT INTO label_rollups VALUES ('m', '2026-11-02', 1, 1, 0.9, 0.9)",
)
"""What the first night has left besides, since 0004."""
PROMOTION = (
    "INSERT INTO promotions (seq, previous_seq, model_version, kind, actor, reason, at, serving_since{}) "
    f"VALUES (1, 0, 'm', 'gate', 'a', 'r', {OLD}, {OLD}{{}})"
)


@pytest.fixture(params=REVISIONS)
def old(request: pytest.FixtureRequest, empty_url: str) -> Iterator[Engine]:
    """A warehouse of an earlier schema: one review labelled, and a night that has staged one of the two others."""
    engine, revision = database.connect(empty_url), request.param
    database.make_room(engine)
    with database.writing(engine) as connection:
        config = migrations._config(connection)
        config.attributes.update(review_id_type="bigint", reviews_table="reviews", labels="negative,positive")
        command.upgrade(config, revision)
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("ALTER SEQUENCE scoring_runs_run_id_seq RESTART WITH 3")
            connection.exec_driver_sql("CREATE TABLE review_labels_m PARTITION OF review_labels FOR VALUES IN ('m')")
        if revision >= "0004":
            for table in (run_items, staged_labels):
                partitions.make(connection, table, 2)
        anchors = (", anchors", ", TRUE") if revision >= "0003" else ("", "")
        since = PUBLISHED if revision >= "0004" else ()
        for statement in (*COMMON.split(";\n"), FORM[min(revision, "0002")], PROMOTION.format(*anchors), *since):
            connection.exec_driver_sql(statement)
    yield engine
    engine.dispose()


def migrate(engine: Engine, **options: float | tuple[float, ...]) -> None:
    migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews", **options)  # type: ignore[arg-type]


def test_the_labels_are_rolled_up_and_the_watermark_is_the_last_night(old: Engine) -> None:
    migrate(old)
    (rolled,) = rows(old, label_rollups)
    assert rolled == {
        "model_version": "m",
        "local_day": date(2026, 11, 2),
        "label": 1,
        "reviews": 1,
        "score_sum": 0.9,
        "confidence_sum": 0.9,
    }
    with database.reading(old) as connection:
        assert watermarks.of(connection, "m") == MONDAY


def test_a_night_under_way_goes_on_to_its_end(old: Engine) -> None:
    migrate(old)
    with database.writing(old) as connection:
        claim = shards.claim(connection, 2, 0)
        assert claim is not None
        page = shards.read_page(connection, 2, 0, after=claim.staged_through, limit=10)
        assert [item.review_id for item in page] == [3]
        shards.accept(connection, shards.stage(connection, claim, judged(page), through=3))
    with database.writing(old) as connection:
        publication.audit(connection, 2)
        assert publication.publish(connection, 2, at=WEDNESDAY)["labelled"] == 2
    assert [row["review_id"] for row in rows(old, review_labels, order_by="review_id")] == [1, 2, 3]
    assert night(old, "next")["planned"] == 0
    with database.reading(old) as connection:
        assert watermarks.of(connection, "m") == WEDNESDAY > TUESDAY


@on_postgresql
def test_what_was_planned_and_staged_is_partitioned_by_run(old: Engine) -> None:
    migrate(old)
    with database.reading(old) as connection:
        assert partitions.keys(connection, run_items) == partitions.keys(connection, staged_labels) == {"2"}


@on_postgresql
@pytest.mark.parametrize("old", ["0001", "0002", "0003"], indirect=True)  # what came later locks nothing that is read
def test_an_analyst_who_sits_in_a_transaction_is_waited_for_and_named(old: Engine) -> None:
    reading, done, finished = Event(), Event(), Event()

    def sit() -> None:
        with database.reading(old) as analyst:
            analyst.execute(sa.select(sa.func.count()).select_from(sa.table("staged_labels"))).all()
            reading.set()
            done.wait(timeout=30)
        finished.set()

    analyst = Thread(target=sit)
    analyst.start()
    try:
        assert reading.wait(timeout=30)
        with pytest.raises((WarehouseError, LockedError), match="somebody is reading what this migration changes"):
            migrate(old, lock_timeout_s=0.05, pauses_s=())
        assert [row["run_id"] for row in rows(old, "scoring_runs")] == [1, 2]
    finally:
        done.set()
        analyst.join()
    assert finished.is_set()
    migrate(old)
    assert {row["state"] for row in rows(old, scoring_runs)} == {"published", "planned"}
