"""What changes results: frozen, validated configurations. That of a training is recorded with its model.

Where things are is in ``settings``.
"""

import math
from dataclasses import asdict, fields, replace
from statistics import NormalDist
from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from senti_tasks.errors import ConfigError

TFIDF = "tfidf"
"""The base model that is no BERT: TF-IDF of character n-grams with logistic regression."""
PRETRAINED = "pretrained:"
"""Prefix of the name of an encoder in the warehouse. Its version follows, or ``newest``."""
RATE_FACTORS = (1.0, 0.5, 2.0)
"""Factors of the learning rate that a search tries, in this order."""
STRICT = ConfigDict(extra="forbid", strict=True)

Rate = Annotated[float, Field(gt=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Length = Annotated[int, Field(ge=8, le=512)]


class _Config:
    """What all configurations have: conversion from and to plain JSON."""

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The configuration with ``values``, and defaults for all other fields.

        Raises ``ConfigError`` for an unknown field or a bad value.
        """
        known = sorted(field.name for field in fields(cls))  # type: ignore[arg-type]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"{cls.__name__} has no field {', '.join(unknown)}: its fields are {', '.join(known)}")
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join([cls.__name__, *map(str, first["loc"])])
            reason = first["msg"].removeprefix("Value error, ")
            found = f", found {first['input']!r}" if first["loc"] else ""
            raise ConfigError(f"{where}: {reason}{found}") from error

    def to_json(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True, config=STRICT)
class _TrainingConfig(_Config):
    """What both trainings have: an optimiser, and recipes for some base models."""

    RECIPES: ClassVar[dict[str, dict[str, Any]]] = {}
    """Fields that differ from the defaults, by base model."""
    learning_rate: Rate = 5e-5
    """Peak learning rate of AdamW, in (0, 1)."""
    epochs: Count = 3
    """Passes over the training data, at most: early stopping may end a fine-tuning before."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's weight decay, on every weight but biases and LayerNorm."""
    seed: int = 2026
    """Seed of random initial weights, the order of rows, masks and dropout. A fine-tuning that collapses is repeated
    once with the next seed, which is then recorded with its model."""

    @classmethod
    def for_base_model(cls, base_model: str, overrides: dict[str, Any] | None = None, rows: int | None = None) -> Self:
        """The recipe for ``base_model`` (or the defaults) with ``overrides``. An override of ``None`` is ignored.

        ``rows``: that of the training split; a recipe for random weights then follows it (``sized``).
        """
        given = {name: value for name, value in (overrides or {}).items() if value is not None}
        recipe = cls.RECIPES.get(base_model, {})
        return cls.from_json((recipe if rows is None else cls.sized(recipe, rows)) | given)

    @classmethod
    def sized(cls, recipe: dict[str, Any], rows: int) -> dict[str, Any]:
        """``recipe`` for a training split of so many rows. Here: itself."""
        return recipe


READINGS, LARGE = 150_000, 10_000
"""See ``TrainConfig.sized``."""
_TINY = {"learning_rate": 1e-3, "epochs": 10, "batch_size": 16, "max_length": 256, "patience": 4}
_SMALL = {"learning_rate": 4e-4, "epochs": 6, "batch_size": 32, "max_length": 256, "patience": 3}
_MEDIUM = {"learning_rate": 2e-4, "epochs": 5, "batch_size": 32, "max_length": 256, "patience": 2}
RECIPES: dict[str, dict[str, Any]] = {
    # At a pretrained model's 5e-5 a randomly initialised encoder learns too little.
    "scratch:tiny": _TINY,
    "scratch:small": _SMALL,
    "scratch:medium": _MEDIUM,
    # The same shapes after `senti pretrain`: larger steps would undo what they have learnt.
    "pretrained:scratch:tiny": _TINY | {"learning_rate": 5e-4},
    "pretrained:scratch:small": _SMALL | {"learning_rate": 2e-4},
    "pretrained:scratch:medium": _MEDIUM | {"learning_rate": 1e-4},
}


@dataclass(frozen=True, config=STRICT)
class TrainConfig(_TrainingConfig):
    """How a classifier is fine-tuned. The defaults suit a pretrained BERT (Devlin et al. 2019, A.3)."""

    RECIPES: ClassVar = RECIPES

    batch_size: Count = 16
    """Reviews per optimiser step."""
    max_length: Length = 512
    """Tokens of a review that are read, [CLS] and [SEP] included, in [8, 512]."""
    head_tokens: Count = 128
    """How many tokens are read from the beginning of a review that is longer than ``max_length``. The others are read
    from its end: 382 of 512 by default, the best of the splits in Sun et al. 2019, 5.3.1. With ``max_length`` or more,
    only the beginning is read."""
    dropout: Fraction = 0.3
    """Dropout between the pooled output and the linear layer, in [0, 1)."""
    warmup_fraction: Fraction = 0.1
    """Share of all steps spent warming up, in [0, 1)."""
    patience: Count = 2
    """Evaluations (one per epoch) without a better validation macro-F1 after which training stops. The weights of the
    best epoch are kept."""
    freeze_encoder: bool = False
    """Train only the pooler and the linear layer."""
    balance_classes: bool = False
    """Give every label the same total weight in the training loss: a row weighs n / (k * n_label), as "balanced" in
    scikit-learn, with n rows, k labels and n_label rows of its label. Metrics on the validation split stay unweighted.
    """
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of the learning rate from each encoder layer to the layer below it, in (0, 1]; the embeddings are lowest.
    The head and the pooler train at the full rate (Howard & Ruder 2018; Sun et al. 2019, 5.3.4, found 0.95 best)."""
    search_minutes: Annotated[int, Field(ge=0)] = 0
    """Minutes for a search that also trains at half and at twice the learning rate, as far as whole trainings fit. The
    best one on the validation split is kept. 0: no search."""

    budget_minutes: Annotated[float, Field(ge=0)] = 0.0
    """Minutes for each training, killed calls included. When they are over, it ends at the next step, and what it has
    is evaluated; the weights of the best evaluation are kept, and the model says that the budget ended it. 0: no
    budget. A budget that ends a training makes its result depend on the speed of the machine."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.freeze_encoder and self.layer_decay != 1:
            raise ValueError(f"layer_decay must be 1 with freeze_encoder, found {self.layer_decay}")
        if self.search_minutes and self.learning_rate * max(RATE_FACTORS) >= 1:
            limit = 1 / max(RATE_FACTORS)
            raise ValueError(f"learning_rate must be below {limit} with search_minutes, found {self.learning_rate}")
        return self

    @classmethod
    def sized(cls, recipe: dict[str, Any], rows: int) -> dict[str, Any]:
        """``recipe`` for ``rows`` of training, if it is one for random weights; the defaults stay as they are.

        Its epochs are for a few thousand reviews. Of many more the model learns as much in fewer passes, so it reads at
        most ``READINGS`` reviews in all, each at least twice. From ``LARGE`` rows on, a step is on four times as many
        reviews: each of them then costs a quarter less, and processes that train together exchange less.
        """
        if "epochs" not in recipe:
            return recipe
        epochs = max(2, min(recipe["epochs"], round(READINGS / max(1, rows))))
        factor = 4 if rows >= LARGE else 1
        return recipe | {"epochs": epochs, "batch_size": factor * recipe["batch_size"]}

    def candidates(self) -> list[Self]:
        """The configurations that a training tries, in order: this one, and with a search those of the other learning
        rates."""
        factors = RATE_FACTORS if self.search_minutes else (1.0,)
        return [replace(self, learning_rate=self.learning_rate * factor) for factor in factors]


@dataclass(frozen=True, config=STRICT)
class TfidfConfig(_Config):
    """How TF-IDF with logistic regression is fitted: as a model of its own, as the gate's baseline, and as the first
    stage of a cascade."""

    min_texts: Count = 2
    """Texts that an n-gram must be in; 1 if no n-gram is in so many."""
    max_ngrams: Count = 1_000_000
    """n-grams of the vocabulary, at most, the most frequent ones: they take 60 MB of memory when the model scores."""
    inverse_regularisation: Annotated[float, Field(gt=0)] = 10.0
    """C of scikit-learn's LogisticRegression: a smaller one keeps the weights smaller."""
    max_iterations: Count = 1_000
    """Iterations of its optimiser, at most."""


def training_config(
    base_model: str, overrides: dict[str, Any] | None = None, rows: int | None = None
) -> "TrainConfig | TfidfConfig":
    """The configuration of a training from ``base_model`` on ``rows`` training rows, with ``overrides``; those of
    ``None`` are ignored."""
    if base_model != TFIDF:
        return TrainConfig.for_base_model(base_model, overrides, rows)
    return TfidfConfig.from_json({name: value for name, value in (overrides or {}).items() if value is not None})


# In so few passes a model cannot memorise a text, so dropout would only slow it down (Geiping and Goldstein 2023,
# Cramming, 4.3).
PRETRAINING_RECIPES: dict[str, dict[str, Any]] = {
    "scratch:tiny": {"learning_rate": 2e-3, "epochs": 3, "batch_size": 64, "dropout": 0.0},
    "scratch:small": {"learning_rate": 1e-3, "epochs": 3, "batch_size": 64, "dropout": 0.0},
    "scratch:medium": {"learning_rate": 6e-4, "epochs": 3, "batch_size": 64, "dropout": 0.0},
}


@dataclass(frozen=True, config=STRICT)
class PretrainConfig(_TrainingConfig):
    """How an encoder is pretrained on reviews without labels, before fine-tuning (Gururangan et al. 2020, Don't Stop
    Pretraining). The defaults suit a pretrained BERT."""

    RECIPES: ClassVar = PRETRAINING_RECIPES

    texts: Annotated[int, Field(ge=2)] = 1_000_000
    """Texts to learn from, at most: those of the reviews with the highest keys."""
    held_out_share: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    """Share of the texts that are held out to measure the model, in (0, 0.5]."""
    batch_size: Count = 32
    """Texts per optimiser step."""
    max_length: Length = 128
    """Tokens of a text that are read, [CLS] and [SEP] included, in [8, 512]: its beginning, if the text is longer."""
    masked_share: Annotated[float, Field(gt=0, le=0.5)] = 0.15
    """Share of a text's tokens that the model predicts, in (0, 0.5]; at least one token. 80 % of them are replaced by
    [MASK], 10 % by a random token, and 10 % stay as they are (Devlin et al. 2019, A.1). Each pass masks
    other tokens."""
    dropout: Fraction = 0.1
    """Upper limit of the dropout while pretraining, in [0, 1). The encoder is saved with the base model's own."""
    warmup_fraction: Fraction = 0.06
    """Share of all steps spent warming up, in [0, 1)."""


@dataclass(frozen=True, config=STRICT)
class GateConfig(_Config):
    """The limits of the gate, which decides whether a candidate may replace the champion."""

    margin: Rate = 0.02
    """Largest loss of accuracy and of macro-F1 against a reference that the test may leave possible, in (0, 1)."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """One-sided confidence of every test and bound, in (0.5, 1)."""
    power: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    """Probability that a candidate as good as its reference passes the accuracy rule, in [0.5, 1). It determines the
    number of test rows needed. With unbalanced labels macro-F1 is noisier and needs more; its rule says how many."""
    discordance: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Expected share of rows on which one of two good models is right and the other is wrong, in (0, 1]. Two
    fine-tunings of one BERT differ on 4 to 6 % of reviews."""
    slice_rows: Count = 50
    """Test rows that a slice (a product, a length band, the recent reviews) needs to be judged separately."""
    recent_days: Count = 90
    """Reviews are recent if they were written at most so many days before the corpus was due."""
    calibration_margin: Fraction = 0.02
    """Allowed calibration error (ECE) above that which a calibrated model shows by chance, in [0, 1)."""
    loss_margin: Annotated[float, Field(ge=0)] = 0.03
    """Log loss (in nats) and Brier score may be worse than a reference's by this much, 0 or more; a significantly
    larger difference fails. One more wrong answer in a hundred, given with near certainty, costs about 0.03."""

    def rows_needed(self, discordance: float | None = None, difference: float = 0.0) -> int:
        """Number of test rows needed to show that two models that differ on a share ``discordance`` of the rows are
        within ``margin``. ``None``: the configured discordance.

        (z of the confidence + z of the power)² × discordance / margin²: 6.2 × discordance / margin² by default. If both
        models are equally good, the discordance is the variance of the paired difference (Liu et al. 2002, Statistics
        in Medicine 21:231-245). If the candidate is worse by ``difference`` (negative, above -margin), only the
        remainder of the margin counts.
        """
        quantiles = NormalDist().inv_cdf(self.confidence) + NormalDist().inv_cdf(self.power)
        wanted = self.discordance if discordance is None else discordance
        return math.ceil(quantiles**2 * wanted / (self.margin + min(difference, 0.0)) ** 2)


@dataclass(frozen=True, config=STRICT)
class VariantConfig(_Config):
    """When a faster variant of a model may serve instead of fp32."""

    max_disagreement: Annotated[float, Field(gt=0, lt=0.5)] = 0.005
    """Largest share of labels that may differ from those of fp32, in (0, 0.5). The upper confidence bound of the share
    must not exceed it: by default, at most 16 of 5,000 labels may differ, or 83 of 20,000."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of that bound, in (0.5, 1)."""
    agreement_rows: Count = 5_000
    """Unlabelled reviews on which the two are compared, fewer if there are fewer. A variant is refused if there are so
    few that even equal labels for all of them could not show that the limit is kept: fewer than 598 by default."""
    threshold_rows: Count = 5_000
    """Other unlabelled reviews, on which the thresholds of a cascade are chosen, fewer if there are fewer."""
    student_texts: Annotated[int, Field(ge=0)] = 50_000
    """Further ones that the first stage of a cascade learns from, at most, besides the training split."""
    student_minutes: Annotated[float, Field(gt=0)] = 60.0
    """Minutes for the model to label what the first stage learns from: with less time it learns from fewer reviews."""
    calibration_rows: Count = 300
    """Reviews of the training split from which int8 takes the ranges of its activations."""


@dataclass(frozen=True, config=STRICT)
class DriftConfig(_Config):
    """The bounds of drift. What may be chance (one in a million) exceeds none of them."""

    psi: Annotated[float, Field(gt=0)] = 0.25
    """Population stability index of the scores against the last 28 runs."""
    unlike_share: Annotated[float, Field(gt=0, le=1)] = 0.15
    """Share of texts that are unlike those of the training, in (0, 1]; 0.05 in the validation split."""
    accuracy_loss: Annotated[float, Field(gt=0, le=1)] = 0.05
    """By how much the expected accuracy, the mean of the calibrated confidences, may be lower than in the last 28 runs,
    in (0, 1]."""


@dataclass(frozen=True, config=STRICT)
class PlanConfig(_Config):
    """How a run is divided into shards, and a re-scoring into ranges."""

    shard_seconds: Annotated[float, Field(gt=0)] | None = 30
    """How long one process takes for a shard, by the measured speed of the model; ``None``: ``shard_rows`` always.
    Small, so that several workers end at about the same time, and that little is lost with a dead one."""
    shard_rows: Count = 2_000
    """Reviews in a shard while nothing was measured."""
    range_rows: Count = 200_000
    """Reviews in a range of keys that a re-scoring publishes together, unless that makes more than ``max_shards``."""
    max_shards: Annotated[int, Field(ge=1, le=500)] = 500
    """Most shards of a run, and most ranges of a re-scoring."""
    max_workers: Annotated[int, Field(ge=1, le=500)] = 16
    """Most tasks of a run that score shards beside each other. Those for which there is no slot find nothing left to do
    when they begin."""
    turn_seconds: Annotated[float, Field(gt=0)] = 600
    """How long such a task of a re-scoring keeps its slot while other work may wait for it."""

    def check_shards(self, wanted: int | None) -> None:
        """Raises ``ConfigError`` unless ``wanted`` is a possible number of shards. ``None`` means the default."""
        if wanted is not None and not 1 <= wanted <= self.max_shards:
            raise ConfigError(f"a run takes 1 to {self.max_shards} shards, found {wanted}")
