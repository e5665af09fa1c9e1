"""A team's own reviews under names of its own: through runs, edits and erasures, and what the doctor says of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import checkup, erasure, upkeep
from senti_tasks.text import text_hash
from senti_tasks.warehouse import database, migrations
from senti_tasks.warehouse.models import corpora, texts
from senti_tasks.warehouse.schema import metadata, review_labels
from tests.situations import MONDAY, TUESDAY, WEDNESDAY, annotate, deploy, on_postgresql, rows

KEYS: dict[str, tuple[Any, ...]] = {
    "bigint": (7, 8, 2**62),
    "text": ("b-7", "b-8", "甲"),
    "uuid": tuple(f"0b0e2a5c-4d52-4c5e-9d8e-{number:012}" for number in (1, 2, 3)),
}
TEXTS = ("很好，下次还来", "太差了，再也不买", "一般")
COLUMNS = {"review_id": "id", "review_text": "body", "product": "item", "created_at": "posted", "updated_at": "changed"}


def selected(**other: str) -> str:
    """The columns of a view over the shop's table; ``other`` expressions in place of the plain columns."""
    return ", ".join(f"{expression} AS {name}" for name, expression in {**COLUMNS, **other}.items())


@dataclass
class Shop:
    """Comments as a shop's own software keeps them, with a view over them, and a warehouse beside."""

    engine: Engine
    table: str
    view: str
    keys: tuple[Any, ...]

    def execute(self, *statements: str, **values: Any) -> None:
        with database.writing(self.engine) as connection:
            for statement in statements:
                connection.execute(sa.text(statement), values)

    def write(self, key: Any, text: str, now: Any = MONDAY) -> None:
        self.execute(
            f"INSERT INTO {self.table} VALUES (:key, :text, '面馆', :now, :now, FALSE)",
            key=key,
            text=text,
            now=str(now),
        )

    def change(self, key: Any, what: str, **values: Any) -> None:
        self.execute(f"UPDATE {self.table} SET {what} WHERE id = :key", key=key, **values)


@pytest.fixture
def make(
    empty_url: str, bare_home: Path, model_folder: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Shop]:
    """Makes the shop, on PostgreSQL in a schema of its own; its view in ``SENTI_REVIEWS_TABLE``; a model in service."""

    def made(
        id_type: str = "bigint",
        *,
        select: str = selected(),
        further: tuple[str, ...] = (),
        url: str = empty_url,
        **types: str,
    ) -> Shop:
        engine = database.connect(empty_url)
        on_sqlite = engine.dialect.name == "sqlite"
        schema = "" if on_sqlite else "shop."
        time_type = types.get("time_type") or ("TEXT" if on_sqlite else "TIMESTAMPTZ")
        key = types.get("key") or ("TEXT" if on_sqlite and id_type == "uuid" else id_type)
        shop = Shop(engine, f"{schema}comments", f"{schema}senti_reviews", KEYS[id_type])
        database.create_file(engine)
        shop.execute(
            *([] if on_sqlite else ["CREATE SCHEMA shop"]),
            f"CREATE TABLE {shop.table} (id {key} PRIMARY KEY, body TEXT, item TEXT, posted {time_type}, "
            f"changed {time_type}, hidden BOOLEAN)",
            *further,
            f"CREATE VIEW {shop.view} AS SELECT {select} FROM {shop.table} WHERE NOT hidden",
        )
        for name, value in (
            ("DATABASE_URL", url),
            ("REVIEW_ID_TYPE", id_type),
            ("REVIEWS_TABLE", shop.view),
        ):
            monkeypatch.setenv(f"SENTI_{name}", value)
        upkeep.migrate()
        shop.engine = database.connect(url)
        deploy(shop.engine, model_folder, bare_home)
        return shop

    return made


def complete_run(idempotency_key: str, due: Any = WEDNESDAY, scope: str = "new") -> dict[str, Any]:
    (run,) = scoring.open_series(idempotency_key, due.isoformat(), scope=scope)
    for shard in scoring.plan(run, shards=2):
        scoring.score_shard(run, shard)
    scoring.audit(run)
    return scoring.publish(run)


def labelled(shop: Shop) -> dict[str, dict[str, Any]]:
    return {str(row["review_id"]): row for row in rows(shop.engine, "review_sentiment")}


# Whole runs


@pytest.mark.parametrize("id_type", KEYS)
def test_a_view_with_other_names_goes_through_runs_edits_and_an_erasure(
    id_type: str, make: Callable[..., Shop]
) -> None:
    shop = make(id_type)
    for key, text in zip(shop.keys, TEXTS, strict=True):
        shop.write(key, text)
    assert complete_run("first")["labelled"] == 3
    assert set(labelled(shop)) == {str(key) for key in shop.keys}
    assert {row["product"] for row in rows(shop.engine, "sentiment_latest")} == {"面馆"}
    first, second, third = shop.keys
    shop.change(first, "body = '用坏了', changed = :now", now=str(WEDNESDAY))
    assert labelled(shop)[str(first)]["stale"]
    assert complete_run("second")["planned"] == 1
    assert not labelled(shop)[str(first)]["stale"]
    with database.writing(shop.engine) as connection:
        annotate(connection, second, 0, TEXTS[1])
        found = list(corpora.labelled_reviews(connection, due=WEDNESDAY))
        assert [(row["review_id"], row["label"]) for row in found] == [(str(second), 0)]
    assert erasure.erase([str(third)], "一封信", "小李")["removed"]["review_labels"] == 1
    assert complete_run("third", scope="all")["labelled"] == 2
    assert set(labelled(shop)) == {str(first), str(second)}
    with database.reading(shop.engine) as connection:
        assert {key for chunk in texts.read_chunks(connection) for key, _ in chunk} == {str(first), str(second)}
        assert connection.scalar(sa.text(f"SELECT COUNT(*) FROM {shop.table}")) == 3, "it is not ours to delete"


