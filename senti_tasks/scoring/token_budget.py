"""The token budget: how many tokens a batch may have. The best one is measured once per machine, and stored."""

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from senti_tasks.scoring.engines.engine import Engine, is_out_of_memory, run
from senti_tasks.scoring.tokens import Tokens

log = logging.getLogger(__name__)

_TYPICAL = 64  # tokens of each review in the probe
_ROUNDS = 2
_NEAR = 0.97  # speeds this close count as equal, and the smaller batch wins: it needs less memory and less padding


_PROBE_FROM = 50
"""A probe pays if at least this many of the largest batches are to be computed."""


class TokenBudget:
    """The token budget of an engine: given, stored by an earlier process, or found by a probe."""

    def __init__(self, engine: Engine, given: int | None = None, file: tuple[Path, str] | None = None) -> None:
        """``file`` is the file that stores budgets, and the key of this engine in it."""
        self._engine = engine
        self._file = file
        self._known = given or (stored(*file) if file else None)

    @property
    def tokens(self) -> int:
        """The budget, in tokens; without a probe the middle one of those that the engine offers."""
        offered = self._engine.token_budgets
        return self._known or offered[(len(offered) - 1) // 2]

    def probe(self, expected: int, longest: int) -> None:
        """Measures the best budget, unless it is known or the probe would take longer than it saves.

        ``expected`` is how many tokens are to be computed. ``longest`` is how many tokens of a text the model reads.
        """
        offered = self._engine.token_budgets
        if self._known is not None or len(offered) == 1 or expected < _PROBE_FROM * max(offered):
            return
        self._known = best_budget(self._seconds, offered, longest, self._engine.at_once)
        log.info("batches of %d tokens are the fastest here", self._known)
        if self._file:
            store(*self._file, self._known)

    def halve(self, at_least: int) -> None:
        """Halves the budget, but not below ``at_least`` tokens."""
        before, self._known = self.tokens, max(self.tokens // 2, at_least)
        log.warning("out of memory with batches of %d tokens: going on with %d", before, self._known)

    def _seconds(self, tokens: Tokens, budget: int) -> float:
        """How long it takes to compute ``tokens`` in batches of ``budget``; infinity if memory runs out."""
        started = time.perf_counter()
        try:
            for _ in run(self._engine, tokens, self._engine.batches(tokens.lengths, budget)):
                pass
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._engine.release()
            return math.inf
        return time.perf_counter() - started


def best_budget(seconds: Callable[[Tokens, int], float], budgets: Sequence[int], longest: int, batches: int) -> int:
    """The one of ``budgets``, in tokens of a batch, with which the engine scores the most tokens a second.

    ``seconds(tokens, budget)`` measures how long the engine takes for ``tokens`` in batches of ``budget``. ``longest``
    is the number of tokens that the model reads. ``batches`` is how many batches the engine computes at once.
    """
    length = min(_TYPICAL, longest)
    rows = batches * max(budgets) // length
    tokens = Tokens(
        np.full(rows * length, 5, dtype=np.int32),
        np.arange(rows + 1, dtype=np.int64) * length,
        np.zeros(rows, dtype=bool),
    )
    fastest: dict[int, float] = {}
    for _ in range(_ROUNDS):  # in turns, so that a busy moment slows all of them; the first round prepares kernels
        for budget in budgets:
            fastest[budget] = min(fastest.get(budget, np.inf), seconds(tokens, budget))
    best = min(fastest.values())
    return min(budget for budget in budgets if best >= _NEAR * fastest[budget])


def stored(file: Path, key: str) -> int | None:
    """The budget stored under ``key``; ``None`` if there is none, or if the file cannot be read."""
    budget = _known(file).get(key)
    return budget if isinstance(budget, int) else None


def store(file: Path, key: str, budget: int) -> None:
    """Stores ``budget`` under ``key``. If that fails, it logs a warning, and the next process probes again."""
    partial = file.with_suffix(f".{time.time_ns()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({**_known(file), key: budget}, indent=2) + "\n", encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        log.warning("the fastest batch size could not be stored: %s", error)


def _known(file: Path) -> dict[str, Any]:
    try:
        known = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
