"""Measure how much of the tokenising runs in parallel with scoring, and the peak memory.

The model is ``scratch:tiny`` (2 layers, 128 wide, random weights), so small that scoring takes about as long as
tokenising. It has a vocabulary built from the reviews, and it is the variant that is fastest on this machine. All
reviews are different and in memory. Each round measures tokenising alone, both with ``Scorer.stream``, and scoring of
tokenised texts alone. Then the peak memory is measured for few and for many reviews, each in a separate process.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.reviews import SEED, unlabelled
from benchmarks.tables import number, print_lines, table
from benchmarks.workers import Worker, resident_bytes, run_in_process
from senti_tasks.config import TrainConfig
from senti_tasks.scoring import devices, loading
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.scoring.engines.engine import run
from senti_tasks.training.base_models import load_classifier
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer

log = logging.getLogger(__name__)

_BASE = "scratch:tiny"
_ROWS = 100_000
_MEMORY_ROWS = (20_000, 200_000)
_VOCABULARY_ROWS = 50_000
_CALIBRATION_ROWS = 300

Stages = dict[str, float]
"""The seconds of each stage of a round, and the tokens of its batches and of all its texts."""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures all stages and returns the figures as JSON values: medians over the rounds."""
    rows = arguments.rows or _ROWS
    device = devices.device_named(arguments.device).type
    variant = devices.fastest_variants(device)[0]
    source = unlabelled(rows)
    with tempfile.TemporaryDirectory(prefix="senti-benchmark-") as name:
        folder = Path(name)
        run_in_process(build_model, folder, variant, source.draw(min(len(source.texts), _VOCABULARY_ROWS)))
        texts = source.draw(rows)
        rounds = _measure_rounds(folder / variant, variant, device, texts, arguments.rounds)
        config = ScoreConfig(token_budget=int(rounds[-1]["token_budget"]))
        memory = [
            _measure_memory(folder / variant, variant, device, config, source.draw(n, SEED + 1)) for n in _MEMORY_ROWS
        ]
    medians = {name: median(stages[name] for stages in rounds) for name in rounds[0]}
    return {
        "device": device,
        "variant": variant,
        "source": source.source,
        "rows": rows,
        "rounds": rounds,
        "reviews_per_second": {name: rows / medians[name] for name in ("tokenise", "score", "both")},
        "both_over_score": median(stages["both"] / stages["score"] for stages in rounds),
        "both_over_sum": median(stages["both"] / (stages["score"] + stages["tokenise"]) for stages in rounds),
        "cpu_seconds_per_wall_second": median(stages["both_cpu"] / stages["both"] for stages in rounds),
        "memory": memory,
        "memory_ratio": memory[-1]["peak_mb"] / memory[0]["peak_mb"],
    }


def build_model(folder: Path, variant: str, texts: Sequence[str]) -> None:
    """Writes the model and its tokenizer into ``folder / variant``.

    The vocabulary is built from ``texts``; the first of them also calibrate int8.
    """
    config = TrainConfig.for_base_model(_BASE)
    tokenizer = build_tokenizer(texts, config.max_length)
    trained = folder / "fp32"
    load_classifier(_BASE, tokenizer, config).save_pretrained(trained)
    tokenizer.save_pretrained(trained)
    if variant != "fp32":
        from senti_tasks.training import variants

        if variant == "int8":
            variants.build_int8(trained, folder / variant, texts[:_CALIBRATION_ROWS])
        else:
            variants.build_bf16(trained, folder / variant)


