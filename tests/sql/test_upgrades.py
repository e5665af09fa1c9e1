"""From every earlier schema, with a run half done: what was published stays, and the run goes on to its end.

Every revision before the newest is an earlier schema. A release that was made up here comes after the newest one, so
that upgrades are tested also while there is one revision only.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from senti_tasks.errors import LockedError
from senti_tasks.warehouse import database, migrations
from senti_tasks.warehouse.schema import label_rollups, review_labels, scoring_runs
from senti_tasks.warehouse.scoring import publication, shards, watermarks
from tests.situations import MONDAY, TUESDAY, WEDNESDAY, judged, on_postgresql, rows, scoring_run

HISTORY = ScriptDirectory.from_config(migrations._config()).walk_revisions()
FIRST, *LATER = [script.revision for script in reversed(list(HISTORY))]
*EARLIER, NEWEST = FIRST, *LATER
MADE_UP = f'''"""What a later release may change: a column of staged labels, and a rule of runs."""

import sqlalchemy as sa
from alembic import op

revision = "made_up"
down_revision = "{NEWEST}"


def upgrade() -> None:
    with op.batch_alter_table("staged_labels") as table:
        table.add_column(sa.Column("note", sa.Text()))
    with op.batch_alter_table("scoring_runs") as table:
        table.create_check_constraint(op.f("ck_scoring_runs_planned"), "planned >= 0")
'''

PARTITIONS = (
    "CREATE TABLE review_labels_m PARTITION OF review_labels FOR VALUES IN ('m')",
    "CREATE TABLE run_items_2 PARTITION OF run_items FOR VALUES IN (2)",
    "CREATE TABLE staged_labels_2 PARTITION OF staged_labels FOR VALUES IN (2)",
)
MON, TUE = "'2026-11-02 12:00:00+00:00'", "'2026-11-03 12:00:00+00:00'"
AT_THE_FIRST_REVISION = (
    (
        f"INSERT INTO reviews (review_id, review_text, created_at, updated_at) VALUES "
        f"(1, '很好', {MON}, {MON}), (2, '太差', {MON}, {MON}), (3, '不错', {MON}, {MON})"
    ),
    (
        "INSERT INTO corpora (corpus, idempotency_key, due, artifact, digest, summary, created_at) "
        f"VALUES ('c', 'c', {MON}, 'corpora/c', 'd', '{{}}', {MON})"
    ),
    (
        "INSERT INTO models (version, idempotency_key, corpus, base_model, config, code_version, normaliser_version, "
        f"artifact, digest, training, trained_at) VALUES ('m', 'm', 'c', 'scratch:tiny', '{{}}', '0.1.0', 1, 'm', 'd', "
        f"'{{}}', {MON})"
    ),
    "INSERT INTO model_labels (model_version, label, label_name) VALUES ('m', 0, 'negative'), ('m', 1, 'positive')",
    (
        "INSERT INTO model_variants (model_version, variant, verdict, reason, artifact, digest, library, temperature, "
        "serves) VALUES ('m', 'fp32', 'proven', '', 'm', 'd', 'torch', 1.0, TRUE)"
    ),
    (
        "INSERT INTO promotions (seq, previous_seq, model_version, kind, actor, reason, at, serving_since, anchors) "
        f"VALUES (1, 0, 'm', 'gate', 'a', 'r', {MON}, {MON}, TRUE)"
    ),
    (
        "INSERT INTO review_labels (model_version, review_id, text_hash, review_updated_at, label, score, confidence, "
        "truncated, variant, run_id, scored_at, local_day, product_id, publish_seq) "
        f"VALUES ('m', 1, 'd', {MON}, 1, 0.9, 0.9, FALSE, 'fp32', 1, {MON}, '2026-11-02', 0, 1)"
    ),
    (
        "INSERT INTO scoring_runs (run_id, idempotency_key, series, scope, model_version, variant, due, state, "
        "opened_at, published_at, publish_seq, planned, labelled, failed, superseded, truncated) "
        f"VALUES (1, 'first#0', 'first', 'new', 'm', 'fp32', {MON}, 'published', {MON}, {MON}, 1, 1, 1, 0, 0, 0)"
    ),
    (
        "INSERT INTO scoring_runs (run_id, idempotency_key, series, scope, model_version, variant, due, state, "
        f"opened_at, planned) VALUES (2, 'second#0', 'second', 'new', 'm', 'fp32', {TUE}, 'planned', {TUE}, 2)"
    ),
    f"INSERT INTO run_items (run_id, shard, review_id, review_updated_at) VALUES (2, 0, 2, {MON}), (2, 0, 3, {MON})",
    "INSERT INTO run_shards (run_id, shard, planned, attempt, cursor) VALUES (2, 0, 2, 1, 2)",
    (
        "INSERT INTO staged_labels (run_id, shard, attempt, review_id, text_hash, label, score, confidence, truncated, "
        f"local_day, scored_at) VALUES (2, 0, 1, 2, 'd', 0, 0.2, 0.8, FALSE, '2026-11-02', {MON})"
    ),
    f"INSERT INTO scoring_watermarks (model_version, watermark) VALUES ('m', {MON})",
    (
        "INSERT INTO label_rollups (model_version, local_day, label, reviews, score_sum, confidence_sum) "
        "VALUES ('m', '2026-11-02', 1, 1, 0.9, 0.9)"
    ),
    "UPDATE publication_lock SET publish_seq = 1",
)
"""One review is labelled, and a run has staged one of the two others."""


@pytest.fixture(params=[*EARLIER, "before the made-up release"])
def old(
    request: pytest.FixtureRequest, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """A warehouse of an earlier schema than that of the present release, with the rows of that time."""
    engine = database.connect(empty_url)
    database.create_file(engine)
    with database.writing(engine) as connection:
        upgrade(connection, FIRST)
        for statement in (*(PARTITIONS if engine.dialect.name == "postgresql" else ()), *AT_THE_FIRST_REVISION):
            connection.exec_driver_sql(statement)
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("ALTER SEQUENCE scoring_runs_run_id_seq RESTART WITH 3")
        upgrade(connection, request.param if request.param in EARLIER else NEWEST)
    if request.param not in EARLIER:
        release(tmp_path / "sql", monkeypatch)
    yield engine
    engine.dispose()
    migrations.newest_revision.cache_clear()


def upgrade(connection: Connection, revision: str) -> None:
    config = migrations._config(connection)
    config.attributes.update(
        review_id_type="bigint", reviews_table="reviews", labels="negative,positive", timezone="Asia/Shanghai"
    )
    command.upgrade(config, revision)


def release(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SQL files of a release with one more migration."""
    shutil.copytree(migrations.SQL, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "migrations" / "versions" / "made_up.py").write_text(MADE_UP, "utf-8")
    monkeypatch.setattr(migrations, "SQL", folder)
    migrations.newest_revision.cache_clear()


