"""A backup is restored into an empty place, and the pipeline goes on there as if nothing had happened."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import ArtifactError, ConfigError, WarehouseError
from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import backups, upkeep
from senti_tasks.warehouse import copies, database
from senti_tasks.warehouse.database import count_rows
from senti_tasks.warehouse.schema import metadata, review_labels, reviews
from tests.conftest import Databases
from tests.situations import MONDAY, PHRASES, add_reviews, count, edit, rows


def labelled(number: int) -> list[dict[str, Any]]:
    (run,) = scoring.open_series(f"night {number}", (MONDAY + number * timedelta(days=1)).isoformat())
    scoring.complete_series([run])
    return scoring.publish_series([run])


@pytest.fixture
def shop(engine: Engine, champion: str) -> Engine:
    """Labels, replaced labels, a run that waits with staged labels, and texts with everything that a format can
    break."""
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate([*PHRASES, "制表\t换行\n反斜杠\\N引号\"'，,🦜"])), now=MONDAY)
    labelled(1)
    with database.writing(engine) as connection:
        edit(connection, 0, "改过的评论", now=MONDAY + timedelta(days=1))
    labelled(2)
    upkeep.freeze("盘点", "小李")
    with database.writing(engine) as connection:
        add_reviews(connection, {100: "还没发布"}, now=MONDAY + timedelta(days=2))
    (run,) = scoring.open_series("night 3", (MONDAY + timedelta(days=3)).isoformat())
    scoring.complete_series([run])
    return engine


@pytest.fixture
def backup(shop: Engine, tmp_path: Path) -> Path:
    folder = tmp_path / "backup"
    backups.back_up(str(folder))
    return folder


@pytest.fixture
def elsewhere(
    backup: Path, databases: Databases, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """Another machine: an empty warehouse, an empty artifact store."""
    url = databases.migrated()
    monkeypatch.setenv("SENTI_DATABASE_URL", url)
    monkeypatch.setenv("SENTI_HOME", str(tmp_path_factory.mktemp("elsewhere")))
    opened = database.connect(url)
    yield opened
    opened.dispose()
    databases.drop(url)


def contents(engine: Engine) -> dict[str, list[str]]:
    return {table.name: sorted(map(str, rows(engine, table))) for table in metadata.sorted_tables}


def test_every_row_is_the_same_and_the_next_night_goes_on(shop: Engine, backup: Path, elsewhere: Engine) -> None:
    manifest = backups.restore(str(backup))
    assert manifest["warehouse"]["tables"]["review_labels"] == len(PHRASES) + 1
    assert list(manifest["missing"]) == ["corpora/none"], "and it is said: the fixtures have no corpus"
    assert contents(elsewhere) == contents(shop)
    assert upkeep.unfreeze("小李")["waiting"]
    with database.writing(elsewhere) as connection:
        add_reviews(connection, {200: "恢复以后来的"}, now=MONDAY + timedelta(days=3))
    labelled(4)
    assert count(elsewhere, review_labels) == count(elsewhere, reviews) == len(PHRASES) + 3
    assert scoring.predict(["恢复以后来的"])[0]["label_name"] in ("negative", "positive")


def test_a_backup_is_restored_into_an_empty_place_only_and_once(backup: Path, elsewhere: Engine) -> None:
    backups.restore(str(backup))
    before = contents(elsewhere)
    with pytest.raises(WarehouseError, match=r"it has rows in reviews, models, scoring_runs\. Nothing was changed"):
        backups.restore(str(backup))
    assert contents(elsewhere) == before


@pytest.mark.parametrize("part", ["warehouse/*", "artifacts/*/*/model.safetensors"])
def test_a_file_that_was_changed_is_refused_before_anything_is_stored(
    part: str, backup: Path, elsewhere: Engine
) -> None:
    changed = sorted(backup.glob(part))[0]
    changed.write_bytes(changed.read_bytes() + b"x")
    with pytest.raises(ArtifactError, match=f"{changed.name} is missing or was changed since the backup"):
        backups.restore(str(backup))
    changed.unlink()
    with pytest.raises(ArtifactError, match="is missing or was changed"):
        backups.restore(str(backup))
    assert count(elsewhere, reviews) == 0


def test_a_backup_that_was_broken_off_is_none(backup: Path, elsewhere: Engine) -> None:
    (backup / backups.MANIFEST).unlink()
    with pytest.raises(ConfigError, match=r"holds no complete backup: expected the file manifest\.json"):
        backups.restore(str(backup))


def test_a_folder_that_is_not_empty_is_refused(shop: Engine, backup: Path) -> None:
    with pytest.raises(ConfigError, match="is not empty: name a new folder"):
        backups.back_up(str(backup))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [("revision", "0009", "use that version first"), ("database", "oracle", "and the backup is of oracle")],
)
def test_a_backup_of_another_kind_is_refused(
    setting: str, value: str, message: str, backup: Path, elsewhere: Engine
) -> None:
    file = backup / backups.MANIFEST
    manifest = json.loads(file.read_text("utf-8"))
    manifest["warehouse"][setting] = value
    file.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(WarehouseError, match=message):
        backups.restore(str(backup))


def test_reviews_that_arrive_during_a_backup_are_in_all_of_it_or_in_nothing_of_it(
    shop: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Any] = []

    def counting(connection: sa.Connection, table: Any) -> int:
        if not counted and shop.dialect.name == "postgresql":  # on SQLite, the file is copied as a whole
            with database.writing(shop) as other:
                add_reviews(other, {300: "正在备份"}, now=MONDAY)
        counted.append(table)
        return count_rows(connection, table)

    monkeypatch.setattr(copies, "count_rows", counting)
    number = count(shop, reviews)
    manifest = backups.back_up(str(tmp_path / "another"))
    assert manifest["warehouse"]["tables"]["reviews"] == number
