"""How many tokens a batch should hold on this machine: tried once, for a few seconds, and kept on file."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from senti_tasks.scoring.tokens import Tokens

_TYPICAL = 64  # tokens in a review of the probe
_ROUNDS = 2
_NEAR = 0.97  # of two as good as equal the smaller is taken: it needs less memory and leaves less to pad


def best_budget(seconds: Callable[[Tokens, int], float], budgets: Sequence[int], longest: int, batches: int) -> int:
    """Which of ``budgets`` scores the most tokens a second.

    ``seconds`` is how long an engine takes for these tokens in batches of that budget; ``longest`` is what the model
    reads; ``batches`` is how many it computes at once.
    """
    length = min(_TYPICAL, longest)
    rows = batches * max(budgets) // length
    tokens = Tokens(
        np.full(rows * length, 5, dtype=np.int32),
        np.arange(rows + 1, dtype=np.int64) * length,
        np.zeros(rows, dtype=bool),
    )
    fastest: dict[int, float] = {}
    for _ in range(_ROUNDS):  # in turns, so that a busy moment hits all; the first round prepares kernels
        for budget in budgets:
            fastest[budget] = min(fastest.get(budget, np.inf), seconds(tokens, budget))
    best = min(fastest.values())
    return min(budget for budget in budgets if best >= _NEAR * fastest[budget])


def kept(file: Path, key: str) -> int | None:
    """The budget kept under ``key``; ``None`` when there is none, or the file cannot be read."""
    try:
        budget = json.loads(file.read_text("utf-8")).get(key)
    except (OSError, ValueError, AttributeError):
        return None
    return budget if isinstance(budget, int) else None


def keep(file: Path, key: str, budget: int) -> None:
    """Keeps ``budget`` under ``key``. Two at once: one of them is asked for again the next time."""
    try:
        known = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{time.time_ns()}")
    partial.write_text(json.dumps({**known, key: budget}, indent=2) + "\n", encoding="utf-8")
    partial.replace(file)