@on_postgresql
@pytest.mark.parametrize("by_role", [False, True])
def test_labels_in_a_schema_of_their_own(by_role: bool, empty_url: str, make: Callable[..., Shop]) -> None:
    url, further = sa.make_url(empty_url), ["CREATE SCHEMA senti"]
    if by_role:
        name = f"apart_{url.database}"
        further += [
            f"CREATE ROLE {name} LOGIN",
            f"ALTER SCHEMA senti OWNER TO {name}",
            f"ALTER ROLE {name} IN DATABASE {url.database} SET search_path = senti",
            f"GRANT USAGE ON SCHEMA shop TO {name}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO {name}",
        ]
        url = url.set(username=name)
    else:
        url = url.update_query_dict({"options": "-csearch_path=senti"})
    shop = make(url=url.render_as_string(hide_password=False), further=tuple(further))
    owner = database.connect(empty_url)
    for key, text in zip(shop.keys, TEXTS, strict=True):
        Shop(owner, shop.table, shop.view, shop.keys).write(key, text)
    assert complete_run("first")["labelled"] == 3
    assert upkeep.status()["pending"] == 0
    assert upkeep.migrate()["views"]
    with database.reading(owner) as connection:
        found = sa.inspect(connection)
        assert {*metadata.tables} - {"reviews"} <= {*found.get_table_names(schema="senti")}
        assert found.get_table_names(schema="public") == []
        assert {*migrations.view_statements(), "reviews"} == {*found.get_view_names(schema="senti")}


def test_labels_by_people_come_from_a_view_of_the_teams(dialect: str, make: Callable[..., Shop]) -> None:
    schema, time = ("", "TEXT") if dialect == "sqlite" else ("shop.", "TIMESTAMPTZ")
    view = (
        "CREATE VIEW review_annotations AS SELECT id AS review_id, who AS annotator, at AS annotated_at, "
        f"verdict AS label, digest AS text_hash FROM {schema}verdicts"
    )
    table = f"CREATE TABLE {schema}verdicts (id BIGINT, who TEXT, at {time}, verdict SMALLINT, digest VARCHAR(32))"
    shop = make(further=(table, view))
    for key, text in zip(shop.keys, TEXTS, strict=True):
        shop.write(key, text)
        insert = f"INSERT INTO {schema}verdicts VALUES (:key, '小王', :now, 1, :digest)"
        shop.execute(insert, key=key, now=str(MONDAY), digest=text_hash(text))
    erasure.erase(["8"], "一封信", "小李")
    with database.reading(shop.engine) as connection:
        assert [row["review_id"] for row in corpora.labelled_reviews(connection, due=WEDNESDAY)] == ["7", str(2**62)]
    assert len(rows(shop.engine, "review_annotations")) == 3, "they are not ours to delete"


# What a view must keep to


def test_a_product_may_be_a_number(make: Callable[..., Shop]) -> None:
    shop = make(select=selected(product="17"))
    shop.write(7, TEXTS[0])
    complete_run("first")
    with database.writing(shop.engine) as connection:
        annotate(connection, 7, 1, TEXTS[0])
        assert [row["product"] for row in corpora.labelled_reviews(connection, due=WEDNESDAY)] == ["17"]
    assert [row["product"] for row in rows(shop.engine, "sentiment_by_product")] == ["17"]


def test_a_hidden_review_is_not_labelled_and_one_that_comes_back_is_found_if_its_time_says_so(
    make: Callable[..., Shop],
) -> None:
    shop = make()
    for key, text in zip(shop.keys, TEXTS, strict=True):
        shop.write(key, text)
    first, second, third = shop.keys
    for key in (second, third):
        shop.change(key, "hidden = TRUE")
    assert complete_run("first")["labelled"] == 1
    shop.change(first, "hidden = TRUE")
    assert [row["review_id"] for row in rows(shop.engine, review_labels)] == [first], "a label stays"
    assert rows(shop.engine, "sentiment_latest") == []
    shop.change(first, "hidden = FALSE")
    shop.change(second, "hidden = FALSE")
    shop.change(third, "hidden = FALSE, changed = :now", now=str(WEDNESDAY))
    assert complete_run("second")["planned"] == 1, "the third, whose time says so; the first has its label"
    assert complete_run("weekly", scope="reconcile")["planned"] == 1, "the second"
    assert set(labelled(shop)) == {str(key) for key in shop.keys}


