"""How well tokenising hides behind scoring, with a model so small that it takes as long: ``scratch:tiny``'s shape.

2 layers, 128 wide, random weights, a vocabulary built from the reviews, the variant that this machine computes fastest;
the reviews are all different and held in memory. In turns: tokenising alone, scoring ready tokens alone, and both
through ``Scorer.predict``. Then the peak memory of scoring few and many, each in a process of its own.
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
from benchmarks.tables import number, say, table
from benchmarks.workers import Worker, in_a_process, resident
from senti_tasks.config import TrainConfig
from senti_tasks.scoring import devices, engines, loading
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.training.base_models import load_classifier
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer

log = logging.getLogger(__name__)

_BASE = "scratch:tiny"
_ROWS = 100_000
_MEMORY_ROWS = (20_000, 200_000)
_VOCABULARY_ROWS = 50_000
_CALIBRATION_ROWS = 300

Stages = dict[str, float]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures, as medians of the rounds."""
    rows = arguments.rows or _ROWS
    device = devices.device_named(arguments.device).type
    variant = devices.fastest_variants(device)[0]
    source = unlabelled(rows)
    with tempfile.TemporaryDirectory(prefix="senti-benchmark-") as name:
        folder = Path(name)
        in_a_process(build, folder, variant, source.draw(min(len(source.texts), _VOCABULARY_ROWS)))
        texts = source.draw(rows)
        rounds = _rounds(folder / variant, variant, device, texts, arguments.rounds)
        config = ScoreConfig(token_budget=int(rounds[-1]["token_budget"]))
        memory = [_memory(folder / variant, variant, device, config, source.draw(n, SEED + 1)) for n in _MEMORY_ROWS]
    found = {name: median(stages[name] for stages in rounds) for name in rounds[0]}
    return {
        "device": device,
        "variant": variant,
        "source": source.source,
        "rows": rows,
        "rounds": rounds,
        "reviews_per_second": {name: rows / found[name] for name in ("tokenise", "score", "both")},
        "both_over_score": median(stages["both"] / stages["score"] for stages in rounds),
        "both_over_sum": median(stages["both"] / (stages["score"] + stages["tokenise"]) for stages in rounds),
        "cpu_seconds_per_wall_second": median(stages["both_cpu"] / stages["both"] for stages in rounds),
        "memory": memory,
        "memory_ratio": memory[-1]["peak_mb"] / memory[0]["peak_mb"],
    }


def build(folder: Path, variant: str, texts: Sequence[str]) -> None:
    """Writes the model into ``folder / variant``, with its tokenizer."""
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


def _rounds(folder: Path, variant: str, device: str, texts: list[str], rounds: int) -> list[Stages]:
    with Worker(_load_stages, folder, variant, device, len(texts)) as worker:
        worker.ask(texts[: len(texts) // 10 + 1])  # prepares kernels, and probes
        found = []
        for number_ in range(rounds):
            log.info("round %d of %d: %d reviews", number_ + 1, rounds, len(texts))
            found.append(worker.ask(texts).value)
        return found


def _load_stages(folder: Path, variant: str, device: str, expected: int) -> Callable[[list[str]], Stages]:
    """A function that gives the seconds of each stage, for texts of which there are ``expected`` in all."""
    scorer = loading.load(folder, variant, device, ScoreConfig(remembered_texts=0))
    tokenizer, engine = scorer._tokenizer, scorer._engine  # the scorer's own, so that nothing but the way differs
    size = scorer.chunk_rows

    def stages(texts: list[str]) -> Stages:
        chunks = [texts[start : start + size] for start in range(0, len(texts), size)]
        started = time.perf_counter()
        ready = [tokenizer.encode(chunk) for chunk in chunks]
        tokenised = time.perf_counter()
        cpu_started = time.process_time()
        for _ in scorer.stream(((None, chunk) for chunk in chunks), expected):
            pass
        cpu, both = time.process_time() - cpu_started, time.perf_counter()
        budget = scorer._token_budget or engine.token_budgets[(len(engine.token_budgets) - 1) // 2]
        for tokens in ready:
            for _ in engines.run(engine, tokens, engine.batches(tokens.lengths, budget)):
                pass
        scored = time.perf_counter()
        return {
            "tokenise": tokenised - started,
            "both": both - tokenised,
            "both_cpu": cpu,
            "score": scored - both,
            "token_budget": float(budget),
            "tokens": float(sum(len(tokens.ids) for tokens in ready)),
        }

    return stages


def _memory(folder: Path, variant: str, device: str, config: ScoreConfig, texts: list[str]) -> dict[str, float]:
    log.info("memory of %d reviews", len(texts))
    with Worker(_load_predict, folder, variant, device, config) as worker:
        answer = worker.ask(texts)
    return {
        "rows": len(texts),
        "peak_mb": answer.peak_bytes / 1e6,
        "with_texts_before_mb": answer.value / 1e6,
        "seconds": answer.seconds,
    }


def _load_predict(folder: Path, variant: str, device: str, config: ScoreConfig) -> Callable[[list[str]], int]:
    """A function that scores texts and gives the memory that the process held before, the texts included."""
    scorer = loading.load(folder, variant, device, config)

    def predict(texts: list[str]) -> int:
        before = resident()
        scorer.predict(texts)
        return before

    return predict


def show(found: dict[str, Any]) -> None:
    """Writes the figures as Markdown."""
    rates = found["reviews_per_second"]
    say(
        "",
        f"## Throughput on {found['device']}",
        "",
        f"{_BASE}, {found['variant']}, {found['rows']:,} different reviews ({found['source']}), "
        f"{found['rounds'][0]['tokens']:,.0f} tokens in batches of {found['rounds'][0]['token_budget']:,.0f}; "
        f"rounds: {len(found['rounds'])}.",
        "",
        *table(
            ("what", "figure"),
            [
                ["tokenising alone, reviews/s", number(rates["tokenise"])],
                ["scoring ready tokens alone, reviews/s", number(rates["score"])],
                ["both, through Scorer, reviews/s", number(rates["both"])],
                ["wall time of both over scoring alone", number(found["both_over_score"])],
                ["wall time of both over one after the other", number(found["both_over_sum"])],
                ["CPU seconds a wall second, both", number(found["cpu_seconds_per_wall_second"])],
                *(
                    [f"{name} at {one['rows']:,} reviews, MB", number(one[key])]
                    for name, key in (
                        ("peak memory (RSS)", "peak_mb"),
                        ("with texts and model", "with_texts_before_mb"),
                    )
                    for one in found["memory"]
                ),
                ["ratio of the peaks", number(found["memory_ratio"])],
            ],
        ),
    )
