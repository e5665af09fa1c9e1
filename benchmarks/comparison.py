"""Measuring contenders in alternation on the same texts, and computing their figures."""

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
from benchmarks.reviews import sample_by_length
from benchmarks.workers import LocalWorker, Result, Worker, WorkerError, open_worker, run_in_process
from benchmarks.workload import Shape

log = logging.getLogger(__name__)

Rows = npt.NDArray[np.int64]

_WARM_UP_ROWS = 16


@dataclass(frozen=True, slots=True)
class Workload:
    """The texts of a comparison."""

    texts: list[str]
    lengths: Rows
    """Tokens of each text, special tokens included: (n,), int64."""
    slow_rows: int
    """Number of texts for the slow contenders: a sample with the same distribution of lengths."""


@dataclass(slots=True)
class Measurement:
    """A contender, its worker, and the result of each round."""

    contender: Contender
    rows: Rows
    """Positions of the texts that it scores: (n,), int64, ascending."""
    worker: Worker | LocalWorker
    warm_up_seconds: float = 0.0
    results: list[Result] = field(default_factory=list)

    @property
    def positive(self) -> npt.NDArray[np.float32]:
        """P(positive) of the texts at ``rows`` in the last round: (n,), float32."""
        probabilities: npt.NDArray[np.float32] = self.results[-1].value
        return probabilities


def compare(
    contenders: Sequence[Contender], job: Job, shape: Shape, work: Workload, calibration: Sequence[str], rounds: int
) -> dict[str, Any]:
    """Measures every contender and returns the figures as JSON values.

    In each round each contender scores its texts once. The order of the contenders is reversed in every second round.
    Before the first round each contender scores its texts once without measurement (a slow contender: one batch),
    because the first call prepares kernels. On a CPU each contender runs in its own process. A contender that cannot
    run, or that fails, is listed with the reason under "skipped". ``calibration`` are texts for quantisation.
    """
    skipped: dict[str, str] = {}
    measurements: list[Measurement] = []
    with ExitStack() as open_workers:
        for contender in contenders:
            log.info("%s: preparing", contender.name)
            try:
                measurements.append(_prepare(contender, job, work, calibration, open_workers))
            except WorkerError as error:
                _skip(contender, error, skipped)
        products = {"peaks": open_workers.enter_context(open_worker(job.device, load_peaks, job.device))}
        if job.device == "cuda":
            products["chain"] = open_workers.enter_context(open_worker(job.device, load_chain, shape, job.device))
        best: dict[str, dict[Any, float]] = {name: {} for name in products}
        for number in range(rounds):
            for name, product_worker in products.items():
                for key, rate in product_worker.call().value.items():
                    best[name][key] = max(rate, best[name].get(key, 0.0))
            for one in measurements[:: -1 if number % 2 else 1]:
                try:
                    one.results.append(one.worker.call([work.texts[row] for row in one.rows]))
                except WorkerError as error:
                    _skip(one.contender, error, skipped)
                    continue
                speed = len(one.rows) / one.results[-1].seconds
                log.info("round %d of %d: %s: %.1f reviews/s", number + 1, rounds, one.contender.name, speed)
            measurements = [one for one in measurements if one.contender.name not in skipped]
    peaks = best["peaks"]
    by_name = {one.contender.name: one for one in measurements}
    reference = by_name.get(REFERENCE)
    return {
        "peaks_gflops": {name: value / 1e9 for name, value in peaks.items()},
        "spread": float(reference.positive.std()) if reference else None,
        "contenders": [
            _figures(by_name[one.name], reference, shape, work, peaks)
            if one.name in by_name
            else {"name": one.name, "what": one.what, "skipped": skipped[one.name]}
            for one in contenders
        ],
        "packed_padded_agreement": (
            _agreement(by_name.get(PACKED), by_name.get(PADDED)) if job.device == "cuda" else None
        ),
        "bare_products": _bare_products(best.get("chain", {}), shape, float(work.lengths.mean())),
    }


def _prepare(
    contender: Contender, job: Job, work: Workload, calibration: Sequence[str], open_workers: ExitStack
) -> Measurement:
    """Starts the worker of ``contender`` and warms it up. Raises ``WorkerError`` if the contender cannot run."""
    if reason := contender.reason_to_skip(job.device):
        raise WorkerError(reason)
    if contender.prepare:
        run_in_process(contender.prepare, job, calibration)
    all_rows = np.arange(len(work.texts))
    sampled = contender.slow and work.slow_rows < len(all_rows)
    rows = sample_by_length(work.lengths, work.slow_rows) if sampled else all_rows
    worker = open_workers.enter_context(open_worker(job.device, contender.load, job))
    warm_up_rows = rows[:_WARM_UP_ROWS] if contender.slow else rows
    warm_up = worker.call([work.texts[row] for row in warm_up_rows])
    return Measurement(contender, rows, worker, warm_up.seconds)


