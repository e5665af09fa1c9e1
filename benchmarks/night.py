"""A whole night beside its engine: how much of a model's own speed is left when the database is included.

The model is as small as ``scratch:tiny`` (2 layers, 128 wide, random weights), so that the database has no large model
to hide behind; no two reviews are the same, so that nothing is known already. In turns, in one process: the texts
through ``Scorer.predict`` from memory, then a night in a new warehouse (open, plan, score, audit, publish) over the
same texts in the same order. Then the peak memory of nights of few and many reviews, each in a process of its own; the
server's own memory is not in it.
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

from benchmarks.reviews import SEED, unlabelled
from benchmarks.seconds import timed
from benchmarks.tables import number, percent, say, table
from benchmarks.throughput import build
from benchmarks.warehouses import DIALECTS, NOW, settle, warehouse
from benchmarks.workers import Worker, in_a_process
from senti_tasks.scoring import devices
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import reviews

log = logging.getLogger(__name__)

STEPS = ("plan", "score", "audit", "publish")
VOCABULARY_ROWS = 50_000

Seconds = dict[str, float]


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Each variant that pays on this machine, on both databases: seconds of every step, share of the engine's speed,
    memory."""
    source = unlabelled(max(arguments.reviews, *arguments.memory_reviews))
    return {
        "source": source.source,
        "reviews": arguments.reviews,
        "variants": {variant: _form(folder, variant, source, arguments) for variant in _forms(arguments)},
    }


def _forms(arguments: argparse.Namespace) -> list[str]:
    return arguments.variants or devices.fastest_variants("cpu")


def _form(folder: Path, variant: str, source: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    home = folder / f"night-{variant}"
    stored: dict[str, str] = in_a_process(_store, home, variant, source.draw(VOCABULARY_ROWS)).value
    texts = source.draw(arguments.reviews)
    found: dict[str, Any] = {}
    with Worker(_at_work, home, stored) as worker:
        for dialect in DIALECTS:
            rounds = [_round(worker, folder, dialect, stored, texts, variant) for _ in range(arguments.rounds)]
            found[dialect] = {
                "rounds": rounds,
                "seconds": {name: median(one[name] for one in rounds) for name in rounds[0]},
                "of_engine": median(one["engine"] / one["night"] for one in rounds),
            }
    for dialect in DIALECTS:
        peaks = {}
        for rows in arguments.memory_reviews:
            with Worker(_at_work, home, stored) as worker:
                peaks[str(rows)] = _night(worker, folder, dialect, stored, source.draw(rows, SEED + 1)).peak_bytes / 1e6
        found[dialect]["peak_mb"] = peaks
        found[dialect]["memory_ratio"] = (
            peaks[str(arguments.memory_reviews[-1])] / peaks[str(arguments.memory_reviews[0])]
        )
    return found


def _round(
    worker: Worker, folder: Path, dialect: str, stored: dict[str, str], texts: list[str], variant: str
) -> Seconds:
    log.info("a night of %d reviews, %s, %s", len(texts), variant, dialect)
    engine: float = worker.ask(texts, None).value
    seconds: Seconds = _night(worker, folder, dialect, stored, texts).value
    return {"engine": engine, **seconds, "night": sum(seconds.values())}


def _night(worker: Worker, folder: Path, dialect: str, stored: dict[str, str], texts: Sequence[str]) -> Any:
    with warehouse(folder, dialect, stored) as engine:
        rows = [
            {"review_id": key, "review_text": text, "product": None, "created_at": NOW, "updated_at": NOW}
            for key, text in enumerate(texts, 1)
        ]
        with database.writing(engine) as connection:
            connection.execute(sa.insert(reviews), rows)
        settle(engine)
        return worker.ask(None, engine.url.render_as_string(hide_password=False))


def _store(home: Path, variant: str, texts: Sequence[str]) -> dict[str, str]:
    """Builds the model and puts it into the artifact store of ``home``; what ``warehouses.add_model`` wants to know."""
    from senti_tasks.artifacts import ArtifactStore

    build(home / "built", variant, texts)
    artifact, digest = ArtifactStore(str(home / "artifacts"), home / "work").put(
        home / "built" / variant, "models", variant
    )
    return {"version": "tiny", "variant": variant, "artifact": artifact, "digest": digest}


def _at_work(home: Path, stored: dict[str, str]) -> Callable[..., Any]:
    """A function that gives the seconds of the engine for ``texts``, or the steps of a night in the warehouse at
    ``url``."""
    settings = {"SENTI_HOME": home, "SENTI_ARTIFACTS": "artifacts", "SENTI_WORK": "work", "SENTI_DEVICE": "cpu"}
    os.environ.update({name: str(value) for name, value in settings.items()})
    from senti_tasks.jobs import scoring
    from senti_tasks.jobs.context import load_context
    from senti_tasks.jobs.scoring import loading
    from senti_tasks.scoring.answers import Answers

    variant = {
        "artifact": stored["artifact"],
        "digest": stored["digest"],
        "variant": stored["variant"],
        "temperature": 1.0,
    }
    scorer = loading.load_variant(load_context(migrated=False), variant)

    def work(texts: list[str] | None, url: str | None) -> float | Seconds:
        scorer._answers = Answers(0)  # nothing is known of the texts
        if texts is not None:
            return timed(lambda: scorer.predict(texts))
        os.environ["SENTI_DATABASE_URL"] = str(url)
        return _steps(scoring)

    return work


def _steps(scoring: Any) -> Seconds:
    seconds: Seconds = {}
    begun = time.perf_counter()
    run = scoring.open_run("night", NOW.isoformat())
    shards = scoring.plan(run, 1)
    seconds["plan"] = time.perf_counter() - begun
    seconds["score"] = timed(lambda: [scoring.score_shard(run, shard) for shard in shards])
    seconds["audit"] = timed(lambda: scoring.audit(run))
    seconds["publish"] = timed(lambda: scoring.publish(run))
    return seconds


def show(found: dict[str, Any]) -> None:
    """Writes the figures as Markdown."""
    say("", f"### A night of {found['reviews']:,} reviews with scratch:tiny ({found['source']})", "")
    lines = []
    for variant, databases in found["variants"].items():
        for name, one in databases.items():
            seconds = one["seconds"]
            peaks = "; ".join(f"{float(peak):,.0f}" for peak in one["peak_mb"].values())
            lines.append(
                (
                    f"{variant}, {name}",
                    *(number(found["reviews"] / seconds[what]) for what in ("engine", "night")),
                    percent(one["of_engine"]),
                    *(number(seconds[step]) for step in STEPS),
                    peaks,
                    number(one["memory_ratio"]),
                )
            )
    head = (
        "variant, database",
        "engine, reviews/s",
        "night, reviews/s",
        "of the engine",
        *(f"{step}, s" for step in STEPS),
    )
    say(*table((*head, "peak, MB", "ratio"), lines))
