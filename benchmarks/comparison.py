"""Contenders in turns on the same texts, and what their figures say."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.contenders import Contender, Job
from benchmarks.lineup import PACKED, PADDED, REFERENCE
from benchmarks.products import chain_flop, load_chain, load_peaks
from benchmarks.reviews import thinned
from benchmarks.workers import Answer, InProcess, Worker, WorkerError, in_a_process, worker
from benchmarks.workload import Shape

log = logging.getLogger(__name__)

Rows = npt.NDArray[np.int64]

_WARM_UP_ROWS = 16


@dataclass(frozen=True, slots=True)
class Workload:
    """The texts of a comparison."""

    texts: list[str]
    lengths: Rows
    """(n,), int64: their tokens, special ones included."""
    slow_rows: int
    """How many of them the slow contenders get: a sample with the same distribution of lengths."""


@dataclass(slots=True)
class Turn:
    """A contender at work, and what came of it."""

    contender: Contender
    rows: Rows
    """Positions of the texts it gets."""
    worker: Worker | InProcess
    warm_up: float = 0.0
    answers: list[Answer] = field(default_factory=list)

    @property
    def positive(self) -> npt.NDArray[np.float32]:
        """P(positive) of its texts, of the last round."""
        found: npt.NDArray[np.float32] = self.answers[-1].value
        return found


def compare(
    contenders: Sequence[Contender], job: Job, shape: Shape, work: Workload, calibration: Sequence[str], rounds: int
) -> dict[str, Any]:
    """Figures of every contender: round by round each scores its texts once, in an order that turns round every time.

    Before the first round each scores its texts once uncounted (the slow ones a batch), since the first time prepares
    kernels. On a CPU every contender has a process of its own. A contender that cannot run is reported with the reason.
    """
    out: dict[str, str] = {}
    turns: list[Turn] = []
    with ExitStack() as open_workers:
        for contender in contenders:
            log.info("%s: preparing", contender.name)
            try:
                turns.append(_ready(contender, job, work, calibration, open_workers))
            except WorkerError as error:
                out[contender.name] = str(error)
                log.warning("%s is left out: %s", contender.name, error)
        products = {"peaks": open_workers.enter_context(worker(job.device, load_peaks, job.device))}
        if job.device == "cuda":
            products["chain"] = open_workers.enter_context(worker(job.device, load_chain, shape, job.device))
        best: dict[str, dict[Any, float]] = {name: {} for name in products}
        for number in range(rounds):
            for name, measured in products.items():
                for key, rate in measured.ask().value.items():
                    best[name][key] = max(rate, best[name].get(key, 0.0))
            for turn in turns[:: -1 if number % 2 else 1]:
                _take(turn, work, out)
                if turn.answers:
                    speed = len(turn.rows) / turn.answers[-1].seconds
                    log.info("round %d of %d: %s: %.1f reviews/s", number + 1, rounds, turn.contender.name, speed)
            turns = [turn for turn in turns if turn.contender.name not in out]
    peak = best["peaks"]
    by_name = {turn.contender.name: turn for turn in turns}
    reference = by_name.get(REFERENCE)
    return {
        "peaks_gflops": {name: value / 1e9 for name, value in peak.items()},
        "spread": float(reference.positive.std()) if reference else None,
        "contenders": [
            _figures(by_name[one.name], reference, shape, work, peak)
            if one.name in by_name
            else {"name": one.name, "what": one.what, "skipped": out[one.name]}
            for one in contenders
        ],
        "packed_padded_agreement": (
            _agreement(by_name.get(PACKED), by_name.get(PADDED)) if job.device == "cuda" else None
        ),
        "bare_products": _bare(best.get("chain", {}), shape, float(work.lengths.mean())),
    }


def _ready(contender: Contender, job: Job, work: Workload, calibration: Sequence[str], workers: ExitStack) -> Turn:
    if reason := contender.unable(job.device):
        raise WorkerError(reason)
    if contender.prepare:
        in_a_process(contender.prepare, job, calibration)
    every = np.arange(len(work.texts))
    rows = thinned(work.lengths, work.slow_rows) if contender.slow and work.slow_rows < len(every) else every
    turn = Turn(contender, rows, workers.enter_context(worker(job.device, contender.load, job)))
    warm_up = rows[:_WARM_UP_ROWS] if contender.slow else rows
    turn.warm_up = turn.worker.ask([work.texts[row] for row in warm_up]).seconds
    return turn


def _take(turn: Turn, work: Workload, out: dict[str, str]) -> None:
    """Adds an answer to the turn's, or a reason to those for which contenders are ``out``."""
    try:
        turn.answers.append(turn.worker.ask([work.texts[row] for row in turn.rows]))
    except WorkerError as error:
        out[turn.contender.name] = str(error)
        log.warning("%s is left out: %s", turn.contender.name, error)


