"""Rows of token ids, in and out of ``Tokens``, and what an engine makes of them."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from senti_tasks.scoring.batches import Batch
from senti_tasks.scoring.engines.engine import Engine, Logits, run
from senti_tasks.scoring.tokens import Tokens


def tokens_of(rows: Sequence[Sequence[int]]) -> Tokens:
    return Tokens(
        np.array([token for row in rows for token in row], dtype=np.int32),
        np.cumsum([0, *(len(row) for row in rows)]),
        np.zeros(len(rows), dtype=bool),
    )


def rows_of(tokens: Tokens) -> list[list[int]]:
    return [tokens.ids[start:end].tolist() for start, end in pairwise(tokens.offsets.tolist())]


def rows_of_lengths(lengths: Iterable[int], vocabulary: int = 200) -> Tokens:
    """Random ids, the same ones each time."""
    random = np.random.default_rng(2026)
    return tokens_of([random.integers(5, vocabulary, length).tolist() for length in lengths])


def logits_of(engine: Engine, tokens: Tokens, budget: int) -> Logits:
    """Logits row by row, after checking that no row was computed twice."""
    return logits_of_batches(engine, tokens, engine.batches(tokens.lengths, budget))


def logits_of_batches(engine: Engine, tokens: Tokens, planned: Iterable[Batch]) -> Logits:
    logits = np.full((len(tokens.lengths), 2), np.nan, dtype=np.float32)
    for batch, found in run(engine, tokens, planned):
        assert found.shape == (len(batch), 2)
        assert np.isnan(logits[batch]).all()
        logits[batch] = found
    return logits
