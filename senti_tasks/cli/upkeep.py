"""Commands on the warehouse itself: migrate, import, status, freeze, erase, doctor and more."""

from pathlib import Path
from typing import Annotated, Any

import typer

from senti_tasks import console
from senti_tasks.cli.calls import Json, user_name
from senti_tasks.errors import ConfigError
from senti_tasks.jobs import checkup, erasure, upkeep


def migrate(
    recount_days: Annotated[
        bool, typer.Option("--recount-days", help="After a change of SENTI_TIMEZONE: compute all days again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the warehouse to the newest schema; safe to repeat."""
    result = upkeep.migrate(recount_days)
    before, after = result["before"] or "none", result["after"]
    change = f"is at the newest revision, {after}" if before == after else f"went from revision {before} to {after}"
    lines = [f"The warehouse {change}, with {len(result['views'])} views."]
    if (found := result["recounted"]) is not None:
        lines.append(
            f"Days are those of {found['after']} now (before: {found['before']}). Another day: {found['labels']:,} "
            f"labels, {found['history']:,} replaced labels, {found['staged']:,} staged labels."
        )
    console.show(result, as_json, *lines)


def import_(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files of any format (patterns: *.csv), hf:OWNER/NAME (hub), or a database's URL with --query.",
            metavar="FILE...",
        ),
    ],
    text_column: Annotated[str | None, typer.Option(help="Column of the text; default: a usual name.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the label: a name or number of SENTI_LABELS, 好评, 差评, or blank.")
    ] = None,
    label_map: Annotated[str | None, typer.Option(help="Labels of its values: 1=negative,3=,5=positive.")] = None,
    product_column: Annotated[str | None, typer.Option(help="Column of the product, hotel or category.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of the key; default: source and row number.")] = None,
    created_at_column: Annotated[str | None, typer.Option(help="Column of the time of writing.")] = None,
    file_format: Annotated[
        str | None, typer.Option("--format", help="csv, jsonl, json, parquet, arrow, spreadsheet, dataset.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="utf-8, gb18030, big5, …; default: found out.")] = None,
    separator: Annotated[str | None, typer.Option(help="comma, tab, semicolon, pipe, none, or a character.")] = None,
    quoting: Annotated[str | None, typer.Option(help="standard (RFC 4180), backslash or none.")] = None,
    header: Annotated[bool | None, typer.Option(help="Whether the first row holds the names of the columns.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Name of the sheet of a spreadsheet.")] = None,
    query: Annotated[Path | None, typer.Option(help="For a database's URL: file with one SELECT.")] = None,
    source: Annotated[str | None, typer.Option(help="Name of the source; default: the file's name.")] = None,
    config: Annotated[str | None, typer.Option(help="hf: configuration, if the data set has several.")] = None,
    split: Annotated[str | None, typer.Option(help="hf: split of the data set; default: train.")] = None,
    revision: Annotated[str | None, typer.Option(help="hf: branch, tag or commit; default: the newest.")] = None,
    as_json: Json = False,
) -> None:
    """Import reviews and their labels, if any, each file in one transaction; safe to repeat."""
    named = (text_column, label_column, product_column, id_column, created_at_column)
    columns = dict(zip(("text", "label", "product", "id", "created_at"), named, strict=True))
    options = {
        "format": file_format,
        "encoding": encoding,
        "separator": separator,
        "quoting": quoting,
        "header": header,
        "sheet": sheet,
    }
    hub_options = {"config": config, "split": split, "revision": revision}
    first = files[0]
    _check_options(files, options, hub_options, query)
    if first.startswith("hf:"):
        name, split = first.removeprefix("hf:"), split or "train"
        results = [upkeep.import_dataset(name, columns, config, split, revision, source=source, label_map=label_map)]
    elif query is not None:
        results = [upkeep.import_query(first, query, columns, source=source, label_map=label_map)]
    else:
        paths = upkeep.find_files(files)
        if source is not None and len(paths) > 1:
            raise ConfigError(f"--source names one source, and these are {len(paths)} files: import them one by one")
        results = []
        for path in paths:
            results.append(
                upkeep.import_reviews(Path(path), columns, source=source, options=options, label_map=label_map)
            )
            if not as_json:
                _show_import(results[-1])
    if as_json:
        console.show(results[0] if len(results) == 1 else {"files": results}, as_json)
    elif first.startswith("hf:") or query is not None:
        _show_import(results[0])
    if all(result["refused"] == result["rows"] for result in results):
        raise typer.Exit(1)


def _check_options(
    files: list[str], options: dict[str, Any], hub_options: dict[str, str | None], query: Path | None
) -> None:
    """Raises ``ConfigError`` for options of another kind of source."""
    first = files[0]
    is_hub, is_database = first.startswith("hf:"), "://" in first
    given = [name for name, value in options.items() if value is not None]
    if (is_hub or is_database) and given:
        raise ConfigError(f"--{given[0]} is for files: leave it out for a data set on the hub or a query")
    if len(files) > 1 and any(name.startswith("hf:") or "://" in name for name in files):
        raise ConfigError("only files can be imported together: import data sets and queries one by one")
    if any(hub_options.values()) and not is_hub:
        raise ConfigError(f"--config, --split and --revision are for hf:OWNER/NAME, and {first} is none")
    if is_database != (query is not None):
        raise ConfigError("a query needs both the URL of a database as the argument, and --query with a file of SQL")


def _show_import(result: dict[str, Any]) -> None:
    counts = (
        f"{result['source']}: {result['rows']:,} rows: {result['imported']:,} imported, {result['updated']:,} updated, "
        f"{result['already_there']:,} there already, {result['refused']:,} refused; "
        f"{result['labelled']:,} labels written"
        + (f"; read at commit {result['revision'][:12]}" if "revision" in result else "")
    )
    refusals = [f"  line {refusal['line']}: {refusal['reason']}" for refusal in result["refusals"]]
    if (more := result["refused"] - len(refusals)) > 0:
        refusals.append(f"  and {more:,} more")
    console.show(result, False, counts, *refusals)


def datasets(
    search: Annotated[str, typer.Option(help="Words to search for.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="Number of data sets, at most.")] = 20,
    as_json: Json = False,
) -> None:
    """Search data sets on the Hugging Face Hub, to import with `senti import hf:OWNER/NAME`."""
    rows = upkeep.search_datasets(search, limit)
    shown = [
        {**row, "about": row["description"][:80] or ", ".join(row["tags"][:5]), "gated": row["gated"] or None}
        for row in rows
    ]
    names = ("downloads", "likes", "last_modified", "gated", "about")
    headings = {"id": "data set"} | {name: name.replace("_", " ") for name in names}
    console.show(rows, as_json, console.table(shown, headings) if rows else f"the hub finds no data set for {search!r}")


def status(as_json: Json = False) -> None:
    """Show numbers of reviews, labelled and pending; the models in use; and the last runs."""
    found = upkeep.status()
    shown = ("run_id", "scope", "model_version", "state", "planned", "labelled", "failed", "superseded", "published_at")
    console.show(
        found,
        as_json,
        f"{found['reviews']:,} reviews, {found['annotated']:,} labelled by people, {found['pending']:,} pending"
        + (f", {sum(run['reviews'] for run in found['held']):,} in held runs" if found["held"] else ""),
        f"in service: {found['in_service'] or 'no model yet'}; champion: {found['champion'] or 'none yet'}",
        *_service_lines(found),
        *_frozen_line(found["frozen"]),
        *(_held_line(run) for run in found["held"]),
        console.table(found["runs"], {name: name.replace("_", " ") for name in shown}),
    )


def _service_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    if found["incoming"] is not None:
        lines.append(
            f"{found['incoming']} goes into service when it has labelled {found['missing']:,} more reviews: "
            "rescore_reviews does that, or `senti score --scope rescore`"
        )
    if found["carried_over"]:
        lines.append(
            f"{found['carried_over']:,} reviews show a label carried over from an earlier model: rescore_reviews, or "
            f"`senti score --scope reconcile`, replaces those that {found['in_service']} can label"
        )
    return lines


def _frozen_line(frozen: dict[str, Any] | None) -> list[str]:
    if frozen is None:
        return []
    since = f"{frozen['frozen_at']:%Y-%m-%d %H:%M} UTC"
    return [f"publishing is frozen since {since} by {frozen['frozen_by']}: {frozen['frozen_reason']}"]


def _held_line(held: dict[str, Any]) -> str:
    command = f"senti score --run {held['run_id']}"
    return (
        f"run {held['run_id']} (scope {held['scope']}, {held['model_version']}) is held since "
        f"{held['held_at']:%Y-%m-%d %H:%M} UTC with {held['reviews']:,} reviews: {held['held_because']}. "
        f"Publish it: `{command} --publish-anyway REASON`; give it up: `{command} --restart`"
    )


def freeze(reason: Annotated[str, typer.Option(help="The reason, for the record.")], as_json: Json = False) -> None:
    """Freeze publishing until `senti unfreeze`. Runs are still scored and audited, but not published."""
    found = upkeep.freeze(reason, user_name())
    console.show(found, as_json, *_frozen_line(found))


def unfreeze(as_json: Json = False) -> None:
    """End the freeze. To publish a waiting run, call `senti score --run N` or clear its task in Airflow."""
    found = upkeep.unfreeze()
    waiting = ", ".join(str(run) for run in found["waiting"]) or "none"
    was = "Publishing is possible again" if found["was_frozen"] else "Publishing was not frozen"
    console.show(found, as_json, f"{was}. Audited runs that wait: {waiting}.")


def erase(
    review_ids: Annotated[list[str], typer.Argument(help="Keys of the reviews.", metavar="REVIEW_ID...")],
    reason: Annotated[str, typer.Option(help="The reason, for the record.")] = "erasure on request",
    as_json: Json = False,
) -> None:
    """Erase reviews for good, on record: from labels, history, staged rows, errors, annotations, the ledger of splits,
    corpora and text snapshots."""
    found = erasure.erase(review_ids, reason, user_name())
    removed = ", ".join(f"{rows:,} of {name}" for name, rows in found["removed"].items() if rows) or "nothing"
    further = {
        "text snapshots rewritten": found["texts"],
        "deleted artifacts without a row in the warehouse that held one of them": found["unrecorded"],
        "encoders and models trained on them, which keep what they learnt": [*found["encoders"], *found["models"]],
    }
    console.show(
        found,
        as_json,
        f"{found['erased']:,} reviews are erased, {found['erased_before']:,} were before. Removed: {removed}; "
        f"corpora rewritten: {', '.join(found['corpora']) or 'none'}.",
        *(f"{what}: {', '.join(names)}" for what, names in further.items() if names),
    )


def doctor(as_json: Json = False) -> None:
    """Check settings, database, migrations, reviews, artifact store, base model, device and Airflow."""
    rows = checkup.run_checks()
    shown = [{**row, "ok": {True: "ok", False: "MISSING", None: "-"}[row["ok"]]} for row in rows]
    console.show(rows, as_json, console.table(shown, {"ok": "", "name": "what", "finding": "found"}))
    if any(row["ok"] is False for row in rows):
        raise typer.Exit(1)
