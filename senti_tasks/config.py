"""What changes results: frozen and validated; a model's is recorded with it. Where things are: see settings."""

import math
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any, Self

from senti_tasks.errors import ConfigError

PRETRAINED = "pretrained:"
"""What the name of a base model begins with that is an encoder of the warehouse; its version follows, or ``newest``."""


class _Config:
    """Shared by all of them: plain JSON out and in, and no key that means nothing."""

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The configuration with these fields set. Raises ``ConfigError`` on an unknown field or a bad value."""
        known = sorted(cls.__dataclass_fields__)  # type: ignore[attr-defined]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"{cls.__name__} has no field {', '.join(unknown)}: its fields are {', '.join(known)}")
        return cls(**values)

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any], overrides: dict[str, Any] | None) -> Self:
        """``recipe`` with ``overrides`` on top; one that is ``None`` overrides nothing."""
        return cls.from_json(
            {**recipe, **{name: value for name, value in (overrides or {}).items() if value is not None}}
        )

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


RATE_FACTORS = (1.0, 0.5, 2.0)
"""What a search multiplies the learning rate with, in the order in which the rates are tried."""


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
    balance_classes: bool = False
    """Give every label the same weight in the training's loss, however rare it is: a row counts n / (k * n_label), as
    scikit-learn's "balanced". Figures of the validation split stay unweighted."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each encoder layer to the one below it, in (0, 1]; the embeddings come last, and
    the head and the pooler learn at the full rate (Howard & Ruder 2018; Sun et al. 2019, 5.3.4, found 0.95 best)."""
    search_minutes: int = 0
    """Minutes in which half and twice the learning rate are tried too, each in a whole training, as far as they fit;
    the best on the validation split stays. 0: the given rate alone."""
    seed: int = 2026
    """Seeds the weights that start random, the order of rows and dropout. A training that collapses is repeated once
    with the next seed, which its model then has on record."""

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
        self._require(0 < self.layer_decay <= 1, "layer_decay", "in (0, 1]")
        trained = self.layer_decay == 1 or not self.freeze_encoder
        self._require(trained, "layer_decay", "1 with freeze_encoder, which trains no layer of the encoder")
        self._require(self.search_minutes >= 0, "search_minutes", "0 or more")
        within = self.search_minutes == 0 or self.learning_rate * max(RATE_FACTORS) < 1
        self._require(within, "learning_rate", f"below {1 / max(RATE_FACTORS)} with search_minutes, which raises it")

    @classmethod
    def for_base_model(cls, base_model: str, overrides: dict[str, Any] | None = None) -> Self:
        """The recipe for ``base_model``, with ``overrides`` on top: a ``scratch:*`` encoder has a recipe of its own."""
        return cls.from_recipe(RECIPES.get(base_model, {}), overrides)

    def candidates(self) -> list[Self]:
        """The configurations to choose from, in the order in which they are tried: this one, and the other learning
        rates of a search."""
        factors = RATE_FACTORS if self.search_minutes else (1.0,)
        return [replace(self, learning_rate=self.learning_rate * factor) for factor in factors]


RECIPES: dict[str, dict[str, Any]] = {
    # At a pretrained model's 5e-5 a randomly initialised encoder learns too little.
    "scratch:tiny": {"learning_rate": 1e-3, "epochs": 10, "batch_size": 16, "max_length": 256, "patience": 4},
    "scratch:small": {"learning_rate": 4e-4, "epochs": 6, "batch_size": 32, "max_length": 256, "patience": 3},
    # The same shapes once `senti pretrain` has taught them: larger steps would undo what they learnt.
    "pretrained:scratch:tiny": {
        "learning_rate": 5e-4,
        "epochs": 10,
        "batch_size": 16,
        "max_length": 256,
        "patience": 4,
    },
    "pretrained:scratch:small": {
        "learning_rate": 2e-4,
        "epochs": 6,
        "batch_size": 32,
        "max_length": 256,
        "patience": 3,
    },
}


@dataclass(frozen=True)
class PretrainConfig(_Config):
    """How an encoder learns from reviews without labels, before it is fine-tuned (Gururangan et al. 2020, Don't Stop
    Pretraining). The defaults are for a pretrained BERT."""

    texts: int = 1_000_000
    """Texts to learn from at most: those of the reviews with the highest keys."""
    held_out_share: float = 0.02
    """Share of the texts that the model is not trained on, and that show what it learnt, in (0, 0.5]."""
    learning_rate: float = 5e-5
    """Peak learning rate of AdamW, in (0, 1)."""
    batch_size: int = 32
    """Texts per optimiser step."""
    epochs: int = 3
    """Passes over the texts; the masks are other ones in each."""
    max_length: int = 128
    """Tokens of a text that are read, [CLS] and [SEP] included, in [8, 512]: of a longer one the beginning."""
    masked_share: float = 0.15
    """Share of a text's tokens to be predicted, in (0, 0.5], at least one. Of them, 80 % are read as [MASK], 10 % as a
    random token, 10 % as they are (Devlin et al. 2019, A.1)."""
    dropout: float = 0.1
    """Dropout while pretraining, at most, in [0, 1). What fine-tuning does stays as the base model has it."""
    weight_decay: float = 0.01
    """AdamW's weight decay, on every weight but biases and LayerNorm."""
    warmup_fraction: float = 0.06
    """Share of all steps spent warming up, in [0, 1)."""
    seed: int = 2026
    """Seeds the weights that start random, the order of texts, the masks and dropout."""

    def __post_init__(self) -> None:
        self._require_types()
        self._require(self.texts >= 2, "texts", "2 or more")
        self._require(0 < self.held_out_share <= 0.5, "held_out_share", "in (0, 0.5]")
        self._require(0 < self.learning_rate < 1, "learning_rate", "in (0, 1)")
        self._require(self.batch_size >= 1, "batch_size", "1 or more")
        self._require(self.epochs >= 1, "epochs", "1 or more")
        self._require(8 <= self.max_length <= 512, "max_length", "in [8, 512]")
        self._require(0 < self.masked_share <= 0.5, "masked_share", "in (0, 0.5]")
        self._require(0 <= self.dropout < 1, "dropout", "in [0, 1)")
        self._require(self.weight_decay >= 0, "weight_decay", "0 or more")
        self._require(0 <= self.warmup_fraction < 1, "warmup_fraction", "in [0, 1)")

    @classmethod
    def for_base_model(cls, base_model: str, overrides: dict[str, Any] | None = None) -> Self:
        """The recipe for ``base_model``, with ``overrides`` on top: a ``scratch:*`` encoder has a recipe of its own."""
        return cls.from_recipe(PRETRAINING_RECIPES.get(base_model, {}), overrides)


