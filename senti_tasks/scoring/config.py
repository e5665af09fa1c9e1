"""How reviews are scored. A plain dataclass, as a bare GPU machine has no pydantic."""

from dataclasses import dataclass

from senti_tasks.errors import ConfigError


@dataclass(frozen=True)
class ScoreConfig:
    """How a model is fed. None of it changes a label; scores change in the last bits with the batching.

    Raises ``ConfigError`` on a value that cannot work.
    """

    chunk_rows: int = 4096
    """Reviews read, sorted by length, scored and staged together, on a GPU twice as many; a killed shard goes on
    at the next chunk. 1 or more."""
    token_budget: int = 0
    """Tokens in a batch, padding included: 512 or more, so that the longest review is a batch too; 0 takes what a short
    probe finds to be the fastest on the device at hand."""
    remembered_texts: int = 65_536
    """Texts whose answer is kept in memory, the last ones seen, so that a text that comes again is not scored again."""

    def __post_init__(self) -> None:
        if self.chunk_rows < 1:
            raise ConfigError(f"ScoreConfig.chunk_rows must be 1 or more, found {self.chunk_rows}")
        if self.token_budget != 0 and self.token_budget < 512:
            raise ConfigError(f"ScoreConfig.token_budget must be 0, or 512 or more, found {self.token_budget}")
        if self.remembered_texts < 0:
            raise ConfigError(f"ScoreConfig.remembered_texts must be 0 or more, found {self.remembered_texts}")
