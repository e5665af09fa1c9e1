"""``senti``: one command per job. Tables for people, ``--json`` for machines, one line and exit code 1 when it fails."""

import getpass
import json
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from senti_tasks.errors import SentiError
from senti_tasks.jobs import learning, models, scoring, upkeep

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Labels Chinese product reviews in a SQL database. Where things are is set by SENTI_* variables (.env.example).",
)
registry = typer.Typer(no_args_is_help=True, help="The model registry: list, show, promote, roll back.")
app.add_typer(registry, name="models")

out = Console(soft_wrap=True, highlight=False)
progress_console = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Reason = Annotated[str, typer.Option(help="Why, for those who read the history later.")]


def main() -> None:
    """Runs the command line; an error made on purpose is one line on standard error, and exit code 1."""
    try:
        app()
    except SentiError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a pipe must get it as it is
        sys.exit(1)


def _show(value: Any, as_json: bool, text: str | Table) -> None:
    if as_json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str, indent=2) + "\n")
    else:
        out.print(text)


def _table(rows: list[dict[str, Any]], columns: dict[str, str]) -> Table:
    """``columns``: key in a row to its heading."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(key)) for key in columns))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M}"
    return "-" if value is None else str(value)


@app.command()
def migrate(as_json: Json = False) -> None:
    """Bring the warehouse to the newest schema; safe to repeat."""
    result = upkeep.migrate()
    before = result["before"] or "nothing"
    _show(
        result,
        as_json,
        f"The warehouse is at revision {result['after']} (was at {before}), with {len(result['views'])} views.",
    )


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines or Parquet, or a folder of Dataset.save_to_disk.")],
    text_column: Annotated[str | None, typer.Option(help="Column of the review; guessed from usual names.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the label (0/1, negative/positive); may be empty.")
    ] = None,
    product_column: Annotated[str | None, typer.Option(help="Column of the product, hotel or category.")] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of the key; without it, a row's number is its key.")
    ] = None,
    created_at_column: Annotated[str | None, typer.Option(help="Column of the time it was written.")] = None,
    format: Annotated[
        str | None, typer.Option(help="csv, tsv, jsonl, parquet or dataset; default: by the suffix.")
    ] = None,  # noqa: A002
    source: Annotated[
        str | None, typer.Option(help="Name of the source, part of the key; default: the file's name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Import reviews, and labels where there are any, in one transaction; safe to repeat."""
    from senti_tasks.review_files.columns import Columns

    columns = Columns(text_column, label_column, product_column, id_column, created_at_column)
    result = upkeep.import_reviews(file, columns, source=source, file_format=format)
    lines = [
        f"{result['source']}: {result['rows']:,} rows: {result['imported']:,} imported, {result['updated']:,} updated, "
        f"{result['already_there']:,} there already, {result['refused']:,} refused; {result['labelled']:,} labels written."
    ]
    lines += [f"  line {refusal['line']}: {refusal['reason']}" for refusal in result["refusals"]]
    if result["refused"] > len(result["refusals"]):
        lines.append(f"  and {result['refused'] - len(result['refusals']):,} more")
    _show(result, as_json, "\n".join(lines))
    if result["refused"] == result["rows"]:
        raise typer.Exit(1)


