"""Reviews and other texts get their labels."""

from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from senti_tasks import console
from senti_tasks.cli import calls
from senti_tasks.cli.options import Json
from senti_tasks.jobs import scoring, upkeep


def score(
    scope: Annotated[
        str, typer.Option(help="new: what has no label yet; all: every review again; rescore: for the incoming model.")
    ] = "new",
    shards: Annotated[int | None, typer.Option(help="Parts the work is planned in; default: by its size.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Abandon what a killed or failed call left.")] = False,
    as_json: Json = False,
) -> None:
    """Label reviews with the model in service: plan, score, audit, publish. Goes on with what a killed call left."""
    command = f"senti score {scope}"
    published = []
    if (unfinished := scoring.unfinished_run(scope, command, restart)) is not None:
        console.say(f"going on with run {unfinished}")
        published.append(_run_to_its_end(unfinished, shards))
    if not published or (scope == "new" and upkeep.status()["pending"]):
        due, origin = calls.opening(command)
        published.append(_run_to_its_end(scoring.open_run(origin, due, scope), shards))
    lines = [
        f"run {run['run_id']} is published: {run['labelled']:,} labelled by {run['model_version']} "
        f"({run['truncated']:,} longer than it reads), {run['failed']:,} could not be scored, "
        f"{run['superseded']:,} edited or deleted meanwhile"
        for run in published
    ]
    console.show(published, as_json, *lines)


def _run_to_its_end(run: int, shards: int | None) -> dict[str, Any]:
    numbers = scoring.plan(run, shards)
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.progress_console(), transient=True) as progress:
        bar = progress.add_task("scoring", total=scoring.planned(run))
        for number in numbers:
            scoring.score_shard(run, number, progress=lambda rows: progress.advance(bar, rows))
    scoring.audit(run)
    published = scoring.publish(run)
    if scoring.is_covered(run):
        scoring.start_service(run)
    return published


def predict(texts: Annotated[list[str], typer.Argument(help="Texts to label.")], as_json: Json = False) -> None:
    """Label and probabilities of these texts, from the champion."""
    rows = scoring.predict(texts)
    columns = {"label_name": "label", "score": "score", "confidence": "confidence", "text": "text"}
    console.show(rows, as_json, console.table(rows, columns))
