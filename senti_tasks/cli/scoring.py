"""``senti score`` and ``senti predict``."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from senti_tasks import console
from senti_tasks.cli.calls import Json, new_call, user_name
from senti_tasks.jobs import scoring, upkeep


def score(
    scope: Annotated[
        str,
        typer.Option(
            help="new: recently changed reviews without a label; reconcile: all reviews without a label; all: every "
            "review again; rescore: all reviews, for the incoming model."
        ),
    ] = "new",
    shards: Annotated[int, typer.Option(help="Number of shards; here they are scored one after the other.")] = 1,
    run: Annotated[int | None, typer.Option(help="Continue this run, whoever opened it (see `senti status`).")] = None,
    publish_anyway: Annotated[
        str | None, typer.Option(metavar="REASON", help="Publish a held run, or one that would be held; on record.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Abandon --run, or the runs of killed calls (not held runs).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Label reviews with the model in service: plan, score, audit, publish. Continues runs of killed calls first."""
    if run is not None and restart:
        scoring.abandon(run)
        run = None
    run_ids = _runs(scope, restart) if run is None else [run]
    published = [_complete(run_id, shards, publish_anyway) for run_id in run_ids]
    done = [found["run_id"] for found in published]
    if scope == "rescore" and scoring.is_covered(done):
        scoring.start_service(done)
    lines = [
        f"run {found['run_id']} is published: {found['labelled']:,} labelled by {found['model_version']} "
        f"({found['truncated']:,} truncated), {found['failed']:,} could not be scored, "
        f"{found['superseded']:,} edited or deleted meanwhile"
        for found in published
    ]
    console.show(published, as_json, *lines)


def _runs(scope: str, restart: bool) -> Iterator[int]:
    """The runs to complete: first those of killed calls, then a new one unless these have covered the work."""
    command = f"senti score {scope}"
    resumed = False
    while (unfinished := scoring.unfinished_run(scope, command, restart)) is not None:
        console.progress(f"continuing run {unfinished}")
        resumed = True
        yield unfinished
    due, idempotency_key = new_call(command)
    if scope == "rescore" and (not resumed or scoring.has_incoming()):
        yield from scoring.open_ranges(idempotency_key, due)
    elif scope != "rescore" and (not resumed or (scope == "new" and upkeep.status()["pending"])):
        yield scoring.open_run(idempotency_key, due, scope)


def _complete(run: int, shards: int, anyway: str | None) -> dict[str, Any]:
    """Plans, scores, audits and publishes a run; returns its counts."""
    numbers, counts = scoring.plan(run, shards), scoring.counts(run)
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("scoring", total=counts["planned"], completed=counts["answered"])
        for number in numbers:
            scoring.score_shard(run, number, progress=lambda rows: progress.advance(bar, rows))
    scoring.audit(run, anyway, user_name() if anyway else None)
    return scoring.publish(run)


def predict(texts: Annotated[list[str], typer.Argument(help="Texts to label.")], as_json: Json = False) -> None:
    """Predict label, score and confidence of texts with the champion."""
    rows = scoring.predict(texts)
    columns = {"label_name": "label", "score": "score", "confidence": "confidence", "text": "text"}
    console.show(rows, as_json, console.table(rows, columns))
