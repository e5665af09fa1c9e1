"""The command that imports reviews, and how it shows what it takes a source for."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from senti_tasks import console
from senti_tasks.cli import tables
from senti_tasks.cli.calls import Json
from senti_tasks.errors import ConfigError
from senti_tasks.jobs import imports

_SHOWN_FIELDS = ("text", "label", "product", "created_at")
_SHOWN_VALUES = 20


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
        str | None,
        typer.Option(help="Column of the label: names, numbers, 好评, 差评, true, …; default: a usual name."),
    ] = None,
    no_label_column: Annotated[bool, typer.Option("--no-label-column", help="The labels are not imported.")] = False,
    label_map: Annotated[str | None, typer.Option(help="Labels of its values: 1=negative,3=,5=positive.")] = None,
    product_column: Annotated[str | None, typer.Option(help="Column of the product, hotel or category.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of the key; default: source and row number.")] = None,
    no_product_column: Annotated[bool, typer.Option("--no-product-column", help="No product.")] = False,
    created_at_column: Annotated[str | None, typer.Option(help="Column of the time of writing.")] = None,
    no_created_at_column: Annotated[
        bool, typer.Option("--no-created-at-column", help="The time of writing is not imported.")
    ] = False,
    file_format: Annotated[
        str | None, typer.Option("--format", help="csv, jsonl, json, parquet, arrow, spreadsheet, dataset.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="utf-8, gb18030, big5, …; default: found out.")] = None,
    separator: Annotated[str | None, typer.Option(help="comma, tab, semicolon, pipe, none, or a character.")] = None,
    quoting: Annotated[str | None, typer.Option(help="standard (RFC 4180), backslash or none.")] = None,
    header: Annotated[bool | None, typer.Option(help="Whether the first row holds the names of the columns.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(help="Further column to keep; repeatable. Default: all.", metavar="COLUMN")
    ] = None,
    no_attributes: Annotated[bool, typer.Option("--no-attributes", help="Keep no further columns.")] = False,
    annotations: Annotated[
        bool,
        typer.Option("--annotations", help="Labels of stored reviews, by id; so is a file with id, label and no text."),
    ] = False,
    annotator: Annotated[str | None, typer.Option(help="Who gave the labels; default: import:SOURCE.")] = None,
    clear_empty: Annotated[
        bool, typer.Option("--clear-empty", help="Empty cells empty the fields of stored reviews; default: they stay.")
    ] = False,
    all_new: Annotated[
        bool,
        typer.Option("--all-new", help="Without ids: also store rows whose text is stored already, under another key."),
    ] = False,
    sheet: Annotated[str | None, typer.Option(help="Name of the sheet of a spreadsheet.")] = None,
    query: Annotated[Path | None, typer.Option(help="For a database's URL: file with one SELECT.")] = None,
    source: Annotated[str | None, typer.Option(help="Name of the source; default: the file's name.")] = None,
    config: Annotated[str | None, typer.Option(help="hf: configuration, if the data set has several.")] = None,
    split: Annotated[str | None, typer.Option(help="hf: split of the data set; default: train.")] = None,
    revision: Annotated[str | None, typer.Option(help="hf: branch, tag or commit; default: the newest.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Store nothing: show what a sample of the rows would become.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import reviews, and labels if there are any; safe to repeat. Each file is one transaction."""
    named = (text_column, label_column, product_column, id_column, created_at_column)
    columns: dict[str, Any] = dict(zip(("text", "label", "product", "id", "created_at"), named, strict=True))
    off = {"label": no_label_column, "product": no_product_column, "created_at": no_created_at_column}
    columns["off"] = tuple(role for role, is_off in off.items() if is_off)
    if no_attributes and attribute:
        raise ConfigError("--attribute and --no-attributes exclude each other: leave one of them out")
    columns["attributes"] = () if no_attributes or annotations else (tuple(attribute) if attribute else None)
    columns["is_annotations"] = annotations
    storing = {"annotator": annotator, "clears_empty": clear_empty, "finds_texts": not all_new}
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
    call: dict[str, Any] = {"source": source, "label_map": label_map, "dry_run": dry_run, "say": console.progress}
    call["storing"] = storing
    if not as_json:
        call["announce"] = _show_summary
    if first.startswith("hf:"):
        name, split = first.removeprefix("hf:"), split or "train"
        calls = [partial(imports.import_dataset, name, columns, config, split, revision, **call)]
    elif query is not None:
        calls = [partial(imports.import_query, first, query, columns, **call)]
    else:
        paths = imports.find_files(files)
        if source is not None and len(paths) > 1:
            raise ConfigError(f"--source names one source, and these are {len(paths)} files: import them one by one")
        calls = [partial(imports.import_reviews, Path(path), columns, options=options, **call) for path in paths]
    _run(calls, dry_run, as_json)


