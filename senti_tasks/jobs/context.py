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
from typing import Any

from filelock import FileLock
from sqlalchemy import Engine

from senti_tasks import settings
from senti_tasks.artifacts import ArtifactStore
from senti_tasks.errors import ConfigError
from senti_tasks.settings import Settings
from senti_tasks.warehouse import database, migrations


@dataclass(frozen=True)
class JobContext:
    """Where a job reads and writes."""

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
    def resumable_folder(self, kind: str, *identity: Any) -> Iterator[Path]:
        """A folder for the work that ``identity`` (plain JSON) describes, held by one process at a time: a second
        waits.

        The folder is kept, so that killed work can continue there. The caller removes it when the work is done.
        """

        described = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
        folder = self.settings.work_folder / kind / described.hexdigest()[:16]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            yield folder


def load_context(*, migrated: bool = True) -> JobContext:
    """The context that the ``SENTI_*`` settings describe. Raises ``WarehouseError`` unless the warehouse is migrated.

    Also exports ``HF_ENDPOINT`` and its like from ``.env``. The hub's client reads them when it is imported, so a job
    calls this before it imports what loads that client."""
    found = settings.load()
    engine = database.connect(found.url)
    if migrated:
        with database.reading(engine) as connection:
            migrations.check_migrated(connection)
    return JobContext(found, engine, ArtifactStore(found.artifacts_root, found.work_folder))


def version_of(due: datetime, idempotency_key: str) -> str:
    """The version of what is trained: the day of ``due``, and six hex digits of the hash of ``idempotency_key``."""
    return f"{due:%Y-%m-%d}-{hashlib.sha256(idempotency_key.encode()).hexdigest()[:6]}"


def now() -> datetime:
    """The present time, for columns ``*_at``. Nothing that a job computes depends on it."""
    return datetime.now(UTC)


def parse_timestamp(due: str) -> datetime:
    """``due`` (ISO 8601 with a zone) as an aware datetime. Raises ``ConfigError``."""
    try:
        parsed = datetime.fromisoformat(due)
    except ValueError:
        raise ConfigError(
            f"due must be ISO 8601 with a zone, such as 2026-11-22T02:00:00+08:00, found {due!r}"
        ) from None
    if parsed.tzinfo is None:
        raise ConfigError(f"due must carry a zone, such as +08:00, found {due!r}")
    return parsed
