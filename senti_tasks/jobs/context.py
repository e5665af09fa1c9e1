"""What every job needs: the settings, the warehouse and the artifact store."""

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine

from senti_tasks import settings
from senti_tasks.artifacts import ArtifactStore
from senti_tasks.config import DriftConfig
from senti_tasks.errors import ArtifactError, ConfigError
from senti_tasks.hours import Pause, next_pause
from senti_tasks.settings import Settings
from senti_tasks.training.loop.interruptions import Interruptions
from senti_tasks.warehouse import database, migrations

RESUMABLE = ("training", "pretraining")
"""The folders below SENTI_WORK that hold the checkpoints of unfinished work."""


@dataclass(frozen=True)
class JobContext:
    """Where a job reads and writes."""

    settings: Settings
    engine: Engine
    store: ArtifactStore

    def reading(self) -> AbstractContextManager[Connection]:
        """A read-only transaction on the warehouse."""
        return database.reading(self.engine)

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that commits when the block ends, and is rolled back when the block raises."""
        return database.writing(self.engine)

    @property
    def drift_config(self) -> DriftConfig:
        """The bounds of drift that the settings name."""
        found = self.settings
        return DriftConfig(psi=found.drift_psi, unlike_share=found.drift_unlike, accuracy_loss=found.drift_accuracy)

    def interruptions(self, turn_minutes: float | None = None) -> Interruptions:
        """Those that the settings ask for in a training that begins now. After ``turn_minutes`` it gives its slot up
        for a minute, for other work that may wait for it.

        Raises ``TrainingStoppedError`` in the hours that are kept free of trainings.
        """
        begun, every_s = now().astimezone(self.settings.zone), 60.0 * self.settings.checkpoint_minutes
        interruptions = Interruptions(every_s, next_pause(self.settings.no_training, begun))
        interruptions.refuse_to_begin_in_a_pause()
        if turn_minutes is None:
            return interruptions
        turn_end = begun + timedelta(minutes=turn_minutes)
        if interruptions.pause is not None and interruptions.pause.start <= turn_end:
            return interruptions
        return Interruptions(
            every_s, Pause(turn_end, turn_end + timedelta(minutes=1)), "other work may wait for its slot"
        )

    def fetch(self, recorded: Mapping[str, Any]) -> Path:
        """The local folder of the artifact that a row of the warehouse records, after checking it against its digest.

        Raises ``ArtifactError`` if it is missing or was changed, or was deleted by retention.
        """
        if recorded.get("retired_at") is not None:
            raise ArtifactError(
                f"{recorded['artifact']} was deleted on {recorded['retired_at']:%Y-%m-%d}, because nothing needed it "
                "any more (SENTI_KEEP_ARTIFACTS_DAYS): take a newer one, or restore it from a backup"
            )
        return self.store.fetch(recorded["artifact"], recorded["digest"])

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder below SENTI_WORK that is deleted when the block ends. A killed process leaves it."""
        folder = self._scratch_root / uuid.uuid4().hex
        self._scratch_root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{folder}.lock")
        with lock:
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder)
                Path(lock.lock_file).unlink()

    def remove_left_scratch(self) -> None:
        """Deletes the scratch folders that killed processes of this machine have left."""
        for folder in self._scratch_root.glob("*/"):
            try:
                with FileLock(f"{folder}.lock", timeout=0) as lock:
                    shutil.rmtree(folder, ignore_errors=True)  # the process may have deleted it meanwhile
                    Path(lock.lock_file).unlink(missing_ok=True)
            except Timeout:  # a living process holds it
                continue

    def left_trainings(self, before: datetime) -> list[Path]:
        """The folders of trainings and pretrainings on this machine that nobody continued since ``before``."""
        folders = [path for kind in RESUMABLE for path in (self.settings.work_folder / kind).glob("*/")]
        return sorted(path for path in folders if _newest_change(path) < before.timestamp())

    def remove_left_trainings(self, before: datetime) -> list[Path]:
        """Deletes ``left_trainings``, except those that a process holds. Returns the deleted folders."""
        removed = []
        for folder in self.left_trainings(before):
            with suppress(Timeout), FileLock(f"{folder}.lock", timeout=0):  # the lock stays: somebody may wait for it
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
        return removed

    @property
    def _scratch_root(self) -> Path:
        return self.settings.work_folder / "scratch"

    @contextmanager
    def resumable_folder(self, kind: Literal["training", "pretraining"], *identity: Any) -> Iterator[Path]:
        """The folder below SENTI_WORK for the work that ``identity`` (plain JSON) describes.

        One process at a time holds it; a second one waits. The folder stays when the block ends, so that a killed job
        can continue from it. The caller deletes it when the work is done. Those that nobody continued for
        SENTI_KEEP_ARTIFACTS_DAYS are deleted first: no other machine can reach the disk of a GPU worker.
        """
        if (days := self.settings.keep_artifacts_days) is not None:
            self.remove_left_trainings(now() - timedelta(days=days))
        described = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
        folder = self.settings.work_folder / kind / described.hexdigest()[:16]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            yield folder


_PATIENCE: ContextVar[int | None] = ContextVar("patience", default=None)


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Within the block, the contexts that this thread loads wait at most ``seconds`` for the warehouse to be reached
    and for a lock of it: somebody is looking at a page. See ``database.connect``."""
    token = _PATIENCE.set(seconds)
    try:
        yield
    finally:
        _PATIENCE.reset(token)


def load_context(*, migrated: bool = True) -> JobContext:
    """The context that the ``SENTI_*`` settings describe. Raises ``WarehouseError`` unless the warehouse is migrated,
    with SENTI_TIMEZONE as it is now; ``migrated=False`` skips this check.

    It also puts ``HF_ENDPOINT`` and the other ``HF_*`` variables of ``.env`` into the environment. The hub's client
    reads them when it is imported, so a job calls this function before it imports a module that loads that client.
    """
    found = settings.load()
    engine = database.connect(found.database_url, home=found.home, patience_s=_PATIENCE.get())
    if migrated:
        with database.reading(engine) as connection:
            migrations.check_migrated(connection)
            migrations.check_settings(connection, timezone=found.timezone)
    return JobContext(found, engine, ArtifactStore(found.artifacts_root, found.work_folder))


def _newest_change(folder: Path) -> float:
    """The time of the newest change in ``folder``, in seconds since 1970."""
    found = [time.time()]  # a folder that vanishes meanwhile is in use
    with suppress(FileNotFoundError):
        found = [path.lstat().st_mtime for path in (folder, *folder.rglob("*"))]
    return max(found)


def version_of(due: datetime, idempotency_key: str, zone: ZoneInfo) -> str:
    """The version of a trained model or encoder: the day of ``due`` in ``zone``, then 6 hex digits of the hash of
    ``idempotency_key``."""
    return f"{due.astimezone(zone):%Y-%m-%d}-{hashlib.sha256(idempotency_key.encode()).hexdigest()[:6]}"


def now() -> datetime:
    """The current time in UTC, for columns ``*_at`` only: no result of a job depends on it."""
    return datetime.now(UTC)


def parse_timestamp(due: str) -> datetime:
    """``due`` (ISO 8601 with a UTC offset) as an aware datetime. Raises ``ConfigError`` if it is anything else."""
    try:
        parsed = datetime.fromisoformat(due)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise ConfigError(
            f"due must be ISO 8601 with a UTC offset, such as 2026-11-22T02:00:00+08:00, found {due!r}"
        ) from None
    return parsed
