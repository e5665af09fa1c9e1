"""The speed of a whole scoring run, compared with the engine alone: how much the database costs.

The model is ``scratch:tiny`` (2 layers, 128 wide, random weights): with a large model the time of the database would be
too small to measure. All reviews are different, so no label is reused. One process alternates between
``Scorer.predict`` on texts in memory, and a run in a new warehouse (open, plan, score, audit, publish) with the same
texts in the same order. Then the peak memory is measured for a run of few and of many reviews, each in a separate
process. The memory of the database server is not included.
"""

import argparse
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa

from benchmarks.reviews import SEED, Corpus, unlabelled
from benchmarks.tables import number, percent, print_lines, table
from benchmarks.temporary_warehouse import DIALECTS, NOW, open_warehouse, vacuum
from benchmarks.throughput import build_model
from benchmarks.timer import seconds_of
from benchmarks.workers import Result, Worker, run_in_process
from senti_tasks.scoring import devices
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import reviews

log = logging.getLogger(__name__)

STEPS = ("plan", "score", "audit", "publish")
VOCABULARY_ROWS = 50_000

Seconds = dict[str, float]
"""Seconds by step."""


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures each variant on both databases and returns the figures as JSON values.

    The variants are ``arguments.variants``, by default those that are fast on this machine.
    """
    source = unlabelled(max(arguments.reviews, *arguments.memory_reviews))
    variants = arguments.variants or devices.fastest_variants("cpu")
    return {
        "source": source.source,
        "reviews": arguments.reviews,
        "variants": {variant: _measure_variant(folder, variant, source, arguments) for variant in variants},
    }


def _measure_variant(folder: Path, variant: str, source: Corpus, arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of ``variant`` by database: seconds of each step, speed relative to the engine, peak memory."""
    home = folder / f"run-{variant}"
    model: dict[str, str] = run_in_process(_store_model, home, variant, source.draw(VOCABULARY_ROWS)).value
    texts = source.draw(arguments.reviews)
    figures: dict[str, Any] = {}
    with Worker(_load_steps, home, model) as worker:
        for dialect in DIALECTS:
            rounds = [_measure_round(worker, folder, dialect, model, texts) for _ in range(arguments.rounds)]
            figures[dialect] = {
                "rounds": rounds,
                "seconds": {name: median(one[name] for one in rounds) for name in rounds[0]},
                "of_engine": median(one["engine"] / one["run"] for one in rounds),
            }
    for dialect in DIALECTS:
        peaks = {}
        for rows in arguments.memory_reviews:
            with Worker(_load_steps, home, model) as worker:
                result = _score_in_new_warehouse(worker, folder, dialect, model, source.draw(rows, SEED + 1))
            peaks[str(rows)] = result.peak_bytes / 1e6
        few, many = arguments.memory_reviews
        figures[dialect]["peak_mb"] = peaks
        figures[dialect]["memory_ratio"] = peaks[str(many)] / peaks[str(few)]
    return figures


def _measure_round(worker: Worker, folder: Path, dialect: str, model: dict[str, str], texts: list[str]) -> Seconds:
    """Seconds of the engine alone, of each step of a run, and of the whole run."""
    log.info("a run of %d reviews, %s, %s", len(texts), model["variant"], dialect)
    engine: float = worker.call(texts, None).value
    seconds: Seconds = _score_in_new_warehouse(worker, folder, dialect, model, texts).value
    return {"engine": engine, **seconds, "run": sum(seconds.values())}


def _score_in_new_warehouse(
    worker: Worker, folder: Path, dialect: str, model: dict[str, str], texts: Sequence[str]
) -> Result:
    """Fills a new warehouse with ``texts`` and scores them in one run. The value is the seconds of each step."""
    with open_warehouse(folder, dialect, model) as engine:
        rows = [
            {"review_id": key, "review_text": text, "product": None, "created_at": NOW, "updated_at": NOW}
            for key, text in enumerate(texts, 1)
        ]
        with database.writing(engine) as connection:
            connection.execute(sa.insert(reviews), rows)
        vacuum(engine)
        return worker.call(None, engine.url.render_as_string(hide_password=False))


def _store_model(home: Path, variant: str, texts: Sequence[str]) -> dict[str, str]:
    """Builds the model, puts it into the artifact store of ``home`` and returns the arguments of ``add_model``."""
    from senti_tasks.artifacts import ArtifactStore

    build_model(home / "built", variant, texts)
    artifact, digest = ArtifactStore(str(home / "artifacts"), home / "work").put(
        home / "built" / variant, "models", variant
    )
    return {"version": "tiny", "variant": variant, "artifact": artifact, "digest": digest}


def _load_steps(home: Path, model: dict[str, str]) -> Callable[..., Any]:
    """A function that measures the engine on texts in memory, or a run in the warehouse at a URL.

    Either argument is ``None``. It returns the engine's seconds, or the seconds of each step of the run.
    """
    settings = {"SENTI_HOME": home, "SENTI_ARTIFACTS": "artifacts", "SENTI_WORK": "work", "SENTI_DEVICE": "cpu"}
    os.environ.update({name: str(value) for name, value in settings.items()})
    from senti_tasks.jobs import scoring
    from senti_tasks.jobs.context import load_context
    from senti_tasks.jobs.scoring import loading
    from senti_tasks.scoring.answers import Answers

    variant = {
        "artifact": model["artifact"],
        "digest": model["digest"],
        "variant": model["variant"],
        "temperature": 1.0,
    }
    scorer = loading.load_variant(load_context(migrated=False), variant)

    def measure_steps(texts: list[str] | None, url: str | None) -> float | Seconds:
        scorer.answers = Answers(0)  # an empty cache: every text is computed
        if texts is not None:
            return seconds_of(lambda: scorer.predict(texts))
        os.environ["SENTI_DATABASE_URL"] = str(url)
        return _run_steps(scoring)

    return measure_steps


def _run_steps(scoring: Any) -> Seconds:
    """Opens, plans, scores, audits and publishes a run with the jobs in ``scoring``; returns seconds by step."""
    seconds: Seconds = {}
    started = time.perf_counter()
    (run,) = scoring.open_series("benchmark", NOW.isoformat())
    shards = scoring.plan(run, 1)
    seconds["plan"] = time.perf_counter() - started
    seconds["score"] = seconds_of(lambda: [scoring.score_shard(run, shard) for shard in shards])
    seconds["audit"] = seconds_of(lambda: scoring.audit(run))
    seconds["publish"] = seconds_of(lambda: scoring.publish(run))
    return seconds


def show(results: dict[str, Any]) -> None:
    """Prints the result of ``measure`` as Markdown."""
    print_lines("", f"### A run of {results['reviews']:,} reviews with scratch:tiny ({results['source']})", "")
    rows = []
    for variant, databases in results["variants"].items():
        for name, figures in databases.items():
            seconds = figures["seconds"]
            peaks = "; ".join(f"{float(peak):,.0f}" for peak in figures["peak_mb"].values())
            rows.append(
                (
                    f"{variant}, {name}",
                    *(number(results["reviews"] / seconds[measured]) for measured in ("engine", "run")),
                    percent(figures["of_engine"]),
                    *(number(seconds[step]) for step in STEPS),
                    peaks,
                    number(figures["memory_ratio"]),
                )
            )
    head = (
        "variant, database",
        "engine, reviews/s",
        "run, reviews/s",
        "run / engine",
        *(f"{step}, s" for step in STEPS),
        "peak memory of few; many reviews, MB",
        "ratio",
    )
    print_lines(*table(head, rows))
