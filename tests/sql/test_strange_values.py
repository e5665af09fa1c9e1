"""One review with a strange value stops nothing: neither the labels nor the snapshot of all others."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.corpus import snapshot
from senti_tasks.errors import WarehouseError
from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import checkup, maintenance, upkeep
from senti_tasks.text import text_hash
from senti_tasks.warehouse import database, days, migrations, overview
from senti_tasks.warehouse.database import count_rows
from senti_tasks.warehouse.models import corpora, texts
from senti_tasks.warehouse.schema import run_items, scoring_errors
from senti_tasks.warehouse.scoring import runs, series
from tests.situations import PHRASES, WEDNESDAY, deploy, on_sqlite, rows

REVIEWS = 1_000
LONG = "货" * 10_000

TIMES = {
    "postgresql": ("9999-12-31", "infinity", "-infinity", "0044-03-15 BC", "12000-01-01", "2099-01-01", "0001-01-01"),
    "sqlite": (
        *("9999-12-31 23:59:59.999999", "0001-01-01 00:00:00.000000", "2099-01-01", "12000-01-01", "2020/1/3", "昨天"),
        *(
            "",
            0,
            1_577_836_800,
            -1.5,
            b"2020-01-03",
            b"\xff\x00",
            "2020-01-03T10:00:00Z",
            "2020-02-30",
            "infinity",
            "1577836800",
            " 1.0 ",
        ),
    ),
}
VALUES: dict[str, dict[str, tuple[Any, ...]]] = {
    dialect: {
        "created_at": times,
        "updated_at": times,
        "product": (
            "",
            LONG,
            "'; DROP TABLE reviews; --",
            "🏨\u202e\u200b",
            *([b"\xb7\xbf\0", 7, "a\0b"] if on_sqlite else []),
        ),
        "review_text": (
            "",
            LONG,
            "🏨\u202e\u200b",
            *([b"\xb7\xbf", 7, 1.5, "a\0b", b"\xe5\xa5\xbd"] if on_sqlite else []),
        ),
    }
    for dialect, times in TIMES.items()
    for on_sqlite in [dialect == "sqlite"]
}
TEXT_KEYS = ("", "甲 🏨", "a\nb", "'; --", "%s", LONG[:500], "\u202e", " 7 ")
COLUMNS = "review_id, review_text, product, created_at, updated_at"
BROKEN = "CAST(x'b7bf' AS TEXT)"  # not UTF-8
NO_LABEL = {"review_text": 1}


@dataclass
class Shop:
    engine: Engine
    table: str
    ids: str

    def fill(self) -> None:
        numbered = [
            (str(n) if self.ids != "bigint" else n, f"{PHRASES[n % len(PHRASES)]}{n % 50}") for n in range(REVIEWS)
        ]
        with database.writing(self.engine) as connection:
            connection.execute(
                sa.text(f"INSERT INTO {self.table} ({COLUMNS}) VALUES (:key, :text, '面馆', :now, :now)"),
                [{"key": key, "text": text, "now": "2026-11-02 12:00:00.000000"} for key, text in numbered],
            )

    def put(self, values: tuple[Any, ...], column: str, first: int = 0) -> None:
        on_sqlite = self.engine.dialect.name == "sqlite"
        kind = "" if on_sqlite or not column.endswith("_at") else "::text::timestamptz"
        quote = "'" if self.ids != "bigint" else ""
        with database.writing(self.engine) as connection:
            for number, value in enumerate(values, first):
                change = f"UPDATE {self.table} SET {column} = :value{kind} WHERE review_id = {quote}{number}{quote}"
                connection.execute(sa.text(change.replace("::", r"\:\:")), {"value": value})


@pytest.fixture(params=["ours", "the team's"])
def make(
    request: pytest.FixtureRequest,
    empty_url: str,
    bare_home: Path,
    model_folder: Path,
    one_thread: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Shop]:
    """Makes a warehouse with 1,000 reviews and a model in service. A team's own table has no constraint."""

    def made(ids: str = "bigint") -> Shop:
        engine = database.connect(empty_url)
        monkeypatch.setenv("SENTI_DATABASE_URL", empty_url)
        monkeypatch.setenv("SENTI_REVIEW_ID_TYPE", ids)
        table = "reviews"
        if request.param != "ours":
            table, time = "comments", "TEXT" if engine.dialect.name == "sqlite" else "TIMESTAMPTZ"
            database.create_file(engine)
            with database.writing(engine) as connection:
                connection.exec_driver_sql(
                    f"CREATE TABLE comments (review_id {ids}, review_text TEXT, product TEXT, created_at {time}, "
                    f"updated_at {time})"
                )
                for column in ("review_id", "updated_at"):
                    connection.exec_driver_sql(f"CREATE INDEX by_{column} ON comments ({column})")
            monkeypatch.setenv("SENTI_REVIEWS_TABLE", table)
        upkeep.migrate()
        deploy(engine, model_folder, bare_home)
        shop = Shop(engine, table, ids)
        shop.fill()
        return shop

    return made


