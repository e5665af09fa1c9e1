"""The interface of an engine, and how batches are computed with it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from senti_tasks.scoring.batches import Batch
from senti_tasks.scoring.tokens import Tokens

Logits = npt.NDArray[np.float32]
"""(rows, n_labels), float32."""


class Engine(Protocol):
    """A classifier on a device. It computes batches of token ids."""

    token_budgets: Sequence[int]
    """Budgets worth trying, in tokens of a batch, ascending; without a probe the middle one is used."""
    at_once: int
    """How many batches to start before waiting for the first of them, so that the device is always busy."""

    def batches(self, lengths: npt.NDArray[np.int64], token_budget: int) -> Iterator[Batch]:
        """The rows with these lengths, in batches as ``start`` takes them."""
        ...

    def start(self, tokens: Tokens, batch: Batch) -> Callable[[], Logits]:
        """Starts to compute the rows ``batch`` of ``tokens``.

        Returns a function that waits for their logits, (len(batch), n_labels), in the order of the batch. Both this
        method and that function may raise exceptions of the device.
        """
        ...

    def release(self) -> None:
        """Frees the memory that the engine keeps for speed. No batch may be under way."""
        ...


def run(engine: Engine, tokens: Tokens, planned: Iterable[Batch]) -> Iterator[tuple[Batch, Logits]]:
    """Every batch with its logits, in the order given; ``at_once`` batches are computed at the same time."""
    under_way: deque[tuple[Batch, Callable[[], Logits]]] = deque()
    for batch in planned:
        under_way.append((batch, engine.start(tokens, batch)))
        if len(under_way) > engine.at_once:
            first, wait = under_way.popleft()
            yield first, wait()
    for batch, wait in under_way:
        yield batch, wait()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device had too little memory. torch has a class for this on CUDA only; its CPU allocator and
    OpenVINO raise ``RuntimeError`` with these words."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = ("not enough memory", "can't allocate memory", "bad_alloc", "cannot allocate")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
