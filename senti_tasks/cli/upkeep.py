"""The warehouse itself: migrate it, fill its source side, say how it is and whether everything is in place."""

from pathlib import Path
from typing import Annotated, Any

import typer

from senti_tasks import console
from senti_tasks.cli import calls
from senti_tasks.cli.options import Json
from senti_tasks.errors import ConfigError
from senti_tasks.jobs import checkup, erasure, upkeep


def migrate(as_json: Json = False) -> None:
    """Bring the warehouse to the newest schema; safe to repeat."""
    result = upkeep.migrate()
    views = f"with {len(result['views'])} views"
    if result["before"] == result["after"]:
        line = f"The warehouse is at the newest revision, {result['after']}, {views}."
    else:
        line = f"The warehouse went from revision {result['before'] or 'none'} to {result['after']}, {views}."
    console.show(result, as_json, line)


def import_(
    file: Annotated[
        str,
        typer.Argument(
            help="CSV, TSV, JSON Lines or Parquet, a folder of Dataset.save_to_disk, or hf:OWNER/NAME on the hub."
        ),
    ],
    text_column: Annotated[str | None, typer.Option(help="Column of the text; usual names are found.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the label: names or numbers of SENTI_LABELS, 好评/差评, blank.")
    ] = None,
    label_map: Annotated[
        str | None, typer.Option(help='What its values mean: "1=negative,3=,5=positive"; after = nothing: no label.')
    ] = None,
    product_column: Annotated[str | None, typer.Option(help="Column of the product, hotel or category.")] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of the key; default: a row's number is its key.")
    ] = None,
    created_at_column: Annotated[str | None, typer.Option(help="Column of the time it was written.")] = None,
    file_format: Annotated[str | None, typer.Option("--format", help="csv, tsv, jsonl, parquet or dataset.")] = None,
    source: Annotated[str | None, typer.Option(help="Name of the source; default: the file's name.")] = None,
    config: Annotated[str | None, typer.Option(help="hf: configuration of the data set, if it has several.")] = None,
    split: Annotated[str | None, typer.Option(help="hf: split of the data set; default: train.")] = None,
    revision: Annotated[str | None, typer.Option(help="hf: branch, tag or commit; default: the newest.")] = None,
    as_json: Json = False,
) -> None:
    """Import reviews, and labels where there are any, in one transaction; safe to repeat."""
    columns = {
        "text": text_column,
        "label": label_column,
        "product": product_column,
        "id": id_column,
        "created_at": created_at_column,
    }
    if file.startswith("hf:"):
        if file_format is not None:
            raise ConfigError("--format is for files: a data set on the hub says itself what its files are")
        name = file.removeprefix("hf:")
        result = upkeep.import_dataset(
            name,
            columns,
            config=config,
            split=split or "train",
            revision=revision,
            source=source,
            label_map=label_map,
        )
    else:
        if config or split or revision:
            raise ConfigError(f"--config, --split and --revision are for hf:OWNER/NAME, and {file} is a file")
        result = upkeep.import_reviews(Path(file), columns, source=source, file_format=file_format, label_map=label_map)
    counts = (
        f"{result['source']}: {result['rows']:,} rows: {result['imported']:,} imported, {result['updated']:,} updated, "
        f"{result['already_there']:,} there already, {result['refused']:,} refused; "
        f"{result['labelled']:,} labels written"
        + (f"; read at commit {result['revision'][:12]}" if "revision" in result else "")
    )
    refusals = [f"  line {refusal['line']}: {refusal['reason']}" for refusal in result["refusals"]]
    if (more := result["refused"] - len(refusals)) > 0:
        refusals.append(f"  and {more:,} more")
    console.show(result, as_json, counts, *refusals)
    if result["refused"] == result["rows"]:
        raise typer.Exit(1)


