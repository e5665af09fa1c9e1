"""A PostgreSQL that dies in the middle of a run and comes back: one clean re-run, and nothing is lost or doubled.

A round: some reviews are edited and some are new, a run is under way, and at a random moment of it every process of the
server gets SIGKILL. The server, which syncs what it commits, starts again; the run is run to its end.
``SENTI_SERVER_KILLS`` says how many rounds (default 4), ``SENTI_KILL_SEED`` which ones;
``--log-cli-level=INFO`` shows how far the runs had come.
"""

import logging
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Timer

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import WarehouseError
from senti_tasks.warehouse import database, migrations
from tests.faults.scored_runs import SEED, change, check, complete_run, phase
from tests.faults.servers import Server
from tests.situations import WEDNESDAY

log = logging.getLogger(__name__)

ROUNDS = int(os.environ.get("SENTI_SERVER_KILLS", "4"))


@pytest.fixture
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="senti-pg-"))  # not below tmp_path, which is closed to the server's user
    found = Server(folder)
    found.start()
    yield found
    found.stop()
    shutil.rmtree(folder)


@pytest.fixture
def warehouse_url(server: Server) -> str:
    """A migrated warehouse on that server, in place of the one that other tests share."""
    url = server.url.render_as_string(hide_password=False)
    engine = database.connect(url)
    migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")
    with database.reading(engine) as connection:
        durable = [connection.scalar(sa.text(f"SHOW {name}")) for name in ("fsync", "synchronous_commit")]
    assert durable == ["on", "on"], "what it commits would not outlive it"
    return url


@contextmanager
def killed_after(server: Server, seconds: float) -> Iterator[None]:
    """The server dies while the block runs, or as soon as it ends."""
    timer = Timer(seconds, server.kill)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def test_a_server_killed_at_random_moments_costs_a_run_a_clear_error_and_nothing_else(
    shop: Engine, server: Server
) -> None:
    draw = random.Random(f"{SEED} server")  # noqa: S311  it has to be drawn again
    complete_run("first", WEDNESDAY)
    history, phases = change(shop, 0, draw, WEDNESDAY), Counter[str]()
    begun = time.monotonic()
    complete_run("uninterrupted", WEDNESDAY + timedelta(hours=1))
    duration = time.monotonic() - begun
    check(shop, history, "uninterrupted")
    for number in range(1, ROUNDS + 1):
        due, idempotency_key = WEDNESDAY + timedelta(hours=number + 1), f"run {number}"
        history += change(shop, number, draw, due - timedelta(minutes=1))
        moment = draw.uniform(0, 1.1 * duration)
        where = f"seed {SEED}, round {number}, killed after {moment:.3f} s of {duration:.3f} s"
        reported = True
        with killed_after(server, moment):
            try:
                complete_run(idempotency_key, due)
                reported = False
            except WarehouseError as error:
                assert str(error).startswith("cannot reach the warehouse at"), where
        server.start()
        phases[phase(shop, idempotency_key) if reported else "over"] += 1
        complete_run(idempotency_key, due)
        check(shop, history, where)
    log.info("%d rounds: %s", ROUNDS, dict(phases))
    assert phases["over"] < ROUNDS, f"no kill came in time: {phases}"


def test_a_run_that_finds_no_server_says_so_and_loses_nothing(shop: Engine, server: Server) -> None:
    server.kill()
    with pytest.raises(WarehouseError, match=r"cannot reach the warehouse at .*: is SENTI_DATABASE_URL right"):
        complete_run("run", WEDNESDAY)
    server.start()
    complete_run("run", WEDNESDAY)
    check(shop, 0, "after a start")