def _figures(
    turn: Turn, reference: Turn | None, shape: Shape, work: Workload, peaks: dict[str, float]
) -> dict[str, Any]:
    seconds = [answer.seconds for answer in turn.answers]
    lengths = work.lengths[turn.rows]
    tokens, flop = int(lengths.sum()), shape.useful_flop(lengths)
    gflops = _rates(flop / 1e9, seconds)
    peak = peaks.get(turn.contender.precision)
    return {
        "name": turn.contender.name,
        "what": turn.contender.what,
        "precision": turn.contender.precision,
        "skipped": None,
        "rows": len(turn.rows),
        "tokens": tokens,
        "seconds": seconds,
        "cpu_seconds": [answer.cpu_seconds for answer in turn.answers],
        "warm_up_seconds": turn.warm_up,
        "reviews_per_second": _rates(len(turn.rows), seconds),
        "tokens_per_second": _rates(tokens, seconds),
        "useful_gflops": gflops,
        "share_of_peak": gflops["best"] * 1e9 / peak if peak else None,
        "times_tutorial": _ratio(turn, reference, work, "seconds"),
        "times_tutorial_by_cpu_time": _ratio(turn, reference, work, "cpu_seconds"),
        "agreement": _agreement(turn, reference),
        "largest_difference": _largest_difference(turn, reference),
        "cores": median(answer.cpu_seconds / answer.seconds for answer in turn.answers),
        "peak_memory_mb": turn.answers[-1].peak_bytes / 1e6,
        "memory_rise_mb": turn.answers[-1].rise_bytes / 1e6,
    }


def _rates(amount: float, seconds: Sequence[float]) -> dict[str, float]:
    return {"median": amount / median(seconds), "best": amount / min(seconds)}


def _ratio(turn: Turn, reference: Turn | None, work: Workload, clock: str) -> float | None:
    """How many times the reference's tokens a second of ``clock``: the median over the rounds, each with itself."""
    if reference is None:
        return None
    share = work.lengths[turn.rows].sum() / work.lengths[reference.rows].sum()
    pairs = zip(turn.answers, reference.answers, strict=True)
    return float(share * median(getattr(slow, clock) / getattr(own, clock) for own, slow in pairs))


def _both(turn: Turn | None, other: Turn | None) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """What the two think of the texts that both have scored."""
    if turn is None or other is None:
        return None
    _, own, others = np.intersect1d(turn.rows, other.rows, assume_unique=True, return_indices=True)
    return turn.positive[own], other.positive[others]


def _agreement(turn: Turn | None, other: Turn | None) -> float | None:
    """The share of texts that both label the same."""
    if (both := _both(turn, other)) is None:
        return None
    return float(((both[0] > 0.5) == (both[1] > 0.5)).mean())


def _largest_difference(turn: Turn, other: Turn | None) -> float | None:
    if (both := _both(turn, other)) is None:
        return None
    return float(np.abs(both[0] - both[1]).max())


def _bare(rates: dict[int, float], shape: Shape, mean_tokens: float) -> list[dict[str, float]]:
    """Figures of ``rates``, tokens a second by the tokens of a batch."""
    return [
        {
            "batch_tokens": tokens,
            "tokens_per_second": rate,
            "reviews_per_second": rate / mean_tokens,
            "gflops": rate * chain_flop(shape) / 1e9,
        }
        for tokens, rate in rates.items()
    ]
