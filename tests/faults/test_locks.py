"""Analysts who hold a lock, or read for long, while a run is to be published.

``SENTI_LOCK_SECONDS`` says for how long a lock is held once the publication waits for it (default 0).
"""

import os
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, event

from senti_tasks.errors import LockedError
from senti_tasks.jobs import imports, scoring
from senti_tasks.jobs.operations import maintenance
from senti_tasks.warehouse import database, sessions
from senti_tasks.warehouse.models import service
from senti_tasks.warehouse.schema import review_labels
from senti_tasks.warehouse.scoring import publication
from tests.faults.deadlines import DEADLINE_S, wait_until
from tests.faults.scored_runs import CHANGES, REVIEWS, check, complete_run, score_run, text
from tests.situations import WEDNESDAY, add_model, add_reviews, count, on_postgresql, promote, rows, scoring_run

HOLD_S = float(os.environ.get("SENTI_LOCK_SECONDS", "0"))
LOCKS = {
    "sqlite": "UPDATE publication_lock SET publish_seq = publish_seq",  # any write: there is one lock
    "postgresql": "LOCK TABLE review_labels IN ACCESS EXCLUSIVE MODE",
}
WAITING = sa.text(
    "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
VIEWS = ("review_sentiment", "sentiment_daily", "sentiment_by_product", "scoring_health")


@contextmanager
def told_when_somebody_waits(engine: Engine) -> Iterator[Callable[[], bool]]:
    """Whether somebody waits for a lock. SQLite does not say: there it is whether somebody has asked for one."""
    if engine.dialect.name == "postgresql":
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as watcher:
            yield lambda: bool(watcher.scalar(WAITING))
        return
    asked = Event()

    def notice(_connection: object, _cursor: object, statement: str, *_rest: Any) -> None:
        if statement == "BEGIN IMMEDIATE":
            asked.set()

    event.listen(Engine, "before_cursor_execute", notice)
    try:
        yield asked.is_set
    finally:
        event.remove(Engine, "before_cursor_execute", notice)


def publish_against(engine: Engine, lock: str, run: int) -> dict[str, Any]:
    """Publishes while somebody holds ``lock``, and lets it go once the publication has waited for it."""
    with ThreadPoolExecutor(1) as pool:
        with database.writing(engine) as analyst:
            analyst.exec_driver_sql(lock)
            with told_when_somebody_waits(engine) as somebody_waits:
                publishing = pool.submit(scoring.publish, run)
                wait_until(lambda: somebody_waits() or publishing.done())
            assert not wait([publishing], timeout=HOLD_S).done, "it did not wait"
        return publishing.result(DEADLINE_S)


@on_postgresql
def test_of_two_imports_of_the_same_ids_at_once_the_second_is_an_error_that_quotes_no_text(
    engine: Engine, home: Path
) -> None:
    (home / "reviews.csv").write_text("id,text\n1,别人的话\n2,很好\n", "utf-8")
    columns: dict[str, str | None] = {"text": "text", "id": "id"}
    with ThreadPoolExecutor(1) as pool:
        with database.writing(engine) as first:
            add_reviews(first, {2: "很好"})
            with told_when_somebody_waits(engine) as somebody_waits:
                second = pool.submit(imports.import_reviews, home / "reviews.csv", columns)
                wait_until(lambda: somebody_waits() or second.done())
        with pytest.raises(LockedError, match=r"wrote reviews with the same ids .*: nothing was imported") as caught:
            second.result(DEADLINE_S)
    assert "别人的话" not in "".join(traceback.format_exception(caught.value))
    assert imports.import_reviews(home / "reviews.csv", columns)["imported"] == 1


def test_a_publication_waits_for_a_lock_and_then_goes_through(shop: Engine) -> None:
    run = score_run("run", WEDNESDAY)
    assert publish_against(shop, LOCKS[shop.dialect.name], run)["labelled"] == REVIEWS
    check(shop, 0, "after the lock")


@on_postgresql
@pytest.mark.parametrize("lock", ["review_sentiment IN ACCESS EXCLUSIVE", "review_labels IN SHARE"])
def test_it_waits_for_whoever_locks_a_view_or_wants_the_labels_to_stand_still(lock: str, shop: Engine) -> None:
    run = score_run("run", WEDNESDAY)
    assert publish_against(shop, f"LOCK TABLE {lock} MODE", run)["labelled"] == REVIEWS
    check(shop, 0, lock)


def impatient(engine: Engine, monkeypatch: pytest.MonkeyPatch, milliseconds: int) -> None:
    """Jobs wait for a lock no longer than this."""
    monkeypatch.setattr(sessions, "BUSY_TIMEOUT_MS", milliseconds)
    url = engine.url
    if engine.dialect.name == "postgresql":
        url = url.update_query_dict({"options": f"-c lock_timeout={milliseconds}"})
    monkeypatch.setenv("SENTI_DATABASE_URL", url.render_as_string(hide_password=False))


def test_a_publication_that_may_not_wait_so_long_says_so_and_loses_nothing(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = score_run("run", WEDNESDAY)
    impatient(shop, monkeypatch, 100)
    with database.writing(shop) as analyst:
        analyst.exec_driver_sql(LOCKS[shop.dialect.name])
        with pytest.raises(LockedError, match=r"held a lock .* nothing was changed; run this again when it is done"):
            scoring.publish(run)
    assert count(shop, review_labels) == 0
    complete_run("run", WEDNESDAY)
    check(shop, 0, "after the lock")


def shown(analyst: sa.Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {view: sorted(map(tuple, analyst.execute(sa.text(f"SELECT * FROM {view}"))), key=str) for view in VIEWS}


def test_who_only_reads_holds_up_no_publication_and_is_held_up_by_none(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete_run("first", WEDNESDAY)
    with database.writing(shop) as connection:
        new = {key: text(key, 0) for key in range(REVIEWS, REVIEWS + CHANGES)}
        add_reviews(connection, new, now=WEDNESDAY)
    run = score_run("second", WEDNESDAY + timedelta(hours=1))
    impatient(shop, monkeypatch, 30_000)
    reader = database.connect(os.environ["SENTI_DATABASE_URL"])
    with database.reading(reader) as long_reader:
        before = shown(long_reader)
        with database.writing(shop) as publisher:
            publication.publish(publisher, run, now=WEDNESDAY)
            with database.reading(reader) as another_reader:
                assert shown(another_reader) == before
        scoring.publish(run)
    assert len(rows(shop, "review_sentiment")) == REVIEWS + CHANGES
    check(shop, 0, "read meanwhile")


def test_upkeep_that_waited_for_two_rollbacks_keeps_the_labels_of_the_model_that_serves_now(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_KEEP_MODELS", "1")
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好"})
    for version in ("m1", "m2", "m3"):
        with database.writing(engine) as connection:
            add_model(connection, version)
            promote(connection, version)
        scoring_run(engine, version, scope="reconcile" if version == "m1" else "rescore", model=version)
        with database.writing(engine) as connection:
            service.start_if_covered(connection, now=WEDNESDAY)
    with ThreadPoolExecutor(1) as pool:
        with database.writing(engine) as person:
            for target in ("m2", "m1"):
                back = service.roll_back(person, actor="小李", reason="比昨天差", now=WEDNESDAY)
                assert back["model_version"] == target
            with told_when_somebody_waits(engine) as somebody_waits:
                retaining = pool.submit(maintenance.retain)
                wait_until(lambda: somebody_waits() or retaining.done())
        assert retaining.result(DEADLINE_S) == []
    assert [row["model_version"] for row in rows(engine, "review_sentiment")] == ["m1"]
