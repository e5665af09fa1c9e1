"""Every error this project raises on purpose. Each says what was expected, what was found and what to do next."""


class SentiError(Exception):
    """Base of all of them: the command line prints it as one line and exits with 1."""


class ConfigError(SentiError):
    """A setting or a configuration has a value that cannot work."""


class InputFileError(SentiError):
    """A file of reviews cannot be read as what it is said to be. Nothing of it was imported."""


class WarehouseError(SentiError):
    """The database cannot be reached, is not migrated, or does not look as agreed."""


class LockedError(WarehouseError):
    """Somebody else held a lock for longer than a transaction may wait; nothing of it was kept."""


class CorpusError(SentiError):
    """The labelled reviews do not make a corpus that a model could be trained and judged on."""


class HubError(SentiError):
    """The Hugging Face Hub does not answer, or does not have what it was asked for."""


class BaseModelError(SentiError):
    """A base model cannot be reached or is not one that can be fine-tuned here."""


class TrainingStoppedError(SentiError):
    """A signal ended a training before its time. Its checkpoint is kept: the next call goes on from there."""


class ArtifactError(SentiError):
    """A corpus or a model is missing, incomplete or not the one that was registered."""


class RegistryError(SentiError):
    """A model cannot be found, promoted or rolled back as asked."""


class NoChampionError(RegistryError):
    """Something needs the model in service, and no model was promoted yet."""


class ChampionAlarmError(SentiError):
    """The champion is less accurate on newly labelled reviews than at its promotion. A person has to look."""


class RunStateError(SentiError):
    """A scoring run is not in the state that this step needs."""


class ShardTakenError(RunStateError):
    """Another attempt has claimed this shard since: this one must stop, and has written nothing since."""


class AuditError(SentiError):
    """A check on the staged labels found offenders. Nothing was published; the staged rows are kept."""


class DeletedReviewsError(SentiError):
    """More reviews are gone from ``reviews`` than may be erased at once. A person has to look."""


class FrozenError(SentiError):
    """Publishing was frozen by a person. Scored runs wait, and analysts see the labels published before."""
