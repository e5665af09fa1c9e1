"""``senti score`` and ``senti predict``."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from senti_tasks import console
from senti_tasks.cli import tables
from senti_tasks.cli.calls import Json, new_call, user_name
from senti_tasks.cli.stages import Stages
from senti_tasks.errors import ConfigError
from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import upkeep


def score(
    scope: Annotated[
        str,
        typer.Option(
            help="new: recently changed reviews without a label; reconcile: all reviews without a label; all: every "
            "review again; rescore: all reviews, for the incoming model."
        ),
    ] = "new",
    shards: Annotated[
        int | None, typer.Option(help="Number of shards; several processes of this command share them.")
    ] = None,
    run: Annotated[int | None, typer.Option(help="Continue this run, whoever opened it (see `senti status`).")] = None,
    publish_anyway: Annotated[
        str | None, typer.Option(metavar="REASON", help="Publish a held run, or one that would be held; on record.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Abandon --run, or the runs of killed calls (not held runs).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Label reviews with the model in service. Plans, scores, audits, publishes; continues runs of killed calls first.

    Several processes at the same time, on one machine or several, share the work.
    """
    if run is not None and restart:
        scoring.abandon(run, user_name(), "senti score --restart")
        run = None
    published, stages = [], Stages()
    for run_ids in _series(scope, restart) if run is None else [[run]]:
        if len(run_ids) == 1:
            with stages.stage(f"planning {_named(run_ids)}"):
                scoring.plan(run_ids[0], shards)
        _complete(stages, run_ids, takes_over=run is not None)
        with stages.stage(f"checking and publishing {_named(run_ids)}"):
            published += scoring.publish_series(run_ids, publish_anyway, user_name() if publish_anyway else None)
    lines = [
        f"run {found['run_id']} is published: {found['labelled']:,} labelled by {found['model_version']} "
        f"({found['truncated']:,} truncated), {found['failed']:,} could not be scored, "
        f"{found['superseded']:,} edited or deleted meanwhile"
        for found in published
    ]
    console.show(published, as_json, *lines)


def _series(scope: str, restart: bool) -> Iterator[list[int]]:
    """The series to complete: first those of killed calls and of other processes, then a new one unless these have
    covered the work."""
    command = f"senti score {scope}"
    resumed = False
    while unfinished := scoring.unfinished_series(scope, f"{command}/", restart):
        console.progress(f"continuing {_named(unfinished)}")
        resumed = True
        yield unfinished
    due, idempotency_key = new_call(command)
    if scope == "rescore":
        is_needed = not resumed or scoring.scope_to_catch_up() == "rescore"
    else:
        is_needed = not resumed or (scope == "new" and upkeep.status()["pending"] > 0)
    if is_needed:
        yield scoring.open_series(idempotency_key, due, scope, joins=f"{command}/")
    if scope == "rescore":
        scoring.catch_up(f"{idempotency_key}/catch-up", due)


def _named(run_ids: list[int]) -> str:
    return f"run {run_ids[0]}" if len(run_ids) == 1 else f"runs {run_ids[0]} to {run_ids[-1]}"


def _complete(stages: Stages, run_ids: list[int], *, takes_over: bool) -> None:
    """Scores the shards of a series that no other process is scoring, and waits for the others. ``takes_over`` takes
    the shards of other processes, too."""
    with stages.stage("loading the model") as stage:
        counts = {"answered": 0, "planned": 0}
        doing = "scoring"

        def watch(what: str, value: dict[str, int] | int) -> None:
            nonlocal counts, doing
            if isinstance(value, dict):
                run = value["run"]
                counts = scoring.counts(run)
                doing = "scoring" if len(run_ids) == 1 else f"scoring range {run_ids.index(run) + 1} of {len(run_ids)}"
            elif what == "rows":
                counts["answered"] += value
            else:
                doing = f"waiting for another process ({value:,} shards left)"
            stage.count(counts["answered"], counts["planned"], "reviews", what=doing)

        if takes_over:
            for shard in scoring.list_shards(run_ids):
                watch("shard", shard)
                scoring.complete_shard(shard["run"], shard["shard"], lambda rows: watch("rows", rows))
        scoring.complete_series(run_ids, watch=watch)


def predict(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to label.", metavar="[TEXT]...")] = None,
    file: Annotated[
        str | None,
        typer.Option(help="File of texts in any format of `senti import`; -: standard input, a text a line."),
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="With --file: column of the text.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, row by row, instead of a table.")] = False,
    as_json: Json = False,
) -> None:
    """Predict label and probability of texts with the champion. Without texts, it reads standard input."""
    rows = _predictions(texts or [], file, text_column)
    if as_csv:
        console.show_csv(rows, ("line", "label_name", "label", "score", "confidence", "reason", "text"))
        return
    found = list(rows)
    columns = {"label_name": "label", "score": "score", "confidence": "confidence", "text": "text"}
    if any(row.get("reason") for row in found):
        columns["reason"] = "not scored because"
    digits = {"score": "{:.4f}", "confidence": "{:.4f}"}
    console.show(found, as_json, tables.table(found, columns, formats=digits))


def _predictions(texts: list[str], file: str | None, text_column: str | None) -> Iterable[dict[str, Any]]:
    if text_column is not None and file in (None, "-"):
        raise ConfigError("--text-column names a column of a --file: leave it out")
    if texts:
        if file is not None:
            raise ConfigError("label either the texts of the command line or those of --file: leave one of them out")
        return scoring.predict(texts)
    if file is not None and file != "-":
        return scoring.predict_file(Path(file), text_column)
    if sys.stdin is None or (file is None and sys.stdin.isatty()):
        raise ConfigError("there is no text to label: pass TEXT, --file FILE, or texts on standard input, one a line")
    return scoring.predict_lines(sys.stdin)
