"""``senti``: one command per job. Tables for people, ``--json`` for machines, one line and exit code 1 when it
fails."""

import getpass
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from senti_tasks import console
from senti_tasks.errors import SentiError
from senti_tasks.jobs import checkup, forms, learning, models, scoring, upkeep

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Labels Chinese product reviews in a SQL database. Where things are: SENTI_* variables (see .env.example).",
)
registry = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The model registry: list, promote, roll back."
)
app.add_typer(registry, name="models")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Reason = Annotated[str, typer.Option(help="Why, for those who read the history later.")]


def main() -> None:
    """Runs the command line; an error made on purpose is one line on standard error, and exit code 1."""
    try:
        app()
    except SentiError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)


@app.command()
def migrate(as_json: Json = False) -> None:
    """Bring the warehouse to the newest schema; safe to repeat."""
    result = upkeep.migrate()
    views = f"with {len(result['views'])} views"
    if result["before"] == result["after"]:
        line = f"The warehouse is at the newest revision, {result['after']}, {views}."
    else:
        line = f"The warehouse went from revision {result['before'] or 'none'} to {result['after']}, {views}."
    console.show(result, as_json, line)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines or Parquet, or a folder of Dataset.save_to_disk.")],
    text_column: Annotated[str | None, typer.Option(help="Column of the text; usual names are found.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the label: 0/1, negative/positive, blank.")
    ] = None,
    product_column: Annotated[str | None, typer.Option(help="Column of the product, hotel or category.")] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of the key; default: a row's number is its key.")
    ] = None,
    created_at_column: Annotated[str | None, typer.Option(help="Column of the time it was written.")] = None,
    file_format: Annotated[str | None, typer.Option("--format", help="csv, tsv, jsonl, parquet or dataset.")] = None,
    source: Annotated[str | None, typer.Option(help="Name of the source; default: the file's name.")] = None,
    as_json: Json = False,
) -> None:
    """Import reviews, and labels where there are any, in one transaction; safe to repeat."""
    named = {"text": text_column, "label": label_column, "product": product_column}
    result = upkeep.import_reviews(
        file, {**named, "id": id_column, "created_at": created_at_column}, source=source, file_format=file_format
    )
    counts = (
        f"{result['source']}: {result['rows']:,} rows: {result['imported']:,} imported, {result['updated']:,} updated, "
        f"{result['already_there']:,} there already, {result['refused']:,} refused; "
        f"{result['labelled']:,} labels written"
    )
    refusals = [f"  line {refusal['line']}: {refusal['reason']}" for refusal in result["refusals"]]
    if (more := result["refused"] - len(refusals)) > 0:
        refusals.append(f"  and {more:,} more")
    console.show(result, as_json, counts, *refusals)
    if result["refused"] == result["rows"]:
        raise typer.Exit(1)


@app.command()
def retrain(
    base_model: Annotated[
        str | None, typer.Option(help="Hub name, folder, scratch:tiny or scratch:small; default: SENTI_BASE_MODEL.")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Train on this frozen corpus; goes on with a killed training of it.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training split, at most.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Reviews per optimiser step.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of a review that are read, up to 512.")] = None,
    head_tokens: Annotated[int | None, typer.Option(help="Of a longer one, tokens read of its beginning.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout before the linear layer.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay of AdamW.")] = None,
    warmup_fraction: Annotated[float | None, typer.Option(help="Share of steps spent warming up.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without a better macro-F1 before it stops.")] = None,
    freeze_encoder: Annotated[bool | None, typer.Option(help="Train the pooler and the linear layer alone.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of random weights, row order and dropout.")] = None,
    as_json: Json = False,
) -> None:
    """Freeze a corpus, train, evaluate, judge and, if the gate agrees, promote. Without Airflow."""
    config = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "max_length": max_length,
        "head_tokens": head_tokens,
        "dropout": dropout,
        "weight_decay": weight_decay,
        "warmup_fraction": warmup_fraction,
        "patience": patience,
        "freeze_encoder": freeze_encoder,
        "seed": seed,
    }
    due, origin = _opening("senti retrain")
    if corpus is None:
        frozen = learning.freeze_corpus(due, origin, base_model)
        corpus = frozen["corpus"]
        console.say(f"corpus {corpus}: " + ", ".join(f"{rows:,} {split}" for split, rows in frozen["rows"].items()))
    trained = learning.train(corpus, origin, base_model, config, report=_epoch)
    chosen = forms.build_forms(trained["model"])
    for reason in chosen["reasons"]:
        console.say(reason)
    judgement = learning.judge(learning.evaluate(chosen["model"]))
    version = trained["model"]
    after = f"to overrule it: senti models promote {version} --reason TEXT"
    if judgement["promote"]:
        after = _service(learning.promote(judgement, actor=_person()))
    cards = [card for card in models.scorecards() if card["model_version"] == version]
    verdict = "promoted" if judgement["promote"] else "refused by the gate"
    lines = [f"{version}: {verdict}", *(f"  {line}" for line in (*judgement["reasons"], after))]
    console.show(
        {**judgement, "form": chosen["form"], "corpus": corpus, "scorecard": cards[0]},
        as_json,
        _scorecards(cards),
        *lines,
    )