def complete_run(key: str, due: Any = WEDNESDAY, scope: str = "new") -> dict[str, Any]:
    (run,) = scoring.open_series(key, due.isoformat(), scope=scope)
    for shard in scoring.plan(run):
        scoring.score_shard(run, shard)
    scoring.audit(run)
    return scoring.publish(run)


def annotate_all(shop: Shop) -> None:
    """People label every review that can be labelled."""
    with database.writing(shop.engine) as connection:
        found = connection.execute(sa.select(sa.text("review_id, review_text")).select_from(sa.table("reviews"))).all()
        annotations = [
            {"key": key, "text": text_hash(text), "label": number % 2}
            for number, (key, text) in enumerate(found)
            if isinstance(key, int | str) and isinstance(text, str) and str(key).isprintable()
        ]
        insert = "INSERT INTO review_annotations VALUES (:key, '小王', '2026-11-02 12:00:00+00:00', :label, :text)"
        connection.execute(sa.text(insert.replace(":00", r"\:00")), annotations)


def finding() -> tuple[Any, str]:
    (row,) = (row for row in checkup.run_checks() if row["name"] == "reviews")
    return row["ok"], row["finding"]


@pytest.mark.parametrize("column", ["created_at", "updated_at", "product", "review_text"])
def test_a_strange_value_in_one_column_stops_nothing(column: str, dialect: str, make: Callable[..., Shop]) -> None:
    values = VALUES[dialect][column]
    shop = make()
    shop.put(values, column)
    published = complete_run("first")
    assert published["planned"] == REVIEWS
    assert published["labelled"] + published["failed"] == REVIEWS
    reasons = [row["reason"] for row in rows(shop.engine, scoring_errors)]
    assert len(reasons) == published["failed"]
    if column != "review_text":
        assert reasons == []
    assert complete_run("second")["planned"] == 0, "each version has its answer"
    assert complete_run("weekly", scope="reconcile")["planned"] == 0
    assert complete_run("again", scope="all")["labelled"] == published["labelled"]
    annotate_all(shop)
    with database.reading(shop.engine) as connection:
        found = [snapshot.LabelledReview(**row) for row in corpora.labelled_reviews(connection, due=WEDNESDAY)]
        assert sum(len(chunk) for chunk in texts.read_chunks(connection)) == REVIEWS
        assert len(corpora.unlabelled_texts(connection, limit=REVIEWS, seed=1)) == REVIEWS - len(found)
    assert len(found) >= REVIEWS - (len(values) if column == "review_text" else 0)
    assert snapshot.clean(found)[0]
    with database.writing(shop.engine) as connection:
        days.recount(connection, "America/New_York")
    assert len(rows(shop.engine, "sentiment_latest")) == published["labelled"]
    for view in migrations.view_statements():
        rows(shop.engine, view)
    with database.reading(shop.engine) as connection:
        for query in (migrations.SQL / "queries").glob("*.sql"):
            overview.run_query(connection, query.stem)


