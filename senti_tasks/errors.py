"""The errors that this project raises. Each message says what was expected, what was found and what to do next."""

from datetime import datetime
from typing import ClassVar

SHOWN_LENGTH = 16
"""Characters of a cell that a message may quote. A label, a name or a date in Chinese is shorter, and most reviews are
longer."""


def quoted(cell: object) -> str:
    """How a message quotes a cell of a file or table: in quotes if it is short, and otherwise only its length.

    In a broken row, a text can be where a label or a date should be, and messages stay in logs after the review was
    erased. ASCII may be longer: it is a name or a number.
    """
    spelling = str(cell)
    if len(spelling) <= (40 if spelling.isascii() else SHOWN_LENGTH):
        return repr(spelling)
    return f"a text of {len(spelling):,} characters"


class SentiError(Exception):
    """Base class of all errors here. The command line prints the message on one line and exits with 1."""

    retry_can_help: ClassVar[bool] = False
    """Whether the same call may succeed some minutes later, although nobody does what the message asks for.

    Every class states it for itself, whatever its base class says; the DAGs retry a task only then.
    """


class ConfigError(SentiError):
    """A setting, a configuration or an argument has a value that is not allowed."""

    retry_can_help = False


class DeviceGoneError(ConfigError):
    """SENTI_DEVICE names a device that this machine does not have, or has lost."""

    retry_can_help = True  # a driver is updated, or a GPU falls off the bus and comes back


class InputFileError(SentiError):
    """A file of reviews cannot be read in its format. Nothing was imported from it."""

    retry_can_help = False


class WarehouseError(SentiError):
    """The database does not match the settings, or does not allow what this user does."""

    retry_can_help = False


class UnreachableError(WarehouseError):
    """The database does not answer, or a connection to it was lost. The transaction was rolled back."""

    retry_can_help = True  # servers restart, and networks recover


class RevisionError(WarehouseError):
    """The database is not migrated, or is at another revision than this code needs."""

    retry_can_help = True  # during an upgrade, the migration and the new workers come minutes apart


class NoRoomError(WarehouseError):
    """The disk of the database is full. Nothing of the transaction was kept."""

    retry_can_help = True  # temporary files and old WAL go by themselves


class LockedError(WarehouseError):
    """Another connection held a lock for longer than a transaction may wait. The transaction was rolled back."""

    retry_can_help = True


class CorpusError(SentiError):
    """A model cannot be trained and judged on the labelled reviews, or a corpus file cannot be read."""

    retry_can_help = False


class HubError(SentiError):
    """The Hugging Face Hub does not answer, or does not have the model or data set."""

    retry_can_help = False


class BaseModelError(SentiError):
    """A base model cannot be found, or cannot be fine-tuned here."""

    retry_can_help = False


class BaseModelUnreachableError(BaseModelError):
    """The Hugging Face Hub did not answer, and the cache does not hold the base model."""

    retry_can_help = True


class TrainingStoppedError(SentiError):
    """A signal or a pause stopped a training, or it began in a pause. The next call continues from its checkpoint."""

    retry_can_help = True

    def __init__(self, message: str, retry_at: datetime | None = None) -> None:
        """``retry_at``: the end of the pause, before which a retry would be refused; ``None`` after a signal."""
        super().__init__(message)
        self.retry_at = retry_at


class TrainingProcessError(SentiError):
    """One of the processes of a training crashed or was killed. The next call continues from its checkpoint."""

    retry_can_help = True


class TurnOverError(SentiError):
    """A long task gives up its slot for work that may wait for it. The next call goes on where it stopped."""

    retry_can_help = True

    def __init__(self, message: str, retry_at: datetime | None = None) -> None:
        """``retry_at``: when it wants the slot back; ``None``: after the usual delay."""
        super().__init__(message)
        self.retry_at = retry_at


class ArtifactError(SentiError):
    """An artifact is missing, incomplete or different from the one that was registered."""

    retry_can_help = False


class StoreError(ArtifactError):
    """The artifact store cannot be written: it is read-only, full or out of reach. Nothing was registered."""

    retry_can_help = True  # room is made, and mounts come back


class RegistryError(SentiError):
    """A model or an encoder cannot be found, or a model cannot be promoted or rolled back."""

    retry_can_help = False


class NoChampionError(RegistryError):
    """A command or task needs a promoted model, and there is none."""

    retry_can_help = False


class ChampionAlarmError(SentiError):
    """The champion is less accurate on newly labelled reviews than at its promotion. A person must look into it."""

    retry_can_help = False


class RunStateError(SentiError):
    """A scoring run or a model is not in the state that this task needs."""

    retry_can_help = False


class ShardTakenError(RunStateError):
    """A later attempt has claimed this shard. This attempt must stop; it has written nothing since that claim."""

    retry_can_help = True  # the later attempt may have ended, or a crash of the database lost the last chunk


class AuditError(SentiError):
    """A check on the staged labels found offenders. Nothing was published; the staged rows are kept."""

    retry_can_help = False


class HeldRunError(AuditError):
    """The labels of a run differ unusually from those of earlier runs. The run is held until a person decides."""

    retry_can_help = False


class DeletedReviewsError(SentiError):
    """More reviews are gone from ``reviews`` than may be erased at once. A person must look into it."""

    retry_can_help = False


class FrozenError(SentiError):
    """A person has frozen publishing. Scored runs wait, and analysts see the labels published before."""

    retry_can_help = False