def datasets(
    search: Annotated[str, typer.Option(help="Words that the data sets have to do with.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="Data sets to show.")] = 20,
    as_json: Json = False,
) -> None:
    """Data sets on the Hugging Face Hub, the most downloaded first; `senti import hf:OWNER/NAME` takes one."""
    rows = upkeep.search_datasets(search, limit)
    shown = [
        {**row, "about": row["description"][:80] or ", ".join(row["tags"][:5]), "gated": row["gated"] or None}
        for row in rows
    ]
    headings = {
        "id": "data set",
        "downloads": "downloads",
        "likes": "likes",
        "last_modified": "last modified",
        "gated": "gated",
        "about": "about",
    }
    console.show(rows, as_json, console.table(shown, headings) if rows else f"the hub finds no data set for {search!r}")


def status(as_json: Json = False) -> None:
    """Reviews, labelled, pending, the models in use and the last runs."""
    found = upkeep.status()
    shown = ("run_id", "scope", "model_version", "state", "planned", "labelled", "failed", "superseded", "published_at")
    console.show(
        found,
        as_json,
        f"{found['reviews']:,} reviews, {found['annotated']:,} labelled by people, {found['pending']:,} pending",
        f"in service: {found['in_service'] or 'no model yet'}; champion: {found['champion'] or 'none yet'}",
        *_frozen_line(found["frozen"]),
        console.table(found["runs"], {name: name.replace("_", " ") for name in shown}),
    )


def _frozen_line(frozen: dict[str, Any] | None) -> list[str]:
    if frozen is None:
        return []
    since = f"{frozen['frozen_at']:%Y-%m-%d %H:%M} UTC"
    return [f"publishing is frozen since {since} by {frozen['frozen_by']}: {frozen['frozen_reason']}"]


def freeze(reason: Annotated[str, typer.Option(help="Why; goes on record.")], as_json: Json = False) -> None:
    """Freeze publishing, until `senti unfreeze`. Runs are still scored and audited, and wait."""
    found = upkeep.freeze(reason, calls.person())
    console.show(found, as_json, *_frozen_line(found))


def unfreeze(as_json: Json = False) -> None:
    """End the freeze. A run that waits is published by `senti score --run N`, or by clearing its task in Airflow."""
    found = upkeep.unfreeze()
    waiting = ", ".join(str(run) for run in found["waiting"]) or "none"
    was = "Publishing goes on" if found["was_frozen"] else "Publishing was not frozen"
    console.show(found, as_json, f"{was}. Runs that are audited and wait: {waiting}.")


def erase(
    review_ids: Annotated[list[str], typer.Argument(help="Keys of the reviews.", metavar="REVIEW_ID...")],
    reason: Annotated[str, typer.Option(help="Why; goes on record.")] = "erasure on request",
    as_json: Json = False,
) -> None:
    """Erase reviews for good: from labels, history, staged rows, errors, annotations, corpora and text snapshots; on
    record."""
    found = erasure.erase(review_ids, reason, calls.person())
    removed = ", ".join(f"{rows:,} of {name}" for name, rows in found["removed"].items() if rows) or "nothing"
    further = {
        "text snapshots rewritten": found["texts"],
        "artifacts without a row in the warehouse that held one of them, removed": found["unrecorded"],
        "encoders and models trained on them keep what they learnt": [*found["encoders"], *found["models"]],
    }
    console.show(
        found,
        as_json,
        f"{found['erased']:,} reviews are erased, {found['erased_before']:,} were before. Removed: {removed}; "
        f"corpora rewritten: {', '.join(found['corpora']) or 'none'}.",
        *(f"{what}: {', '.join(names)}" for what, names in further.items() if names),
    )


def doctor(as_json: Json = False) -> None:
    """Is everything in place: settings, database, migrations, artifact store, base model, device, Airflow."""
    rows = checkup.examine()
    shown = [{**row, "ok": {True: "ok", False: "MISSING", None: "-"}[row["ok"]]} for row in rows]
    console.show(rows, as_json, console.table(shown, {"ok": "", "name": "what", "finding": "found"}))
    if any(row["ok"] is False for row in rows):
        raise typer.Exit(1)