def _run(calls: Sequence[Callable[[], dict[str, Any]]], dry_run: bool, as_json: bool) -> None:
    """Makes ``calls`` one after the other and shows each. Exits with 1 if nothing could be read, or, in a dry run, if
    the labels of a source have no coding."""
    results = []
    for run in calls:
        results.append(run())
        if not as_json:
            (_show_summary if dry_run else _show_import)(results[-1])
    if as_json:
        console.show(results[0] if len(results) == 1 else {"files": results}, as_json)
    if dry_run:
        failed = any(result["summary"]["problem"] and result["summary"]["is_whole"] for result in results)
    else:
        failed = all(result["refused"] == result["rows"] for result in results)
    if failed:
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
        f"{result['labelled']:,} labels of {result['annotator']} written"
        + (f"; read at commit {result['revision'][:12]}" if "revision" in result else "")
    )
    refusals = [f"  line {refusal['line']}: {refusal['reason']}" for refusal in result["refusals"]]
    if (more := result["refused"] - len(refusals)) > 0:
        refusals.append(f"  and {more:,} more")
    changed = [f"  changed: {', '.join(f'{name} {number:,}' for name, number in result['changed'].items())}"]
    known = f"  {result['found_by_text']:,} rows without an id are reviews that are there already, by their text"
    notes = (changed if result["changed"] else []) + ([known] if result["found_by_text"] else [])
    console.show(result, False, counts, *notes, *refusals, *_left_empty_lines(result["left_empty"]))


def _left_empty_lines(left_empty: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for field, found in left_empty.items():
        shown = ", ".join(map(str, found["lines"])) + (", …" if found["count"] > len(found["lines"]) else "")
        lines.append(f"  {field} was left empty: {found['count']:,} × (line {shown}): {found['examples'][0]}")
    return lines


def _show_summary(result: dict[str, Any]) -> None:
    """Prints what is taken for a source, above the result of an import or alone."""
    found = result["summary"]
    rows = f"{found['sampled_rows']:,} rows" if found["is_whole"] else f"the first {found['sampled_rows']:,} rows"
    columns = [f"  {role}: {column['name'] or 'none'} ({column['why']})" for role, column in found["columns"].items()]
    lists = {"kept as attributes": found["attributes"], "not used": found["ignored"]}
    ignored = [f"  {what}: {', '.join(names)}" for what, names in lists.items() if names]
    dates = found["dates"]
    span = f", {dates['first']:%Y-%m-%d} to {dates['last']:%Y-%m-%d}" if dates["read"] else ""
    duplicates = found["duplicates"]
    console.show(
        result,
        False,
        f"{result['source']}: what is taken for it ({rows} read)",
        *(f"  {fact}" for fact in found["facts"]),
        *columns,
        *ignored,
        *_coding_lines(found),
        f"  dates: {dates['read']:,} read{span}; {dates['missing']:,} missing",
        f"  duplicates: {duplicates['texts']:,} texts, {duplicates['ids']:,} ids; refused: {found['refused']:,} rows",
        *(f"  line {refusal['line']}: {refusal['reason']}" for refusal in found["refusals"]),
        *_left_empty_lines(found["left_empty"]),
        tables.table(found["first_rows"], {name: name for name in ("line", "id", *_SHOWN_FIELDS)}),
    )


def _coding_lines(found: dict[str, Any]) -> list[str]:
    if found["problem"] is not None:
        doubt = "" if found["is_whole"] else " (in these rows; an import decides on all rows)"
        return [f"  labels: no coding fits{doubt}: {found['problem']}"]
    if found["label"] is None:
        return []
    values = found["label"]["values"]
    lines = [f"  labels: {found['label']['coding']}"]
    for value in values[:_SHOWN_VALUES]:
        meaning = value["label_name"] or ("no label" if value["readable"] else "cannot be read, no label")
        lines.append(
            f"    {value['value'] or '(empty)'} = {meaning}: {value['count']:,} ×, for example line "
            f"{value['line']}: {value['example']}"
        )
    return lines + ([f"    and {len(values) - _SHOWN_VALUES} more values"] if len(values) > _SHOWN_VALUES else [])
