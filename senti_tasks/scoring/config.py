"""The configuration of scoring. It is a plain dataclass, because a bare GPU machine may lack pydantic."""

from dataclasses import dataclass

from senti_tasks.errors import ConfigError


@dataclass(frozen=True)
class ScoreConfig:
    """How texts are divided into chunks and batches. It changes no label; scores differ in the last bits.

    Raises ``ConfigError`` for a value outside its range.
    """

    chunk_rows: int = 4096
    """The number of reviews that are read, sorted by length, scored and staged together, 1 or more; on a GPU twice as
    many. A killed shard resumes at the next chunk."""
    token_budget: int = 0
    """The largest number of tokens of a batch, padding included, 512 or more, so that the longest review fits. 0 uses
    the fastest value on the device, which a short probe measures."""
    remembered_texts: int = 65_536
    """The number of texts whose answers are kept in memory, 0 or more, so that a repeated text is not scored again."""

    def __post_init__(self) -> None:
        if self.chunk_rows < 1:
            raise ConfigError(f"ScoreConfig.chunk_rows must be 1 or more, found {self.chunk_rows}")
        if self.token_budget != 0 and self.token_budget < 512:
            raise ConfigError(f"ScoreConfig.token_budget must be 0, or 512 or more, found {self.token_budget}")
        if self.remembered_texts < 0:
            raise ConfigError(f"ScoreConfig.remembered_texts must be 0 or more, found {self.remembered_texts}")
