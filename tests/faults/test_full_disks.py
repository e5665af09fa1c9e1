"""A disk that is full in the middle of a run: a clear error, nothing by halves, and it goes on once there is room."""

import logging
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.artifacts import ArtifactStore
from senti_tasks.errors import StoreError, WarehouseError
from senti_tasks.warehouse import database, migrations
from tests.faults.disks import NO_ROOM, Disk, mounted
from tests.faults.scored_runs import SEED, change, check, complete_run, phase
from tests.situations import WEDNESDAY

log = logging.getLogger(__name__)

KILOBYTES = (0, 32, 48, 64, 80, 96, 128)
"""What is left on the disk when a run begins."""


@pytest.fixture
def disk() -> Iterator[Disk]:
    # Not below tmp_path, which is closed to PostgreSQL's user.
    with tempfile.TemporaryDirectory(prefix="senti-disk-") as folder, mounted(Path(folder), megabytes=64) as disk:
        yield disk


@pytest.fixture
def warehouse_url(disk: Disk, dialect: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated warehouse on that disk; of PostgreSQL the tables, and not the log of what is written."""
    if dialect == "sqlite":
        yield migrated(f"sqlite:///{disk.folder / 'senti.db'}")
        return
    server: sa.URL = request.getfixturevalue("postgres")
    with sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as connection:
        owner = Path(str(connection.scalar(sa.text("SHOW data_directory")))).stat()
        os.chown(disk.folder, owner.st_uid, owner.st_gid)
        connection.exec_driver_sql(f"CREATE TABLESPACE small LOCATION '{disk.folder}'")
        connection.exec_driver_sql("CREATE DATABASE small TABLESPACE small")
        yield migrated(server.set(database="small").render_as_string(hide_password=False))
        connection.exec_driver_sql("DROP DATABASE small WITH (FORCE)")
        connection.exec_driver_sql("DROP TABLESPACE small")


def migrated(url: str) -> str:
    engine = database.connect(url)
    database.create_file(engine)
    migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")
    return url


@pytest.mark.parametrize("fault", ["Read-only file system", "No space left on device"])
def test_a_store_that_cannot_be_written_keeps_nothing_by_halves_and_takes_the_artifact_later(
    fault: str, disk: Disk, model_folder: Path
) -> None:
    store = ArtifactStore(str(disk.folder / "artifacts"), disk.folder / "work")
    kept = store.put(model_folder, "models", "before")
    if fault.startswith("Read"):
        disk.remount("ro")
    else:
        disk.fill(leaving=16_384)
    with pytest.raises(StoreError, match=rf"models/after-\w+ was not stored, because SENTI_ARTIFACTS=.*\({fault}\)"):
        store.put(model_folder, "models", "after")
    assert store.names("models") == [kept[0]]
    assert store.fetch(*kept).is_dir(), "what was stored before can be read"
    if fault.startswith("Read"):
        disk.remount("rw")
    else:
        disk.make_room()
    assert store.fetch(*store.put(model_folder, "models", "after")).is_dir()


def test_a_full_disk_fails_a_run_clearly_and_costs_it_nothing_else(shop: Engine, disk: Disk) -> None:
    draw = random.Random(SEED)  # noqa: S311  it has to be drawn again
    complete_run("first", WEDNESDAY)
    check(shop, 0, "first")
    history, phases = 0, Counter[str]()
    for number, kilobytes in enumerate(KILOBYTES):
        due, idempotency_key = WEDNESDAY + timedelta(hours=number + 1), f"run {number}"
        history += change(shop, number, draw, due - timedelta(minutes=1))
        disk.fill(leaving=1_024 * kilobytes)
        reported = True
        try:
            complete_run(idempotency_key, due)
            reported = False
        except WarehouseError as error:
            assert NO_ROOM.search(str(error))
        disk.make_room()
        phases[phase(shop, idempotency_key) if reported else "over"] += 1
        complete_run(idempotency_key, due)
        check(shop, history, f"{kilobytes} KB were left")
    log.info("%s: %s", KILOBYTES, dict(phases))
    assert phases["over"] < len(KILOBYTES), phases