def _epoch(row: dict[str, Any]) -> None:
    console.say(
        f"epoch {row['epoch']}: training loss {row['train_loss']:.4f}, validation loss {row['validation_loss']:.4f}, "
        f"accuracy {row['accuracy']:.4f}, macro-F1 {row['macro_f1']:.4f}"
    )


@app.command()
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
        due, origin = _opening(command)
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


@app.command()
def predict(texts: Annotated[list[str], typer.Argument(help="Texts to label.")], as_json: Json = False) -> None:
    """Label and probabilities of these texts, from the champion."""
    rows = scoring.predict(texts)
    columns = {"label_name": "label", "score": "P(positive)", "confidence": "confidence", "text": "text"}
    console.show(rows, as_json, console.table(rows, columns))


@app.command()
def status(as_json: Json = False) -> None:
    """Reviews, labelled, pending, the models in use and the last runs."""
    found = upkeep.status()
    shown = ("run_id", "scope", "model_version", "state", "planned", "labelled", "failed", "superseded", "published_at")
    console.show(
        found,
        as_json,
        f"{found['reviews']:,} reviews, {found['annotated']:,} labelled by people, {found['pending']:,} pending",
        f"in service: {found['in_service'] or 'no model yet'}; champion: {found['champion'] or 'none yet'}",
        console.table(found["runs"], {name: name.replace("_", " ") for name in shown}),
    )


@app.command()
def doctor(as_json: Json = False) -> None:
    """Is everything in place: settings, database, migrations, artifact store, base model, device, Airflow."""
    rows = checkup.examine()
    shown = [{**row, "ok": {True: "ok", False: "MISSING", None: "-"}[row["ok"]]} for row in rows]
    console.show(rows, as_json, console.table(shown, {"ok": "", "name": "what", "finding": "found"}))
    if any(row["ok"] is False for row in rows):
        raise typer.Exit(1)


@registry.command("list")
def list_(as_json: Json = False) -> None:
    """Every model, newest first: accuracy beside the champion's and the baseline's, verdict, and which one serves."""
    cards = models.scorecards()
    console.show(cards, as_json, _scorecards(cards))


@registry.command()
def show(version: str, as_json: Json = False) -> None:
    """Everything recorded of one model."""
    found = models.show(version)
    history = found["training"]["history"]
    console.show(
        found,
        as_json,
        f"{version} from {found['base_model']}, corpus {found['corpus']}, digest {found['digest'][:12]}",
        console.table(history, {name: name.replace("_", " ") for row in history for name in row}),
        console.table(found["forms"], {"form": "form", "serves": "serves", "verdict": "verdict", "reason": "reason"}),
        console.table(found["metrics"], {name: name for name in ("subject", "split", "metric", "value")}),
        console.table(found["gate"], {"passed": "passed", "rule": "rule", "reference": "against", "reason": "reason"}),
        console.table(found["promotions"], {"seq": "promotion", "kind": "kind", "actor": "by", "reason": "reason"}),
    )


@registry.command()
def promote(version: str, reason: Reason, as_json: Json = False) -> None:
    """Promote a model by hand. Overruling the gate is recorded as such, with the reason."""
    done = models.promote(version, reason, actor=_person())
    console.show(done, as_json, f"{version} is the champion, by {done['kind']}. {_service(done)}")


@registry.command()
def rollback(reason: Reason = "rolled back by hand", as_json: Json = False) -> None:
    """Put the model that served before back into service, at once."""
    done = models.rollback(reason, actor=_person())
    line = f"{done['model']} is the champion again, instead of {done['instead_of']}. {_service(done)}"
    console.show(done, as_json, line)


def _scorecards(cards: list[dict[str, Any]]) -> Table:
    columns = {
        "model_version": "model",
        "base_model": "base model",
        "test_rows": "test rows",
        "accuracy": "accuracy",
        "macro_f1": "macro-F1",
        "roc_auc": "ROC-AUC",
        "champion_accuracy": "champion",
        "baseline_accuracy": "TF-IDF",
        "verdict": "verdict",
        "in_service": "serves",
    }
    return console.table([{**card, "in_service": bool(card["in_service"])} for card in cards], columns)


def _service(done: dict[str, Any]) -> str:
    if done["serves"]:
        return "Its labels are what analysts see from now on."
    return "It serves once every review has its label: rescore_reviews does that, or `senti score --scope rescore`."


def _opening(command: str) -> tuple[str, str]:
    """The due time of a call that starts now, and the origin that nothing else has."""
    due = datetime.now(UTC).isoformat()
    return due, f"{command}/{due}/{uuid.uuid4().hex[:8]}"


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "unknown"
