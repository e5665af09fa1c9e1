"""A chunk of texts in a scorer: which of its items are computed, and which still have to be."""

from typing import Any

import numpy as np
import numpy.typing as npt

from senti_tasks.scoring.answers import Answers, keys_of
from senti_tasks.scoring.engines.engine import Logits
from senti_tasks.scoring.tokens import Tokens

Items = npt.NDArray[np.int64]


class Chunk:
    """Texts that are tokenised together, and whose predictions are returned together.

    An *item* is a distinct row of token ids. It is computed once, even if several texts have these ids. Items are
    numbered from 0, in the order of their first texts.
    """

    def __init__(self, tag: Any, size: int, reasons: dict[int, str], tokens: Tokens, n_labels: int) -> None:
        """``tag`` is returned to the caller. ``reasons`` maps the position of each text that cannot be scored to the
        reason. ``tokens`` are those of the other texts, in order. ``size`` counts both."""
        self.tag = tag
        self.size = size
        self.reasons = reasons
        self.truncated = tokens.truncated
        numbers: dict[bytes, int] = {}
        items = [numbers.setdefault(key, len(numbers)) for key in keys_of(tokens)]
        self._item_of_row = np.array(items, dtype=np.int64)
        self._keys = list(numbers)
        _, first_rows = np.unique(self._item_of_row, return_index=True)
        self.tokens = tokens.take(first_rows)
        """One row for each item."""
        self._logits = np.full((len(numbers), n_labels), np.nan, dtype=np.float32)
        self._is_open = np.ones(len(numbers), dtype=bool)
        self._elsewhere: dict[int, tuple[Chunk, int]] = {}

    def look_up(self, known: Answers, under_way: dict[bytes, tuple["Chunk", int]]) -> None:
        """Finds the items that need not be computed: their answer is known, or an earlier chunk computes them.

        ``under_way`` maps the keys of all items of earlier chunks to the chunk and the item. The other items of this
        chunk are added to it.
        """
        for item, key in enumerate(self._keys):
            if (other := under_way.get(key)) is not None:
                self._elsewhere[item] = other
            else:
                under_way[key] = (self, item)
                if (answer := known.get(key)) is None:
                    continue
                self._logits[item] = np.frombuffer(answer, dtype=np.float32)
            self._is_open[item] = False

    @property
    def open_items(self) -> Items:
        """The items that still have to be computed."""
        return np.flatnonzero(self._is_open)

    @property
    def is_answered(self) -> bool:
        return not self._is_open.any()

    def answer(self, items: Items, logits: Logits) -> None:
        """Keeps the logits of ``items``, (len(items), n_labels)."""
        self._logits[items] = logits
        self._is_open[items] = False

    def close(self, known: Answers, under_way: dict[bytes, tuple["Chunk", int]]) -> Logits:
        """The logits of the texts without a reason, (rows, n_labels), in order. Earlier chunks must be closed before.

        Adds the answers to ``known``, and removes the items of this chunk from ``under_way``.
        """
        for item, (other, its_item) in self._elsewhere.items():
            self._logits[item] = other._logits[its_item]
        self._elsewhere.clear()  # otherwise each chunk would keep all earlier ones in memory
        for key in self._keys:
            if under_way.get(key, (None, 0))[0] is self:
                del under_way[key]
        known.add(zip(self._keys, map(np.ndarray.tobytes, self._logits), strict=True))
        logits: Logits = self._logits[self._item_of_row]
        return logits
