"""An engine without a model."""

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from senti_tasks.scoring import batches
from senti_tasks.scoring.batches import Batch
from senti_tasks.scoring.engines.engine import Logits
from senti_tasks.scoring.tokens import Tokens
from tests.unit.scoring.rows import rows_of

Row = tuple[int, ...]


def out_of_memory() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class Toy:
    """Thinks something of a row by its ids alone, has as much memory as it is told, and keeps what it was given."""

    token_budgets: Sequence[int] = (64, 128, 256, 512)

    def __init__(
        self,
        memory: int | None = None,
        error: Callable[[], Exception] = out_of_memory,
        no_number_for: Collection[Row] = (),
        no_number: float = np.nan,
        at_once: int = 1,
    ) -> None:
        """``memory``: tokens of the largest batch that fits, padding included; ``error`` says that one does not."""
        self._memory = memory
        self._error = error
        self._no_number_for = no_number_for
        self._no_number = no_number
        self.at_once = at_once
        self.computed: list[Row] = []
        self.budgets: list[int] = []
        self.refused = 0
        self.released = 0

    def batches(self, lengths: npt.NDArray[np.int64], token_budget: int) -> Iterator[Batch]:
        self.budgets.append(token_budget)
        return batches.padded(lengths.tolist(), token_budget)

    def start(self, tokens: Tokens, batch: Batch) -> Callable[[], Logits]:
        rows = rows_of(tokens)
        given = [tuple(rows[position]) for position in batch]
        if self._memory is not None and len(given) * max(map(len, given)) > self._memory:
            self.refused += 1
            raise self._error()
        self.computed += given
        logits = np.array([self._opinion(row) for row in given], dtype=np.float32)
        return lambda: logits

    def release(self) -> None:
        self.released += 1

    def _opinion(self, row: Row) -> tuple[float, float]:
        if row in self._no_number_for:
            return self._no_number, self._no_number
        verdict = 2 * float(np.sin(np.dot(row, np.arange(1, len(row) + 1))))
        return -verdict, verdict
