"""An API server for the tests of each file, and warehouses in which something waits for a person."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from local.airflow import free_port
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import models
from senti_tasks.warehouse.scoring import held_runs
from tests.page.api_server import Server, running
from tests.situations import (
    PHRASES,
    TUESDAY,
    WEDNESDAY,
    add_model,
    add_reviews,
    answer,
    open_planned_run,
    promote,
    scoring_run,
)

HELD_BECAUSE = "shares_are_as_usual: {'figure': 'share of negative', 'found': 0.91}"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("simple", tmp_path_factory.mktemp("simple"), free_port()) as opened:
        yield opened


@pytest.fixture
def shop(server: Server, warehouse_url: str, engine: Engine) -> Engine:
    """A warehouse that the page shows: ``m1`` is in service, ``m2`` passed the gate, and ``m3`` was refused. Run 1 is
    published, and run 2 is held."""
    server.use(warehouse_url)
    fill(engine)
    return engine


def fill(engine: Engine) -> None:
    with database.writing(engine) as connection:
        for version, verdict in (("m1", "promote"), ("m2", "promote"), ("m3", "refuse")):
            add_model(connection, version, verdict=verdict)
        connection.execute(sa.update(models).where(models.c.version == "m2").values(trained_at=TUESDAY))
        promote(connection, "m1")
        add_reviews(connection, dict(enumerate(PHRASES, start=1)))
    scoring_run(engine, "score_reviews/scheduled__2026-11-04T02:00:00+08:00")
    with database.writing(engine) as connection:
        add_reviews(connection, {key + 100: text for key, text in enumerate(PHRASES)}, now=TUESDAY)
        run = open_planned_run(connection, "senti score/by hand")
        answer(connection, run)
        held_runs.hold(connection, run, because=HELD_BECAUSE, now=WEDNESDAY)


@pytest.fixture
def nothing_listens(tmp_path: Path) -> str:
    return f"postgresql+psycopg://senti:geheim@127.0.0.1:{free_port()}/senti"
