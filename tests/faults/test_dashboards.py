"""What an analyst's dashboard of several statements sees while runs are published: all of a run, or none of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Event

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from senti_tasks.warehouse import database
from tests.faults.deadlines import DEADLINE_S, wait_until
from tests.faults.scored_runs import REVIEWS, complete_run, text
from tests.situations import WEDNESDAY, add_reviews

RUNS = 5
NEW = 30
"""Reviews of a run."""
PANELS = (
    "SELECT COUNT(*) FROM review_sentiment",
    "SELECT SUM(reviews) FROM sentiment_daily",
    "SELECT SUM(reviews) FROM sentiment_by_product",
    "SELECT SUM(labelled) FROM scoring_health",
)
"""The labelled reviews, as each of the views counts them."""


def publish_a_run(engine: Engine, number: int) -> None:
    first = REVIEWS + NEW * number
    due = WEDNESDAY + timedelta(hours=number + 1)
    with database.writing(engine) as connection:
        new = {key: text(key, 0) for key in range(first, first + NEW)}
        add_reviews(connection, new, now=due - timedelta(minutes=1))
    complete_run(f"run {number}", due, shards=1)


@pytest.fixture
def labelled(shop: Engine) -> Engine:
    complete_run("first", WEDNESDAY)
    return shop


@contextmanager
def one_transaction(engine: Engine) -> Iterator[Connection]:
    """As docs/warehouse.md tells an analyst to: on PostgreSQL REPEATABLE READ; on SQLite each transaction is."""
    level = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with engine.execution_options(postgresql_readonly=True, **level).begin() as connection:
        yield connection


def ask(connection: Connection, *panels: str) -> list[int]:
    return [int(connection.scalar(sa.text(panel)) or 0) for panel in panels]


@pytest.mark.parametrize("seen", range(1, len(PANELS)))
def test_a_dashboard_in_one_transaction_shows_one_run_whatever_is_published_meanwhile(
    seen: int, labelled: Engine
) -> None:
    with one_transaction(labelled) as analyst:
        before = ask(analyst, *PANELS[:seen])
        publish_a_run(labelled, 0)
        assert before + ask(analyst, *PANELS[seen:]) == [REVIEWS] * len(PANELS)
    with one_transaction(labelled) as analyst:
        assert ask(analyst, *PANELS) == [REVIEWS + NEW] * len(PANELS)


def test_a_dashboard_without_a_transaction_may_show_two_runs(labelled: Engine) -> None:
    with database.reading(labelled) as analyst:
        before = ask(analyst, PANELS[0])
    publish_a_run(labelled, 0)
    with database.reading(labelled) as analyst:
        assert before + ask(analyst, PANELS[1]) == [REVIEWS, REVIEWS + NEW]


def test_one_statement_over_several_views_always_shows_one_run(labelled: Engine) -> None:
    statement = sa.text(f"SELECT {', '.join(f'({panel})' for panel in PANELS)}")
    over = Event()
    seen: list[tuple[int, ...]] = []

    def look() -> None:
        while not over.is_set():
            with database.reading(labelled) as connection:
                seen.append(tuple(int(figure) for figure in connection.execute(statement).one()))

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            for number in range(RUNS):
                wait_until(lambda: bool(seen) or looking.done())
                publish_a_run(labelled, number)
        finally:
            over.set()
        looking.result(DEADLINE_S)
    assert all(len(set(figures)) == 1 for figures in seen)
    totals = [figures[0] for figures in seen]
    assert totals == sorted(totals)
    assert set(totals) <= {REVIEWS + NEW * number for number in range(RUNS + 1)}
    assert totals[0] == REVIEWS
