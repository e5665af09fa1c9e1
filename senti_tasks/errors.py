"""The errors that this project raises. Each message says what was expected, what was found and what to do next."""


class SentiError(Exception):
    """Base class of all errors here. The command line prints the message on one line and exits with 1."""


class ConfigError(SentiError):
    """A setting, a configuration or an argument has a value that is not allowed."""


class InputFileError(SentiError):
    """A file of reviews cannot be read in its format. Nothing was imported from it."""


class WarehouseError(SentiError):
    """The database cannot be reached, is not migrated, or does not match the settings."""


class LockedError(WarehouseError):
    """Another connection held a lock for longer than a transaction may wait. The transaction was rolled back."""


class CorpusError(SentiError):
    """A model cannot be trained and judged on the labelled reviews, or a corpus file cannot be read."""


class HubError(SentiError):
    """The Hugging Face Hub does not answer, or does not have the model or data set."""


class BaseModelError(SentiError):
    """A base model cannot be found, or cannot be fine-tuned here."""


class TrainingStoppedError(SentiError):
    """A signal stopped a training. The next call continues from its checkpoint."""


class ArtifactError(SentiError):
    """An artifact is missing, incomplete or different from the one that was registered."""


class RegistryError(SentiError):
    """A model or an encoder cannot be found, or a model cannot be promoted or rolled back."""


class NoChampionError(RegistryError):
    """A command or task needs a promoted model, and there is none."""


class ChampionAlarmError(SentiError):
    """The champion is less accurate on newly labelled reviews than at its promotion. A person must look into it."""


class RunStateError(SentiError):
    """A scoring run or a model is not in the state that this task needs."""


class ShardTakenError(RunStateError):
    """A later attempt has claimed this shard. This attempt must stop; it has written nothing since that claim."""


class AuditError(SentiError):
    """A check on the staged labels found offenders. Nothing was published; the staged rows are kept."""


class HeldRunError(AuditError):
    """The labels of a run differ unusually from those of earlier runs. The run is held until a person decides."""


class DeletedReviewsError(SentiError):
    """More reviews are gone from ``reviews`` than may be erased at once. A person must look into it."""


class FrozenError(SentiError):
    """A person has frozen publishing. Scored runs wait, and analysts see the labels published before."""