@pytest.mark.parametrize("ids", ["text", "bigint"])
def test_a_strange_key_stops_nothing(ids: str, dialect: str, make: Callable[..., Shop]) -> None:
    shop = make(ids)
    on_sqlite, is_ours = dialect == "sqlite", shop.table == "reviews"
    unusable: tuple[str, ...] = ()
    if ids == "text":
        shop.put(TEXT_KEYS, "review_id")
        unusable = (BROKEN,) if on_sqlite else ()
    elif on_sqlite and not is_ours:  # the column of our own table takes only whole numbers
        shop.put(("甲", "", "1e99", 1.5, b"7", -(2**63)), "review_id")
        unusable = (BROKEN,)
    else:
        shop.put((-(2**63), 2**63 - 1), "review_id")
    unusable += () if is_ours else ("NULL",)
    quote = "'" if ids == "text" else ""
    with database.writing(shop.engine) as connection:
        for number, key in enumerate(unusable, 900):
            connection.exec_driver_sql(
                f"UPDATE {shop.table} SET review_id = {key} WHERE review_id = {quote}{number}{quote}",
                execution_options={"no_parameters": True},
            )
    assert complete_run("first")["labelled"] == REVIEWS - len(unusable)
    assert complete_run("second")["planned"] == 0
    assert complete_run("again", scope="all")["labelled"] == REVIEWS - len(unusable)
    with database.writing(shop.engine) as connection:
        many: dict[str, Any] = {
            "idempotency_key": "ranges",
            "scope": "all",
            "model_version": "2026-11-02-tiny",
            "variant": "fp32",
        }
        ranges = series.open_series(connection, **many, due=WEDNESDAY, now=WEDNESDAY, rows=100)
        assert len(ranges) == 10
        for run in ranges:
            runs.plan(connection, run)
        assert count_rows(connection, run_items) == REVIEWS - len(unusable)
    with database.reading(shop.engine) as connection:
        assert len(corpora.unlabelled_texts(connection, limit=2 * REVIEWS, seed=1)) == REVIEWS - len(unusable)
    found_ok, said = finding()
    if unusable:
        assert (found_ok, said.split(" have ")[0]) == (False, f"{len(unusable)} of 1,000")
    annotate_all(shop)
    with database.writing(shop.engine) as connection:
        found = [snapshot.LabelledReview(**row) for row in corpora.labelled_reviews(connection, due=WEDNESDAY)]
        corpora.record_splits(connection, {"0" * 64: "train"}, shingles={"0" * 64: b""}, now=WEDNESDAY)
        corpora.record_reviews_in_ledger(connection, [("0" * 64, one.review_id) for one in found])
        assert sum(len(chunk) for chunk in texts.read_chunks(connection)) >= REVIEWS - 10
    assert len(found) >= REVIEWS - 10


@on_sqlite
@pytest.mark.parametrize("make", ["the team's"], indirect=True)
@pytest.mark.parametrize(("ids", "others"), [("bigint", ("甲", b"7", 1.5)), ("text", (b"7", b"\xff"))])
def test_deleted_reviews_with_strange_keys_do_not_keep_others_from_being_erased(
    ids: str, others: tuple[Any, ...], make: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = make(ids)
    shop.put(others, "review_id")
    complete_run("first")
    with database.writing(shop.engine) as connection:
        connection.exec_driver_sql("DELETE FROM comments WHERE rowid <= 50")
    monkeypatch.setenv("SENTI_DELETED_REVIEWS", "erase")
    assert maintenance.settle_deleted("weekly") == {"deleted": 50, "erased": 50 - len(others)}
    assert maintenance.settle_deleted("again") == {"deleted": len(others), "erased": 0}


@pytest.mark.parametrize("make", ["the team's"], indirect=True)
def test_a_key_that_occurs_twice_is_an_error_that_says_so(make: Callable[..., Shop]) -> None:
    shop = make()
    shop.put((7,), "review_id", 8)
    with pytest.raises(WarehouseError, match=r"holds a review_id twice .*: it must be unique, also in a view"):
        complete_run("first")


def test_the_doctor_counts_reviews_without_a_usable_time(make: Callable[..., Shop]) -> None:
    shop = make()
    assert finding() == (True, "1,000, each with the time of its last change")
    on_sqlite = shop.engine.dialect.name == "sqlite"
    shop.put(("9999-12-31", "-infinity"), "created_at")
    shop.put(("" if on_sqlite else "infinity",), "updated_at", 10)
    found_ok, said = finding()
    assert found_ok is True
    assert "2 have no created_at between the years 2 and 9998, so they count on the day of scoring" in said
    assert "1 have an updated_at that is no such time: they are scored" in said
    if shop.table != "reviews":
        shop.put((None, None), "updated_at", 20)
        assert complete_run("first")["labelled"] == REVIEWS - 2
        assert finding() == (False, "2 of 1,000 have no updated_at and are never scored: fill it in")
