"""Models in a notebook: texts or a column of a DataFrame in; labels, calibrated probabilities and reasons out."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from senti_tasks import settings
from senti_tasks.errors import ArtifactError, ConfigError, RegistryError
from senti_tasks.jobs import models
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.scoring.loading import scorer_of
from senti_tasks.warehouse.models import promotions, registry

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from senti_tasks.scoring.predictions import Predictions
    from senti_tasks.scoring.scorer import Scorer


class Model:
    """A classifier that labels texts. ``load_model`` makes it."""

    def __init__(self, name: str, version: str | None, variant: str, labels: tuple[str, ...], scorer: Scorer) -> None:
        self.name = name
        """The version of a registered model, or the path of a folder."""
        self.version = version
        """The version of a registered model; ``None`` for a folder."""
        self.variant = variant
        """The variant that predicts: fp32, bf16 or int8."""
        self.labels = labels
        """The names of the labels, in order of their numbers: from the most negative to the most positive."""
        self._scorer = scorer

    def __repr__(self) -> str:
        return f"<Model {self.name} ({self.variant}): {', '.join(self.labels)}>"

    def predict(
        self, texts: Iterable[str | None] | pd.Series[Any] | pd.DataFrame, *, text: str | None = None
    ) -> pd.DataFrame:
        """One row per text, in the order given; empty in, empty out.

        ``texts``: strings in a list, a Series or any iterable; or a DataFrame, with ``text`` the name of the column
        that holds them. Missing values (``None``, NaN, ``pd.NA``) and texts that cannot be scored are allowed: such a
        row has a reason in place of a label.

        The columns: label (its name), score (calibrated P(positive); with more than two labels, the expected label
        scaled to 0–1), confidence (calibrated probability of label), p_NAME for each label (calibrated; their sum is
        1), truncated (whether only part of the text was read), and reason (why there is no label). The index is that
        of the Series or DataFrame, so ``frame.join(model.predict(frame, text="comment"))`` works; otherwise it counts
        from 0.

        Raises ``ConfigError`` if ``texts`` is one string, or if the column ``text`` is not named or does not exist.
        """
        import numpy as np
        import pandas as pd

        values, index = _texts_of(texts, text)
        found, reasons = self._predict(values)
        named = np.array([*self.labels, None], dtype=object)  # -1 is the last one
        has_label = pd.Series([reason is None for reason in reasons], dtype=bool)
        columns: dict[str, Any] = {
            "label": pd.Series(named[found.labels], dtype="str"),
            "score": found.scores,
            "confidence": found.confidences,
            **{f"p_{name}": found.probabilities[:, number] for number, name in enumerate(self.labels)},
            "truncated": pd.Series(found.truncated, dtype="boolean").where(has_label),
            "reason": pd.Series(reasons, dtype="str"),
        }
        frame = pd.DataFrame(columns)
        return frame if index is None else frame.set_axis(index, axis="index")

    def probabilities(self, texts: Iterable[str | None] | pd.Series[Any]) -> npt.NDArray[np.float32]:
        """The calibrated probabilities of ``texts``, in the order given: (len(texts), len(labels)), float32. A row is
        NaN if its text cannot be scored. Empty in, empty out. Raises ``ConfigError`` if ``texts`` is one string."""
        return self._predict(_texts_of(texts, None)[0])[0].probabilities

    def _predict(self, values: list[Any]) -> tuple[Predictions, list[str | None]]:
        """The predictions of ``values``, and why each has none (``None``: it has one)."""
        strings = [value if isinstance(value, str) else None for value in values]
        found = self._scorer.predict(strings)
        reasons = [found.reasons.get(position) for position in range(len(values))]
        for position in found.reasons:
            value = values[position]
            if _is_missing(value):
                reasons[position] = "there is no text"
            elif not isinstance(value, str):
                reasons[position] = f"expected a text, found a value of type {type(value).__name__}"
        return found, reasons

    def save(self, folder: str | Path) -> Path:
        """Writes the model to ``folder``, which must not exist or be empty, as ``save_pretrained`` does; returns it.

        It is the fp32 variant. The temperature is inside, so plain transformers gives the same calibrated
        probabilities: the softmax of the logits of ``AutoModelForSequenceClassification.from_pretrained(folder)``.

        Raises ``ConfigError`` if the folder holds something, and ``RegistryError`` for a model that came from a folder.
        """
        if self.version is None:
            raise RegistryError(f"{self.name} is a folder already: copy it")
        models.export(self.version, Path(folder))
        return Path(folder)


def load_model(model: str | Path | None = None, *, device: str | None = None) -> Model:
    """A model that is ready to predict.

    ``model``: ``None`` is the model in service, whose labels the views show. A string is a version of ``senti models
    list``; the variant that serves is loaded. A ``Path``, or a string with a slash in it, is a folder as
    ``Model.save`` or ``save_pretrained`` writes it; it needs no warehouse, and its labels are those of its config.json.
    ``device`` (auto, cpu or cuda) is for a folder; by default SENTI_DEVICE, which is for the others too.

    Raises ``NoChampionError`` if no model was promoted yet, ``RegistryError`` for an unknown version, and
    ``ArtifactError`` if the files are missing, were changed, or hold no classifier.
    """
    if isinstance(model, Path) or (model is not None and ("/" in model or "\\" in model)):
        return _from_folder(Path(model).expanduser(), device)
    if device is not None:
        raise ConfigError(f"device={device!r} is for a folder: set SENTI_DEVICE for registered models")
    context = load_context()
    with context.reading() as connection:
        version = promotions.in_service(connection) if model is None else model
        if Path(version).is_dir() and model is not None:
            raise RegistryError(f"{version!r} is a folder: pass pathlib.Path({version!r}) to load a model from it")
        registry.model(connection, version)
        variant = registry.serving_variant(connection, version)["variant"]
        names = tuple(registry.label_names(connection, version).values())
    return Model(version, version, variant, names, scorer_of(context, version))


def _from_folder(folder: Path, device: str | None) -> Model:
    found = settings.load()  # first, because the hub's client reads HF_ENDPOINT when it is imported
    from senti_tasks.scoring import loading

    if not (folder / "config.json").is_file():
        raise ArtifactError(f"{folder} holds no model: expected a folder with config.json, as Model.save writes it")
    scorer = loading.load(folder, "fp32", device or found.device)
    return Model(str(folder), None, "fp32", loading.label_names(folder), scorer)


def _texts_of(texts: Any, column: str | None) -> tuple[list[Any], pd.Index[Any] | None]:
    """The values of ``texts`` and the index of a Series or DataFrame."""
    import pandas as pd

    if isinstance(texts, str | bytes):
        raise ConfigError("expected several texts, found one string: put it into a list, [text]")
    if isinstance(texts, pd.DataFrame):
        names = ", ".join(map(str, texts.columns))
        if column is None:
            raise ConfigError(f"text= names the column of the texts; the DataFrame has {names}")
        if column not in texts.columns:
            raise ConfigError(f"the DataFrame has no column {column!r}; it has {names}")
        texts = texts[column]
    elif column is not None:
        raise ConfigError("text= names a column of a DataFrame: leave it out for other texts")
    if isinstance(texts, pd.Series):
        return texts.tolist(), texts.index
    return list(texts), None


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and isnan(value))
