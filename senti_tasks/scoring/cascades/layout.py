"""The folder of a cascade: ``cascade.json``, and the files of each stage in a folder of its own."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from senti_tasks.errors import ArtifactError
from senti_tasks.scoring.predictions import Predictions

FILE = "cascade.json"

Thresholds = tuple[float | None, ...]
"""By label: the least confidence with which a stage answers a text to which it gives this label; ``None``: it answers
none of them."""


def is_sure(predictions: Predictions, thresholds: Thresholds) -> npt.NDArray[np.bool_]:
    """(n,), bool: which texts a stage with ``thresholds`` answers itself. Those with a reason are not among them."""
    least = np.array([np.inf if limit is None else limit for limit in thresholds])
    sure: npt.NDArray[np.bool_] = predictions.confidences.astype(np.float64) >= least[predictions.labels]
    sure[list(predictions.reasons)] = False
    return sure


@dataclass(frozen=True, slots=True)
class Stage:
    """A model in a cascade."""

    folder: str
    """The folder with its files, inside the folder of the cascade: ``student`` for the first, ``teacher`` for the
    last."""
    model: str
    """What it is, for people: ``tfidf``, or the name of the base model."""
    variant: str
    temperature: float
    """Divides its logits, before its confidence is compared with the thresholds."""
    thresholds: Thresholds | None = None
    """``None`` for the last stage, which answers everything."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """What ``cascade.json`` says."""

    stages: tuple[Stage, ...]
    """In the order in which they are asked, two or more."""
    escalated_share: float
    """The share of reviews that the last stage answered when the cascade was compared with fp32."""

    def save(self, folder: Path) -> None:
        """Writes it into ``folder``, which has the folders of the stages."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The one in ``folder``. Raises ``ArtifactError`` if there is none, or if it cannot be computed."""
        try:
            found = json.loads((folder / FILE).read_text("utf-8"))
            stages = tuple(_stage(**values) for values in found["stages"])
            share = float(found["escalated_share"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder} holds no cascade that can be loaded: {error}") from error
        if len(stages) < 2 or [stage.thresholds is None for stage in stages] != [False] * (len(stages) - 1) + [True]:
            raise ArtifactError(
                f"{folder} holds no cascade that can be loaded: expected two or more stages in {FILE}, all but the "
                f"last with thresholds, found {len(stages)}"
            )
        if strange := [stage.folder for stage in stages if Path(stage.folder).name != stage.folder]:
            raise ArtifactError(
                f"{folder} holds no cascade that can be loaded: {strange[0]!r} is not the name of a folder"
            )
        return cls(stages, share)


def _stage(thresholds: Sequence[float | None] | None, **values: str | float) -> Stage:
    return Stage(**values, thresholds=None if thresholds is None else tuple(thresholds))  # type: ignore[arg-type]
