"""Trainings in a notebook: a corpus in, a registered and judged model out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senti_tasks.api.corpora import Corpus
from senti_tasks.api.models import Model, load_model
from senti_tasks.calls import new_call
from senti_tasks.jobs import judging, models, training, variants

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Training:
    """A finished training. The model is registered and judged, and not promoted."""

    version: str
    """The version of the model."""
    passed: bool
    """Whether the model passed the gate."""
    reasons: tuple[str, ...]
    """Why, one sentence per rule that decided."""

    @property
    def model(self) -> Model:
        """The trained model, ready to predict."""
        return load_model(self.version)

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch: losses, accuracy and macro-F1 on the validation split."""
        import pandas as pd

        return pd.DataFrame(models.show(self.version)["training"]["history"])

    @property
    def metrics(self) -> pd.DataFrame:
        """The figures on the test split: one row per metric, one column per model that was measured (candidate,
        champion, anchor, baseline)."""
        import pandas as pd

        rows = [row for row in models.show(self.version)["metrics"] if row["split"] == "test"]
        columns = ["metric", "subject", "value"]
        return pd.DataFrame(rows, columns=columns).pivot(index="metric", columns="subject", values="value")


def train(
    corpus: Corpus | str,
    base_model: str | None = None,
    *,
    report: Callable[[dict[str, Any]], None] | None = None,
    gate: dict[str, Any] | None = None,
    **config: Any,
) -> Training:
    """Fine-tunes ``base_model`` (default SENTI_BASE_MODEL) on ``corpus``, calibrates the model, measures it on the test
    split and judges it, as ``senti retrain`` does, but promotes nothing: ``senti models promote`` does that.

    ``config`` overrides fields of the recipe (``TrainConfig``: epochs, learning_rate, batch_size, max_length, seed, …),
    and ``gate`` fields of ``GateConfig``. ``report`` is called with the figures of each epoch.

    Raises ``CorpusError`` for an unknown corpus, ``ConfigError`` for a value that is not allowed, ``BaseModelError`` if
    the base model cannot be fine-tuned here, and ``TrainingStoppedError`` in the hours of SENTI_NO_TRAINING.
    """
    name = corpus if isinstance(corpus, str) else corpus.name
    _, idempotency_key = new_call("senti_tasks.train")
    version = training.train(name, idempotency_key, base_model, config, report=report)["model"]
    variants.build_variants(version)
    verdict = judging.judge(judging.evaluate(version), gate)
    return Training(version, verdict["promote"], tuple(verdict["reasons"]))