def test_an_edit_that_leaves_the_time_alone_is_seen_by_nobody(make: Callable[..., Shop]) -> None:
    shop = make()
    shop.write(7, TEXTS[0])
    complete_run("first")
    shop.change(7, "body = '用坏了'")
    assert complete_run("second")["planned"] == 0
    assert complete_run("weekly", scope="reconcile")["planned"] == 0
    assert not labelled(shop)["7"]["stale"]


NOTE_CHANGE = """
CREATE FUNCTION shop.note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed := now();
    RETURN NEW;
END
$$
"""
ON_CHANGE = """
CREATE TRIGGER note_change BEFORE UPDATE ON shop.comments FOR EACH ROW
WHEN (OLD.body IS DISTINCT FROM NEW.body OR OLD.hidden IS DISTINCT FROM NEW.hidden)
EXECUTE FUNCTION shop.note_change()
"""


@on_postgresql
def test_a_trigger_sees_to_the_time(make: Callable[..., Shop]) -> None:
    shop = make(further=(NOTE_CHANGE, ON_CHANGE))
    shop.write(7, TEXTS[0])
    complete_run("first")
    shop.change(7, "item = '酒店'")
    assert not labelled(shop)["7"]["stale"]
    shop.change(7, "body = '用坏了'")
    assert labelled(shop)["7"]["stale"]


# What the doctor says


def finding(name: str = "reviews") -> tuple[Any, str]:
    (row,) = (row for row in checkup.run_checks() if row["name"] == name)
    return row["ok"], row["finding"]


INDEX = "CREATE INDEX comments_changed ON {table} (changed)"


def index(make: Callable[..., Shop], dialect: str) -> str:
    return INDEX.format(table="comments" if dialect == "sqlite" else "shop.comments")


@pytest.mark.parametrize("id_type", KEYS)
def test_a_view_whose_key_and_time_are_indexed_is_fine(id_type: str, dialect: str, make: Callable[..., Shop]) -> None:
    shop = make(id_type, further=(index(make, dialect),))
    assert finding() == (True, "0, each with the time of its last change")
    shop.write(shop.keys[0], TEXTS[0])
    assert finding() == (True, "1, each with the time of its last change")


def test_a_view_without_an_index_on_the_time_is_told_apart(make: Callable[..., Shop]) -> None:
    make()
    ok, said = finding()
    assert ok is False
    assert "no index serves updated_at, so each run reads all 0 reviews: docs/own-tables.md" in said


def test_a_view_that_casts_the_key_is_told_apart(dialect: str, make: Callable[..., Shop]) -> None:
    cast = selected(review_id="CAST(id AS TEXT)")
    shop = make("text", select=cast, key="BIGINT", further=(index(make, dialect),))
    for key in range(3):
        shop.write(key, "很好")
    ok, said = finding()
    assert ok is False
    assert "no index serves review_id, so each chunk of a run reads all 3 reviews: docs/own-tables.md" in said
    shop.execute(f"CREATE INDEX by_cast ON {shop.table} ((CAST(id AS TEXT)))")
    assert finding()[0] is True
    assert complete_run("first")["labelled"] == 3


ZONED = selected(
    created_at="posted AT TIME ZONE 'Asia/Shanghai'",
    updated_at="changed AT TIME ZONE 'Asia/Shanghai'",
)


@on_postgresql
def test_times_without_a_zone_get_one_in_the_view_and_an_index_of_their_own(make: Callable[..., Shop]) -> None:
    shop = make(select=ZONED, time_type="TIMESTAMP", further=("CREATE INDEX plain ON shop.comments (changed)",))
    assert "no index serves updated_at" in finding()[1]
    shop.execute("CREATE INDEX zoned ON shop.comments ((changed AT TIME ZONE 'Asia/Shanghai'))")
    assert finding()[0] is True
    shop.write(7, TEXTS[0], "2026-11-02 00:30:00")
    complete_run("first")
    assert [str(row["local_day"]) for row in rows(shop.engine, review_labels)] == ["2026-11-02"]


@on_postgresql
@pytest.mark.parametrize("key", ["INTEGER", "SMALLINT"])
def test_a_smaller_whole_number_is_as_good_a_key(key: str, make: Callable[..., Shop]) -> None:
    shop = make(key=key, further=("CREATE INDEX changed ON shop.comments (changed)",))
    shop.write(7, TEXTS[0])
    assert finding()[0] is True
    assert complete_run("first")["labelled"] == 1


@on_postgresql
def test_a_varchar_is_as_good_a_key_as_text(make: Callable[..., Shop]) -> None:
    make("text", key="VARCHAR(40)", further=("CREATE INDEX changed ON shop.comments (changed)",))
    assert finding()[0] is True


def test_reviews_without_a_time_are_counted(make: Callable[..., Shop]) -> None:
    shop = make()
    shop.write(7, TEXTS[0])
    shop.change(7, "changed = NULL")
    assert finding() == (False, "1 of 1 have no updated_at and are never scored: fill it in")
    assert complete_run("first", due=TUESDAY)["planned"] == 0
