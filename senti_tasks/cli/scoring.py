"""Reviews and other texts get their labels."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from senti_tasks import console
from senti_tasks.cli import calls
from senti_tasks.cli.options import Json
from senti_tasks.jobs import scoring, upkeep


def score(
    scope: Annotated[
        str,
        typer.Option(
            help="new: what has no label yet; reconcile: the same, also of reviews dated long ago; all: every review "
            "again; rescore: for the incoming model."
        ),
    ] = "new",
    shards: Annotated[int, typer.Option(help="Parts the work is planned in, which follow one another here.")] = 1,
    run: Annotated[int | None, typer.Option(help="Go on with this run, whoever opened it (`senti status`).")] = None,
    publish_anyway: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Overrule the checks that compare it with the runs before it; on record."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Abandon --run, or else what a killed or failed call left; begin anew.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Label reviews with the model in service: plan, score, audit, publish. Goes on with what a killed call left."""
    if run is not None and restart:
        scoring.abandon(run)
        run = None
    numbers = _runs(scope, restart) if run is None else [run]
    published = [_run_to_its_end(number, shards, publish_anyway) for number in numbers]
    done = [found["run_id"] for found in published]
    if scope == "rescore" and scoring.is_covered(done):
        scoring.start_service(done)
    lines = [
        f"run {found['run_id']} is published: {found['labelled']:,} labelled by {found['model_version']} "
        f"({found['truncated']:,} longer than it reads), {found['failed']:,} could not be scored, "
        f"{found['superseded']:,} edited or deleted meanwhile"
        for found in published
    ]
    console.show(published, as_json, *lines)


def _runs(scope: str, restart: bool) -> Iterator[int]:
    """The runs to bring to their end: what a killed call left, and what is to be done besides."""
    command = f"senti score {scope}"
    resumed = False
    while (unfinished := scoring.unfinished_run(scope, command, restart)) is not None:
        console.say(f"going on with run {unfinished}")
        resumed = True
        yield unfinished
    due, idempotency_key = calls.opening(command)
    if scope == "rescore" and (not resumed or scoring.has_incoming()):
        yield from scoring.open_ranges(idempotency_key, due)
    elif scope != "rescore" and (not resumed or (scope == "new" and upkeep.status()["pending"])):
        yield scoring.open_run(idempotency_key, due, scope)


def _run_to_its_end(run: int, shards: int, anyway: str | None) -> dict[str, Any]:
    numbers = scoring.plan(run, shards)
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.progress_console(), transient=True) as progress:
        bar = progress.add_task("scoring", total=scoring.planned(run), completed=scoring.answered(run))
        for number in numbers:
            scoring.score_shard(run, number, progress=lambda rows: progress.advance(bar, rows))
    scoring.audit(run, anyway, calls.person() if anyway else None)
    return scoring.publish(run)


def predict(texts: Annotated[list[str], typer.Argument(help="Texts to label.")], as_json: Json = False) -> None:
    """Label and probabilities of these texts, from the champion."""
    rows = scoring.predict(texts)
    columns = {"label_name": "label", "score": "score", "confidence": "confidence", "text": "text"}
    console.show(rows, as_json, console.table(rows, columns))
