"""The random sample of a run that checks a cascade in service: the last stage labels what an earlier one answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from senti_tasks.scoring.predictions import Predictions
from senti_tasks.warehouse.scoring.staging import Answers

if TYPE_CHECKING:
    from senti_tasks.scoring.scorer import Scorer

Mask = npt.NDArray[np.bool_]


class _Chunk(Protocol):
    @property
    def unknown_ids(self) -> list[Any]: ...


def sampled_by(opened: dict[str, Any], scorer: Scorer, checks: int) -> Callable[[_Chunk], Mask] | None:
    """A function that says which of the unknown texts of a chunk are in the sample; ``None`` without a cascade.

    A review is in it by a hash of the run and the review, so a shard that is scored again has the same sample. About
    ``checks`` of the reviews that the run ``opened`` has answered by an earlier stage are in it.
    """
    if scorer.last_stage == 0:
        return None
    expected = (opened["planned"] or 0) * (1 - scorer.escalated_share)
    limit = int(2**64 * min(1.0, checks / max(1.0, expected)))

    def sampled(chunk: _Chunk) -> Mask:
        return np.array([_position(opened["run_id"], key) < limit for key in chunk.unknown_ids], dtype=bool)

    return sampled


def _position(run_id: int, review_id: Any) -> int:
    """A number from 0 to 2**64 - 1, always the same for these two."""
    return int.from_bytes(blake2b(f"{run_id}/{review_id}".encode(), digest_size=8).digest())


def with_stages(answers: Answers, is_known: Mask, predictions: Predictions, last_stage: int) -> Answers:
    """``answers`` with which stage of the cascade gave them. ``predictions`` are those of the texts that are not
    ``is_known``; ``last_stage`` is the number of the last stage."""
    assert predictions.stages is not None  # noqa: S101 - the caller has a cascade
    assert predictions.checked is not None  # noqa: S101
    escalated: list[bool | None] = [None] * len(is_known)
    checked: list[int | None] = [None] * len(is_known)
    found = zip(predictions.stages.tolist(), predictions.checked.tolist(), strict=True)
    for row, (stage, label) in zip(np.flatnonzero(~is_known).tolist(), found, strict=True):
        escalated[row] = None if stage < 0 else stage == last_stage
        checked[row] = None if label < 0 else label
    return replace(answers, escalated=escalated, checked_labels=checked)
