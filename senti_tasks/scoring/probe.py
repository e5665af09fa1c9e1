"""How many tokens a batch should hold on this machine: tried once, for a few seconds, and kept on file."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from senti_tasks.scoring.tokens import Tokens

log = logging.getLogger(__name__)

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
    budget = _known(file).get(key)
    return budget if isinstance(budget, int) else None


def keep(file: Path, key: str, budget: int) -> None:
    """Keeps ``budget`` under ``key``, if it can; what is not kept is probed for again the next time."""
    partial = file.with_suffix(f".{time.time_ns()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({**_known(file), key: budget}, indent=2) + "\n", encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        log.warning("the batch size that is the fastest here could not be kept: %s", error)


def _known(file: Path) -> dict[str, Any]:
    try:
        known = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