def _measure_rounds(folder: Path, variant: str, device: str, texts: list[str], rounds: int) -> list[Stages]:
    with Worker(_load_stages, folder, variant, device, len(texts)) as worker:
        worker.call(texts[: len(texts) // 10 + 1])  # not measured: prepares kernels and probes the batch size
        measured = []
        for round_ in range(rounds):
            log.info("round %d of %d: %d reviews", round_ + 1, rounds, len(texts))
            measured.append(worker.call(texts).value)
        return measured


def _load_stages(folder: Path, variant: str, device: str, expected: int) -> Callable[[list[str]], Stages]:
    """A function that measures each stage on its texts. ``expected`` is the number of texts of a round."""
    scorer = loading.load(folder, variant, device, ScoreConfig(remembered_texts=0))
    tokenizer, engine = scorer._tokenizer, scorer._engine  # the scorer's own objects: all stages use the same ones
    size = scorer.chunk_rows

    def stages(texts: list[str]) -> Stages:
        chunks = [texts[start : start + size] for start in range(0, len(texts), size)]
        started = time.perf_counter()
        tokens_of_chunks = [tokenizer.encode(chunk) for chunk in chunks]
        tokenised = time.perf_counter()
        cpu_started = time.process_time()
        for _ in scorer.stream(((None, chunk) for chunk in chunks), expected):
            pass
        cpu, both = time.process_time() - cpu_started, time.perf_counter()
        budget = scorer.token_budget.tokens
        for tokens in tokens_of_chunks:
            for _ in run(engine, tokens, engine.batches(tokens.lengths, budget)):
                pass
        scored = time.perf_counter()
        return {
            "tokenise": tokenised - started,
            "both": both - tokenised,
            "both_cpu": cpu,
            "score": scored - both,
            "token_budget": float(budget),
            "tokens": float(sum(len(tokens.ids) for tokens in tokens_of_chunks)),
        }

    return stages


def _measure_memory(folder: Path, variant: str, device: str, config: ScoreConfig, texts: list[str]) -> dict[str, float]:
    log.info("measuring the peak memory of %d reviews", len(texts))
    with Worker(_load_predict, folder, variant, device, config) as worker:
        result = worker.call(texts)
    return {
        "rows": len(texts),
        "peak_mb": result.peak_bytes / 1e6,
        "with_texts_before_mb": result.value / 1e6,
        "seconds": result.seconds,
    }


def _load_predict(folder: Path, variant: str, device: str, config: ScoreConfig) -> Callable[[list[str]], int]:
    """A function that scores texts and returns the RSS before scoring, in bytes, with model and texts in memory."""
    scorer = loading.load(folder, variant, device, config)

    def predict(texts: list[str]) -> int:
        before = resident_bytes()
        scorer.predict(texts)
        return before

    return predict


def show(results: dict[str, Any]) -> None:
    """Prints the result of ``measure`` as Markdown."""
    rates = results["reviews_per_second"]
    print_lines(
        "",
        f"## Throughput on {results['device']}",
        "",
        f"{_BASE}, {results['variant']}, {results['rows']:,} different reviews ({results['source']}), "
        f"{results['rounds'][0]['tokens']:,.0f} tokens in batches of {results['rounds'][0]['token_budget']:,.0f}; "
        f"rounds: {len(results['rounds'])}.",
        "",
        *table(
            ("measurement", "value"),
            [
                ["tokenising alone, reviews/s", number(rates["tokenise"])],
                ["scoring tokenised texts alone, reviews/s", number(rates["score"])],
                ["both, with Scorer, reviews/s", number(rates["both"])],
                ["wall time of both / scoring alone", number(results["both_over_score"])],
                ["wall time of both / tokenising alone + scoring alone", number(results["both_over_sum"])],
                ["CPU seconds per second of wall time, both", number(results["cpu_seconds_per_wall_second"])],
                *(
                    [f"{name} at {one['rows']:,} reviews, MB", number(one[key])]
                    for name, key in (
                        ("peak memory (RSS)", "peak_mb"),
                        ("memory (RSS) before scoring, with texts and model", "with_texts_before_mb"),
                    )
                    for one in results["memory"]
                ),
                ["peak memory of many reviews / of few", number(results["memory_ratio"])],
            ],
        ),
    )