# Steps this few never see a text often enough to learn it by heart: dropout would only slow them down (Geiping and
# Goldstein 2023, Cramming, 4.3).
PRETRAINING_RECIPES: dict[str, dict[str, Any]] = {
    "scratch:tiny": {"learning_rate": 2e-3, "epochs": 3, "batch_size": 64, "dropout": 0.0},
    "scratch:small": {"learning_rate": 1e-3, "epochs": 3, "batch_size": 64, "dropout": 0.0},
}


@dataclass(frozen=True)
class GateConfig(_Config):
    """What a candidate must show before it may replace the model in use."""

    margin: float = 0.02
    """How much worse in accuracy and in macro-F1 than a reference the candidate could at most be, in (0, 1)."""
    confidence: float = 0.95
    """One-sided confidence of every statement, in (0.5, 1)."""
    power: float = 0.8
    """How often a candidate as good as its reference should pass the rule of accuracy, in [0.5, 1): decides how many
    test rows it takes. Where labels are of unequal number, macro-F1 is noisier and takes more; its rule says how many.
    """
    discordance: float = 0.05
    """Share of rows on which one of two good models is right and the other is not, in (0, 1]: two fine-tunings of one
    BERT differ on 4 to 6 % of reviews."""
    slice_rows: int = 50
    """Test rows from which on a product, a length band or the recent reviews are looked at by themselves."""
    recent_days: int = 90
    """What counts as recent."""
    calibration_margin: float = 0.02
    """How much more calibration error (ECE) is allowed than a calibrated model shows by chance, in [0, 1)."""
    loss_margin: float = 0.03
    """How much worse, beyond doubt, log loss (in nats) and Brier score may be than a reference's, 0 or more; one more
    review in a hundred wrong, and thought nearly certain, costs about that."""

    def __post_init__(self) -> None:
        self._require_types()
        self._require(0 < self.margin < 1, "margin", "in (0, 1)")
        self._require(0.5 < self.confidence < 1, "confidence", "in (0.5, 1)")
        self._require(0.5 <= self.power < 1, "power", "in [0.5, 1)")
        self._require(0 < self.discordance <= 1, "discordance", "in (0, 1]")
        self._require(self.slice_rows >= 1, "slice_rows", "1 or more")
        self._require(self.recent_days >= 1, "recent_days", "1 or more")
        self._require(0 <= self.calibration_margin < 1, "calibration_margin", "in [0, 1)")
        self._require(self.loss_margin >= 0, "loss_margin", "0 or more")

    def rows_needed(self, discordance: float | None = None, difference: float = 0.0) -> int:
        """Test rows it takes to tell whether two models that differ on ``discordance`` of them are within ``margin``.

        (z of the confidence + z of the power)² × discordance / margin²: 6.2 × discordance / margin² by default. The
        variance of the paired difference is the discordance when the two are equally good (Liu et al. 2002, Statistics
        in Medicine 21:231-245). Where the candidate is worse by ``difference`` (negative, above -margin), only the rest
        of the margin is left.
        """
        quantiles = NormalDist().inv_cdf(self.confidence) + NormalDist().inv_cdf(self.power)
        wanted = self.discordance if discordance is None else discordance
        return math.ceil(quantiles**2 * wanted / (self.margin + min(difference, 0.0)) ** 2)


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
    """Reviews read, sorted by length, scored and staged together, on a GPU twice as many; a killed shard goes on
    at the next window."""
    token_budget: int = 0
    """Tokens in a batch, padding included; 0 takes what a short probe finds to be the fastest on the device at hand."""
    remembered_texts: int = 65_536
    """Texts whose answer is kept in memory, the last ones seen, so that a text that comes again is not scored again."""
    shard_rows: int = 20_000
    """Reviews a shard holds, unless that makes more than ``max_shards``."""
    range_rows: int = 200_000
    """Reviews of a range of keys that a re-scoring publishes together, unless that makes more than ``max_shards``."""
    max_shards: int = 500
    """Airflow maps at most 1,024 tasks and shows a few hundred well."""

    def __post_init__(self) -> None:
        self._require_types()
        self._require(self.window_rows >= 1, "window_rows", "1 or more")
        whole = self.token_budget == 0 or self.token_budget >= 512
        self._require(whole, "token_budget", "0, or 512 or more: the longest review is a batch too")
        self._require(self.remembered_texts >= 0, "remembered_texts", "0 or more")
        self._require(self.shard_rows >= 1, "shard_rows", "1 or more")
        self._require(self.range_rows >= 1, "range_rows", "1 or more")
        self._require(1 <= self.max_shards <= 500, "max_shards", "in [1, 500]")

    def check_shards(self, wanted: int | None) -> None:
        """Raises ``ConfigError`` unless a run can have ``wanted`` shards; ``None`` leaves it to ``shard_rows``."""
        if wanted is not None and not 1 <= wanted <= self.max_shards:
            raise ConfigError(f"a run takes 1 to {self.max_shards} shards, found {wanted}")
