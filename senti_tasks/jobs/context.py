"""What every job needs first: the settings, the warehouse (checked to be migrated) and the artifact store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from senti_tasks.artifacts import ArtifactStore
    from senti_tasks.settings import Settings


@dataclass(frozen=True)
class Workplace:
    settings: Settings
    engine: Engine
    store: ArtifactStore

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on this machine's scratch disk, gone when the block ends."""
        self.settings.work_folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.settings.work_folder) as folder:
            yield Path(folder)

    @contextmanager
    def bench(self, kind: str, *identity: Any) -> Iterator[Path]:
        """A folder for the work that ``identity`` (plain JSON) describes; of two at once the second waits.

        It is kept, so that work that was killed goes on there: who is done removes it.
        """
        from filelock import FileLock

        described = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
        folder = self.settings.work_folder / kind / described.hexdigest()[:16]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            yield folder


def enter(*, migrated: bool = True) -> Workplace:
    """The workplace that the ``SENTI_*`` settings describe. Raises ``WarehouseError`` unless it is migrated."""
    from senti_tasks import settings
    from senti_tasks.artifacts import ArtifactStore
    from senti_tasks.warehouse import database, migrations

    found = settings.load()
    engine = database.connect(found.url)
    if migrated:
        with database.reading(engine) as connection:
            migrations.check_migrated(connection)
    return Workplace(found, engine, ArtifactStore(found.artifacts_root, found.work_folder))


def version_of(due: datetime, origin: str) -> str:
    """What is trained for ``due`` by ``origin`` is called: the day, and what tells it from others of that day."""
    return f"{due:%Y-%m-%d}-{hashlib.sha256(origin.encode()).hexdigest()[:6]}"


def now() -> datetime:
    """The clock, for columns that say when something happened; what a job computes never depends on it."""
    return datetime.now(UTC)


def instant(due: str) -> datetime:
    """The aware time that ``due`` (ISO 8601, with a zone) spells."""
    from senti_tasks.errors import ConfigError

    try:
        parsed = datetime.fromisoformat(due)
    except ValueError:
        raise ConfigError(
            f"due must be ISO 8601 with a zone, such as 2026-11-22T02:00:00+08:00, found {due!r}"
        ) from None
    if parsed.tzinfo is None:
        raise ConfigError(f"due must carry a zone, such as +08:00, found {due!r}")
    return parsed