@app.command()
def retrain(
    base_model: Annotated[
        str | None,
        typer.Option(
            help="Hub name, folder, scratch:tiny or scratch:small (random weights, no download); default: SENTI_BASE_MODEL."
        ),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Train on this frozen corpus (resumes a killed training of it).")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training split, at most.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Reviews per optimiser step.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of a review that are read, up to 512.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout before the linear layer.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay of AdamW.")] = None,
    warmup_fraction: Annotated[float | None, typer.Option(help="Share of steps spent warming up.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without a better validation macro-F1 before it stops.")
    ] = None,
    freeze_encoder: Annotated[bool | None, typer.Option(help="Train the pooler and the linear layer alone.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, row order and dropout.")] = None,
    as_json: Json = False,
) -> None:
    """Freeze a corpus, train, evaluate, judge and, if the gate agrees, promote. Without Airflow."""
    config = {
        "epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size, "max_length": max_length,
        "dropout": dropout, "weight_decay": weight_decay, "warmup_fraction": warmup_fraction, "patience": patience,
        "freeze_encoder": freeze_encoder, "seed": seed,
    }  # fmt: skip
    due = datetime.now(UTC).isoformat()
    origin = f"senti retrain/{due}/{uuid.uuid4().hex[:8]}"

    def say(line: str) -> None:
        progress_console.print(line, highlight=False)

    if corpus is None:
        frozen = learning.freeze_corpus(due, origin, base_model)
        corpus = frozen["corpus"]
        say(f"corpus {corpus}: " + ", ".join(f"{rows:,} {split}" for split, rows in frozen["rows"].items()))
    trained = learning.train(
        corpus, origin, base_model, {name: value for name, value in config.items() if value is not None},
        report=lambda row: say(
            f"epoch {row['epoch']}: training loss {row['train_loss']:.4f}, validation loss {row['validation_loss']:.4f}, "
            f"accuracy {row['accuracy']:.4f}, macro-F1 {row['macro_f1']:.4f}"
        ),
    )  # fmt: skip
    judgement = learning.judge(learning.evaluate(trained["model"]))
    if judgement["promote"]:
        learning.promote(judgement, actor=_person())
    card = next(row for row in models.scorecards() if row["model_version"] == trained["model"])
    verdict = "promoted" if judgement["promote"] else "refused by the gate"
    lines = [f"{trained['model']}: {verdict}", *(f"  {reason}" for reason in judgement["reasons"])]
    if not judgement["promote"]:
        lines.append(f"  to overrule it: senti models promote {trained['model']} --reason TEXT")
    if not as_json:
        out.print(_scorecards([card]))
    _show({**judgement, "corpus": corpus, "scorecard": card}, as_json, "\n".join(lines))


