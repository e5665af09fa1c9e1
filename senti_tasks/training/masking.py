"""Masks tokens of texts for masked language modelling."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerFast

IGNORE_INDEX = -100
"""The label of a token that is not to be predicted: ``ignore_index`` of torch's cross-entropy."""

_MASKED, _REPLACED = 0.8, 0.9  # cumulative shares of the selected tokens (Devlin et al. 2019, A.1)


class MaskingCollator:
    """Pads texts to a batch and masks some of their tokens.

    The random draws depend on (seed, epoch, number of the batch's first row) only. Each row occurs once in an epoch, so
    a resumed training masks the same tokens as an uninterrupted one. ``DataCollatorForLanguageModeling`` draws from
    generators whose state depends on where the training was interrupted.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        share: float,
        seed: int,
        width_step: int = 1,
        epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        """Selects the share ``share`` of a text's tokens, at least one; never [CLS], [SEP] or [UNK].

        Batches are padded to a multiple of ``width_step`` tokens.
        """
        special = np.zeros(len(tokenizer), dtype=bool)
        special[tokenizer.all_special_ids] = True
        self._special = special  # (vocabulary,)
        self._words = np.flatnonzero(~special)
        self._mask_id: int = tokenizer.mask_token_id
        self._pad_id: int = tokenizer.pad_token_id
        self._share = share
        self._seed = seed
        self._width_step = width_step
        self._epoch = epoch

    def has_maskable_token(self, ids: npt.NDArray[np.int32]) -> bool:
        """Whether ``ids`` (length,) contain a token that may be selected."""
        return not bool(self._special[ids].all())

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of ``rows``, each with ``row`` (its number) and ``input_ids``.

        Returns input_ids, attention_mask and labels, each (B, T), int64, with B = len(rows) and T the longest length,
        rounded up to ``width_step``. labels has the original ids of the selected tokens, and ``IGNORE_INDEX`` for all
        others. positions, (K,), int64, are the positions of the selected tokens in the flattened labels, filled up with
        0, the position of a [CLS]. K follows from B and T, because a CUDA graph is recorded for each set of shapes.
        """
        random = np.random.default_rng([self._seed, self._epoch(), rows[0]["row"]])
        lengths = np.array([len(row["input_ids"]) for row in rows])
        width = -(-lengths.max() // self._width_step) * self._width_step
        attended = np.arange(width) < lengths[:, None]  # (B, T)
        ids = np.full(attended.shape, self._pad_id, dtype=np.int64)
        ids[attended] = np.concatenate([row["input_ids"] for row in rows])
        maskable = attended & ~self._special[ids]
        numbers = maskable.sum(axis=1)  # (B,)
        wanted = np.minimum(numbers, self._wanted(numbers))
        ranks = np.where(maskable, random.random(ids.shape), 2.0).argsort(axis=1).argsort(axis=1)
        selected = ranks < wanted[:, None]  # (B, T)
        positions = np.zeros(len(rows) * int(self._wanted(width)), dtype=np.int64)
        positions[: selected.sum()] = np.flatnonzero(selected)
        draws = random.random(ids.shape)
        random_words = self._words[random.integers(len(self._words), size=ids.shape)]
        inputs = np.where(selected & (draws < _MASKED), self._mask_id, ids)
        inputs = np.where(selected & (draws >= _MASKED) & (draws < _REPLACED), random_words, inputs)
        return {
            "input_ids": torch.from_numpy(inputs),
            "attention_mask": torch.from_numpy(attended.astype(np.int64)),
            "labels": torch.from_numpy(np.where(selected, ids, IGNORE_INDEX)),
            "positions": torch.from_numpy(positions),
        }

    def _wanted(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """How many of a text's ``tokens`` to select."""
        return np.maximum(1, np.round(self._share * tokens))