def migrate(engine: Engine, **options: float | tuple[float, ...]) -> None:
    migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews", **options)  # type: ignore[arg-type]


def test_what_was_published_stays(old: Engine) -> None:
    before = {table.name: rows(old, table) for table in (review_labels, label_rollups)}
    migrate(old)
    assert {table.name: rows(old, table) for table in (review_labels, label_rollups)} == before
    assert [row["review_id"] for row in rows(old, "review_sentiment")] == [1]
    with database.reading(old) as connection:
        migrations.check_migrated(connection)
        assert watermarks.of(connection, "m") == MONDAY


def test_a_run_under_way_goes_on_to_its_end(old: Engine) -> None:
    migrate(old)
    with database.writing(old) as connection:
        claim = shards.claim(connection, 2, 0)
        assert claim is not None
        chunk = shards.read_chunk(connection, 2, 0, after=claim.cursor, limit=10)
        assert [item.review_id for item in chunk] == [3]
        shards.accept(connection, shards.stage(connection, claim, judged(chunk), cursor=3))
    with database.writing(old) as connection:
        publication.audit(connection, 2)
        assert publication.publish(connection, 2, now=WEDNESDAY)["labelled"] == 2
    assert [row["review_id"] for row in rows(old, review_labels, order_by="review_id")] == [1, 2, 3]
    assert scoring_run(old, "next")["planned"] == 0
    with database.reading(old) as connection:
        assert watermarks.of(connection, "m") == WEDNESDAY > TUESDAY


@on_postgresql
@pytest.mark.parametrize("old", ["before the made-up release"], indirect=True)  # it locks what analysts read
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
        with pytest.raises(LockedError, match="somebody is reading what this migration changes"):
            migrate(old, lock_timeout_s=0.05, pauses_s=())
        assert [row["run_id"] for row in rows(old, "scoring_runs")] == [1, 2]
    finally:
        done.set()
        analyst.join()
    assert finished.is_set()
    migrate(old)
    assert {row["state"] for row in rows(old, scoring_runs)} == {"published", "planned"}