@app.command()
def score(
    scope: Annotated[
        str, typer.Option(help="new: what has no label yet; all: every review again; rescore: for the incoming model.")
    ] = "new",
    shards: Annotated[
        int | None, typer.Option(help="Into how many parts the work is planned; default: by its size.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Label reviews with the model in service: plan, score, audit, publish. Resumes what a killed call left."""
    prefix = f"senti score/{scope}/"
    published = []
    unfinished = scoring.unfinished_run(scope, prefix)
    if unfinished is not None:
        progress_console.print(f"going on with run {unfinished}", highlight=False)
        published.append(_run_to_its_end(unfinished, shards))
    if unfinished is None or (scope == "new" and upkeep.status()["pending"]):
        due = datetime.now(UTC).isoformat()
        published.append(_run_to_its_end(scoring.open_run(f"{prefix}{due}/{uuid.uuid4().hex[:8]}", due, scope), shards))
    lines = [
        f"run {run['run_id']} published: {run['labelled']:,} labelled by {run['model_version']}, {run['failed']:,} could not "
        f"be scored, {run['superseded']:,} edited or deleted meanwhile, {run['truncated']:,} longer than the model reads"
        for run in published
    ]
    _show(published, as_json, "\n".join(lines))


def _run_to_its_end(run: int, shards: int | None) -> dict[str, Any]:
    numbers = scoring.plan(run, shards)
    with Progress(
        TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=progress_console,
        transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task("scoring", total=scoring.planned(run))
        done = 0
        for number in numbers:
            answered = scoring.score_shard(
                run, number, progress=lambda rows, before=done: progress.update(task, completed=before + rows)
            )
            done += answered["answered"]
    scoring.audit(run)
    published = scoring.publish(run)
    if scoring.is_covered(run):
        scoring.start_service(run)
    return published


@app.command()
def predict(
    texts: Annotated[list[str], typer.Argument(help="Texts to label.")],
    as_json: Json = False,
) -> None:
    """Label and probabilities of these texts, from the champion."""
    rows = scoring.predict(texts)
    _show(
        rows,
        as_json,
        _table(rows, {"label_name": "label", "score": "P(positive)", "confidence": "confidence", "text": "text"}),
    )


@app.command()
def status(as_json: Json = False) -> None:
    """Reviews, labelled, pending, the models in use and the last runs."""
    found = upkeep.status()
    if not as_json:
        out.print(
            f"{found['reviews']:,} reviews, {found['annotated']:,} labelled by people, {found['pending']:,} pending\n"
            f"in service: {found['in_service'] or 'no model yet'}; champion: {found['champion'] or 'none yet'}"
        )
    columns = (
        "run_id",
        "scope",
        "model_version",
        "state",
        "planned",
        "labelled",
        "failed",
        "superseded",
        "published_at",
    )
    _show(found, as_json, _table(found["runs"], {name: name.replace("_", " ") for name in columns}))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Is everything in place: settings, database, migrations, artifact store, base model, device, Airflow."""
    rows = upkeep.doctor()
    shown = [{**row, "ok": {True: "ok", False: "MISSING", None: "-"}[row["ok"]]} for row in rows]
    _show(rows, as_json, _table(shown, {"ok": "", "name": "what", "finding": "found"}))
    if any(row["ok"] is False for row in rows):
        raise typer.Exit(1)


def _scorecards(cards: list[dict[str, Any]]) -> Table:
    columns = {
        "model_version": "model", "base_model": "base model", "test_rows": "test rows", "accuracy": "accuracy",
        "macro_f1": "macro-F1", "roc_auc": "ROC-AUC", "champion_accuracy": "champion", "baseline_accuracy": "TF-IDF",
        "verdict": "verdict", "in_service": "serves",
    }  # fmt: skip
    return _table([{**card, "in_service": bool(card["in_service"])} for card in cards], columns)


@registry.command("list")
def list_(as_json: Json = False) -> None:
    """Every model, newest first: accuracy beside the champion's and the baseline's, verdict, and which one serves."""
    cards = models.scorecards()
    _show(cards, as_json, _scorecards(cards))


@registry.command()
def show(version: str, as_json: Json = False) -> None:
    """Everything recorded of one model."""
    found = models.show(version)
    if not as_json:
        out.print(
            f"{found['version']} from {found['base_model']}, corpus {found['corpus']}, digest {found['digest'][:12]}"
        )
        out.print(
            _table(found["training"]["history"], {name: name for name in (found["training"]["history"] or [{}])[0]})
        )
        out.print(
            _table(found["metrics"], {"subject": "subject", "split": "split", "metric": "metric", "value": "value"})
        )
        out.print(
            _table(found["gate"], {"passed": "passed", "rule": "rule", "reference": "against", "reason": "reason"})
        )
    _show(
        found,
        as_json,
        _table(
            found["promotions"], {"seq": "promotion", "kind": "kind", "actor": "by", "at": "at", "reason": "reason"}
        ),
    )


@registry.command()
def promote(version: str, reason: Reason, as_json: Json = False) -> None:
    """Promote a model by hand. Overruling the gate is recorded as such, with the reason."""
    done = models.promote(version, reason, actor=_person())
    _show(done, as_json, f"{version} is the champion, by {done['kind']}. {_service(done)}")


@registry.command()
def rollback(reason: Reason = "rolled back by hand", as_json: Json = False) -> None:
    """Put the model that served before back into service, at once."""
    done = models.rollback(reason, actor=_person())
    _show(done, as_json, f"{done['model']} is the champion again, instead of {done['instead_of']}. {_service(done)}")


def _service(done: dict[str, Any]) -> str:
    if done["serves"]:
        return "Its labels are what analysts see from now on."
    return "It serves when rescore_reviews has labelled every review with it (without Airflow: `senti score --scope rescore`)."


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "unknown"