def _skip(contender: Contender, error: WorkerError, skipped: dict[str, str]) -> None:
    skipped[contender.name] = str(error)
    log.warning("%s is skipped: %s", contender.name, error)


def _figures(
    measurement: Measurement, reference: Measurement | None, shape: Shape, work: Workload, peaks: dict[str, float]
) -> dict[str, Any]:
    """The figures of one contender. ``peaks`` are operations per second by precision."""
    contender, results = measurement.contender, measurement.results
    seconds = [result.seconds for result in results]
    lengths = work.lengths[measurement.rows]
    tokens, flop = int(lengths.sum()), shape.useful_flop(lengths)
    gflops = _rates(flop / 1e9, seconds)
    peak = peaks.get(contender.precision)
    return {
        "name": contender.name,
        "what": contender.what,
        "precision": contender.precision,
        "skipped": None,
        "rows": len(measurement.rows),
        "tokens": tokens,
        "seconds": seconds,
        "cpu_seconds": [result.cpu_seconds for result in results],
        "warm_up_seconds": measurement.warm_up_seconds,
        "reviews_per_second": _rates(len(measurement.rows), seconds),
        "tokens_per_second": _rates(tokens, seconds),
        "useful_gflops": gflops,
        "share_of_peak": gflops["best"] * 1e9 / peak if peak else None,
        "times_tutorial": _speedup(measurement, reference, work, "seconds"),
        "times_tutorial_by_cpu_time": _speedup(measurement, reference, work, "cpu_seconds"),
        "agreement": _agreement(measurement, reference),
        "largest_difference": _largest_difference(measurement, reference),
        "cores": median(result.cpu_seconds / result.seconds for result in results),
        "peak_memory_mb": results[-1].peak_bytes / 1e6,
        "memory_rise_mb": results[-1].rise_bytes / 1e6,
    }


def _rates(amount: float, seconds: Sequence[float]) -> dict[str, float]:
    return {"median": amount / median(seconds), "best": amount / min(seconds)}


def _speedup(measurement: Measurement, reference: Measurement | None, work: Workload, time_field: str) -> float | None:
    """Tokens per second divided by the reference's: the median over the rounds; ``None`` without a reference.

    ``time_field`` is ``seconds`` (wall time) or ``cpu_seconds``. Each round is compared with the same round of the
    reference, because the speed of the machine changes over time.
    """
    if reference is None:
        return None
    token_ratio = work.lengths[measurement.rows].sum() / work.lengths[reference.rows].sum()
    pairs = zip(measurement.results, reference.results, strict=True)
    time_ratio = median(getattr(theirs, time_field) / getattr(own, time_field) for own, theirs in pairs)
    return float(token_ratio * time_ratio)


def _common_probabilities(
    first: Measurement | None, second: Measurement | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """P(positive) by each contender, of the texts that both have scored; ``None`` if either is missing."""
    if first is None or second is None:
        return None
    _, in_first, in_second = np.intersect1d(first.rows, second.rows, assume_unique=True, return_indices=True)
    return first.positive[in_first], second.positive[in_second]


def _agreement(first: Measurement | None, second: Measurement | None) -> float | None:
    """Share of the common texts with the same label, from 0 to 1; ``None`` if a contender is missing."""
    if (common := _common_probabilities(first, second)) is None:
        return None
    return float(((common[0] > 0.5) == (common[1] > 0.5)).mean())


def _largest_difference(first: Measurement | None, second: Measurement | None) -> float | None:
    """Largest difference of P(positive) over the common texts; ``None`` if a contender is missing."""
    if (common := _common_probabilities(first, second)) is None:
        return None
    return float(np.abs(common[0] - common[1]).max())


def _bare_products(rates: dict[int, float], shape: Shape, mean_tokens: float) -> list[dict[str, float]]:
    """The figures of ``rates``: tokens per second, by the number of tokens in a batch. Empty in, empty out."""
    return [
        {
            "batch_tokens": tokens,
            "tokens_per_second": rate,
            "reviews_per_second": rate / mean_tokens,
            "gflops": rate * chain_flop(shape) / 1e9,
        }
        for tokens, rate in rates.items()
    ]
