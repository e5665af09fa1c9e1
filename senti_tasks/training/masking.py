"""Which tokens of a text are hidden from a model that learns to predict them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerFast

NOT_ASKED = -100
"""The label of a token that is not to be predicted, as torch's cross entropy passes over it."""

_MASKED, _REPLACED = 0.8, 0.9  # cumulative shares of the tokens to be predicted (Devlin et al. 2019, A.1)


class MaskingCollator:
    """Makes a padded batch of texts, some of their tokens hidden.

    The draws are those of (seed, epoch, first row of the batch) alone: a row comes once in an epoch, so a resumed
    training hides the same tokens, however often it was broken off. ``DataCollatorForLanguageModeling`` draws from
    generators whose state depends on that.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, share: float, seed: int, epoch: Callable[[], int] = lambda: 0
    ) -> None:
        """``share`` of a text's tokens are to be predicted, at least one, never [CLS], [SEP] or [UNK]."""
        special = np.zeros(len(tokenizer), dtype=bool)
        special[tokenizer.all_special_ids] = True
        self._special = special  # (vocabulary,)
        self._words = np.flatnonzero(~special)
        self._mask: int = tokenizer.mask_token_id
        self._padding: int = tokenizer.pad_token_id
        self._share = share
        self._seed = seed
        self._epoch = epoch

    def can_ask(self, ids: npt.NDArray[np.int32]) -> bool:
        """Whether there is a token in ``ids`` to be predicted."""
        return not bool(self._special[ids].all())

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch of ``rows`` (each with row, its number, and input_ids): input_ids, attention_mask and labels, each
        (len(rows), longest), int64; labels is ``NOT_ASKED`` wherever nothing is to be predicted."""
        draw = np.random.default_rng([self._seed, self._epoch(), rows[0]["row"]])
        lengths = np.array([len(row["input_ids"]) for row in rows])
        there = np.arange(lengths.max()) < lengths[:, None]  # (B, T)
        ids = np.full(there.shape, self._padding, dtype=np.int64)
        ids[there] = np.concatenate([row["input_ids"] for row in rows])
        may = there & ~self._special[ids]
        numbers = may.sum(axis=1)  # (B,)
        wanted = np.minimum(numbers, np.maximum(1, np.round(self._share * numbers)))
        places = np.where(may, draw.random(ids.shape), 2.0).argsort(axis=1).argsort(axis=1)
        asked = places < wanted[:, None]  # (B, T)
        fate = draw.random(ids.shape)
        others = self._words[draw.integers(len(self._words), size=ids.shape)]
        read = np.where(asked & (fate < _MASKED), self._mask, ids)
        read = np.where(asked & (fate >= _MASKED) & (fate < _REPLACED), others, read)
        return {
            "input_ids": torch.from_numpy(read),
            "attention_mask": torch.from_numpy(there.astype(np.int64)),
            "labels": torch.from_numpy(np.where(asked, ids, NOT_ASKED)),
        }
