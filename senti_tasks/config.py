"""What changes results: frozen and validated; a model's is recorded with it. Where things are: see settings."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from senti_tasks.errors import ConfigError


class _Config:
    """Shared by the three: plain JSON out and in, and no key that means nothing."""

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The configuration with these fields set. Raises ``ConfigError`` on an unknown field or a bad value."""
        known = sorted(cls.__dataclass_fields__)  # type: ignore[attr-defined]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"{cls.__name__} has no field {', '.join(unknown)}: its fields are {', '.join(known)}")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    def _require_types(self) -> None:
        """A form or a JSON file can hold anything; a whole number will do for a fraction, and nothing else is bent."""
        for name, field in self.__dataclass_fields__.items():  # type: ignore[attr-defined]
            wanted = type(field.default)
            fits = {float: (int, float)}.get(wanted, (wanted,))
            self._require(type(getattr(self, name)) in fits, name, f"of type {wanted.__name__}")

    def _require(self, holds: bool, field: str, expected: str) -> None:
        if not holds:
            raise ConfigError(f"{type(self).__name__}.{field} must be {expected}, found {getattr(self, field)!r}")


@dataclass(frozen=True)
class TrainConfig(_Config):
    """How a classifier is fine-tuned. The defaults are the usual recipe for a pretrained BERT (Devlin et al. 2019,
    A.3)."""

    learning_rate: float = 5e-5
    """Peak learning rate of AdamW, in (0, 1)."""
    batch_size: int = 16
    """Reviews per optimiser step."""
    epochs: int = 3
    """Passes over the training split, at most: early stopping may end it before."""
    max_length: int = 512
    """Tokens of a review that are read, [CLS] and [SEP] included, in [8, 512]."""
    head_tokens: int = 128
    """Of a review that has more, how many tokens are read of its beginning; the others are read of its end (382 of 512,
    the best of the ways that Sun et al. 2019, 5.3.1, tried). As large as ``max_length``: the beginning alone."""
    dropout: float = 0.3
    """Dropout between the pooled output and the linear layer, in [0, 1)."""
    weight_decay: float = 0.01
    """AdamW's weight decay, on every weight but biases and LayerNorm."""
    warmup_fraction: float = 0.1
    """Share of all steps spent warming up, in [0, 1)."""
    patience: int = 2
    """Evaluations (one an epoch) without a better validation macro-F1 before training stops; the best epoch is kept."""
    freeze_encoder: bool = False
    """Train the linear layer and the pooler alone."""
    seed: int = 2026
    """Seeds the weights that start random, the order of rows and dropout."""

    def __post_init__(self) -> None:
        self._require_types()
        self._require(0 < self.learning_rate < 1, "learning_rate", "in (0, 1)")
        self._require(self.batch_size >= 1, "batch_size", "1 or more")
        self._require(self.epochs >= 1, "epochs", "1 or more")
        self._require(8 <= self.max_length <= 512, "max_length", "in [8, 512]")
        self._require(self.head_tokens >= 1, "head_tokens", "1 or more")
        self._require(0 <= self.dropout < 1, "dropout", "in [0, 1)")
        self._require(self.weight_decay >= 0, "weight_decay", "0 or more")
        self._require(0 <= self.warmup_fraction < 1, "warmup_fraction", "in [0, 1)")
        self._require(self.patience >= 1, "patience", "1 or more")

    @classmethod
    def for_base_model(cls, base_model: str, overrides: dict[str, Any] | None = None) -> Self:
        """The recipe for ``base_model``, with ``overrides`` on top: a ``scratch:*`` encoder has a recipe of its own."""
        recipe = RECIPES.get(base_model, {})
        return cls.from_json(
            {**recipe, **{name: value for name, value in (overrides or {}).items() if value is not None}}
        )


RECIPES: dict[str, dict[str, Any]] = {
    # At a pretrained model's 5e-5 a randomly initialised encoder learns too little.
    "scratch:tiny": {"learning_rate": 1e-3, "epochs": 10, "batch_size": 16, "max_length": 256, "patience": 4},
    "scratch:small": {"learning_rate": 4e-4, "epochs": 6, "batch_size": 32, "max_length": 256, "patience": 3},
}


@dataclass(frozen=True)
class GateConfig(_Config):
    """What a candidate must show before it may replace the model in use."""

    min_test_rows: int = 500
    """Test rows without which no verdict is possible."""
    margin: float = 0.02
    """How much worse in accuracy than a reference the candidate could at most be, in [0, 1)."""
    confidence: float = 0.95
    """One-sided confidence of that statement, in (0.5, 1)."""

    def __post_init__(self) -> None:
        self._require_types()
        self._require(self.min_test_rows >= 1, "min_test_rows", "1 or more")
        self._require(0 <= self.margin < 1, "margin", "in [0, 1)")
        self._require(0.5 < self.confidence < 1, "confidence", "in (0.5, 1)")


@dataclass(frozen=True)
class FormConfig(_Config):
    """What a faster form of a model must show before it may serve in the place of fp32."""

    min_agreement: float = 0.99
    """Share of reviews that must get the label that fp32 gives them, in (0.5, 1]."""
    agreement_rows: int = 5_000
    """Unlabelled reviews that are compared; int8 is refused where there are fewer."""
    calibration_rows: int = 300
    """Reviews of the training split that show int8 the ranges of the activations."""

    def __post_init__(self) -> None:
        self._require_types()
        self._require(0.5 < self.min_agreement <= 1, "min_agreement", "in (0.5, 1]")
        self._require(self.agreement_rows >= 1, "agreement_rows", "1 or more")
        self._require(self.calibration_rows >= 1, "calibration_rows", "1 or more")


@dataclass(frozen=True)
class ScoreConfig(_Config):
    """How reviews are scored. None of it changes a label; scores change in the last bits with the batching."""

    window_rows: int = 4096
    """Reviews read, sorted by length, scored and staged together, on a GPU eight times as many; a killed shard goes on
    at the next window."""
    token_budget: int = 0
    """Tokens in a batch, padding included; 0 takes what a short probe finds to be the fastest on the device at hand."""
    remembered_texts: int = 65_536
    """Texts whose answer is kept in memory, the last ones seen, so that a text that comes again is not scored again."""
    shard_rows: int = 20_000
    """Reviews a shard holds, unless that makes more than ``max_shards``."""
    max_shards: int = 500
    """Airflow maps at most 1,024 tasks and shows a few hundred well."""

    def __post_init__(self) -> None:
        self._require_types()
        self._require(self.window_rows >= 1, "window_rows", "1 or more")
        whole = self.token_budget == 0 or self.token_budget >= 512
        self._require(whole, "token_budget", "0, or 512 or more: the longest review is a batch too")
        self._require(self.remembered_texts >= 0, "remembered_texts", "0 or more")
        self._require(self.shard_rows >= 1, "shard_rows", "1 or more")
        self._require(1 <= self.max_shards <= 500, "max_shards", "in [1, 500]")

    def shards_for(self, rows: int, wanted: int | None = None) -> int:
        """How many shards ``rows`` reviews make: ``wanted``, or as many as keep to ``shard_rows``; never none."""
        if wanted is not None and not 1 <= wanted <= self.max_shards:
            raise ConfigError(f"a run takes 1 to {self.max_shards} shards, found {wanted}")
        return wanted or min(self.max_shards, max(1, -(-rows // self.shard_rows)))
