"""What other programs write comes back equal, or is refused with a reason; no row is lost without one.

``SENTI_FUZZ=N`` tries N random tables of each kind instead of a few.
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from senti_tasks import intake
from senti_tasks.errors import InputFileError

EXAMPLES = settings(
    max_examples=int(os.environ.get("SENTI_FUZZ", "40")),
    derandomize="SENTI_FUZZ" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
ENCODINGS = ["utf-8", "utf-8-sig", "gb18030", "gbk", "big5", "cp950", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
PIECES = (
    *(
        "不是很好",
        "味道還可以",
        "我们都喜欢",
        "这个价格",
        "，",
        "。",
        "好",
        "差",
        "店家很差",
        "a",
        "b c",
        "1",
        "-0.5",
        "😀",
        "é",
    ),
    *(
        ",",
        ";",
        "\t",
        "|",
        '"',
        "'",
        "\n",
        "\r\n",
        "\r",
        " ",
        "\\",
        "{",
        "[",
        "#",
        "=",
        '""',
        '","',
        "\u3000",
        "牛",
        "路",
    ),
)
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": lambda raw: raw,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda raw: pa.compress(raw, codec="zstd", asbytes=True),
    ".zip": lambda raw: zipped(raw),
}
DAYS = (datetime.fromisoformat("1901-01-01"), datetime.fromisoformat("2200-01-01"))
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
names = st.sampled_from(
    [("label", "review"), ("review", "label", "product"), ("评论", "标签"), ("review",), ("", "text")]
)


def zipped(raw: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.txt", raw)
    return file.getvalue()


def rows_of(width: int) -> st.SearchStrategy[list[tuple[str, ...]]]:
    return st.lists(st.tuples(*[texts] * width), min_size=1, max_size=8)


def check(path: Path, header: tuple[str, ...] | None, rows: list[tuple[Any, ...]]) -> None:
    """``path`` gives ``rows``, each as it is or with a reason; or an error with a reason."""
    try:
        table = intake.open(path)
        found = list(table.rows())
    except InputFileError as error:
        assert len(str(error)) > 30
        event("refused")  # --hypothesis-show-statistics counts them
        return
    if header is not None:
        assert table.header == header
    assert len(found) == len(rows), (table.facts, found)
    for (_, cells), row in zip(found, rows, strict=True):
        assert isinstance(cells, str) or same(cells, row), (table.facts, cells, row)


def same(found: Any, expected: Any) -> bool:
    if isinstance(found, tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, datetime) and isinstance(found, date) and not isinstance(found, datetime):
        found = datetime.combine(found, time.min)  # a spreadsheet stores a midnight as a date
    return bool(found == expected or (found != found and expected != expected))


def encoded(text: str, encoding: str) -> bytes:
    try:
        raw = text.encode(encoding)
    except UnicodeEncodeError:
        assume(False)
        raise
    assume(raw.decode(encoding).removeprefix("\ufeff") == text)
    return raw


@EXAMPLES
@given(data=st.data())
def test_what_the_csv_module_writes(tmp_path: Path, data: st.DataObject) -> None:
    header = data.draw(names)
    rows = data.draw(rows_of(len(header)))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    # The csv module puts no quotes around the line break that is not its own.
    rows = [tuple(re.sub(r"\r\n?|\n", "\r\n" if end == "\r\n" else end, cell) for cell in row) for row in rows]
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC, csv.QUOTE_NONE]))
    text = io.StringIO()
    delimiter = data.draw(st.sampled_from(",\t;|"))
    writer = csv.writer(
        text,
        delimiter=delimiter,
        quoting=quoting,  # type: ignore[arg-type]
        lineterminator=end,
        quotechar=None if quoting == csv.QUOTE_NONE else '"',
    )
    # A cell that starts with a quote is read as in RFC 4180, except in a table with tabs, where it may be a quotation.
    quotations = '".*"' if delimiter == "\t" else '".*'
    assume(
        quoting != csv.QUOTE_NONE or not any(re.fullmatch(quotations, cell, re.DOTALL) for row in rows for cell in row)
    )
    has_header = len(header) == 1 or data.draw(st.booleans())
    try:
        writer.writerows([header, *rows] if has_header else rows)
    except csv.Error:  # a cell needs quotes
        assume(False)
    raw = encoded(text.getvalue(), data.draw(st.sampled_from(ENCODINGS)))
    packing = data.draw(st.sampled_from(list(PACKED)))
    path = tmp_path / f"a.csv{packing}"
    path.write_bytes(PACKED[packing](raw))
    if has_header:
        check(path, header, rows)
    else:
        check_without_header(path, rows)


def check_without_header(path: Path, rows: list[tuple[str, ...]]) -> None:
    """All rows are values, or the first is taken for the names of columns, which have no usual name."""
    try:
        table = intake.open(path)
    except InputFileError:
        event("refused")
        return
    if not table.header:  # one row that begins as JSON does, and has no keys
        event("refused")
        return
    named = table.header[0] != "column 1"
    assert not named or table.header == rows[0], table
    check(path, None, rows[1:] if named else rows)


@EXAMPLES
@given(data=st.data())
def test_what_pandas_writes_as_text(tmp_path: Path, data: st.DataObject) -> None:
    header = data.draw(names)
    rows = data.draw(rows_of(len(header)))
    rows = [tuple(cell.replace("\r", "") or "好" for cell in row) for row in rows]  # pandas puts no quotes around it
    frame = pd.DataFrame(rows, columns=list(header))
    escaped = data.draw(st.booleans())
    text = frame.to_csv(
        index=False,
        sep=data.draw(st.sampled_from(",\t;|")),
        quoting=data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        lineterminator=data.draw(st.sampled_from(["\n", "\r\n"])),
        escapechar="\\" if escaped else None,
        doublequote=not escaped,
    )
    path = tmp_path / "a.csv"
    path.write_bytes(encoded(text, data.draw(st.sampled_from(ENCODINGS))))
    if escaped:  # pandas does not escape backslashes everywhere
        assume("\\" not in "".join(map("".join, rows)))
    check(path, header, rows)


values = st.one_of(texts, st.integers(-(2**60), 2**60), st.floats(), st.booleans(), st.none(), st.lists(st.integers()))
objects = st.lists(st.dictionaries(st.sampled_from(["review", "label", "x", "评论"]), values), min_size=1, max_size=8)


@EXAMPLES
@given(objects, st.booleans(), st.booleans(), st.sampled_from(ENCODINGS), st.sampled_from([None, 2]))
def test_what_the_json_module_writes(
    tmp_path: Path, objects: list[dict[str, Any]], ascii_only: bool, as_lines: bool, encoding: str, indent: int | None
) -> None:
    if as_lines:
        text = "\n".join(json.dumps(each, ensure_ascii=ascii_only) for each in objects)
    else:
        text = json.dumps(objects, ensure_ascii=ascii_only, indent=indent)
    path = tmp_path / "a.json"
    path.write_bytes(encoded(text, encoding))
    header = tuple(dict.fromkeys(key for each in objects for key in each))
    if header or not as_lines:
        check(path, header, [tuple(each.get(name) for name in header) for each in objects])


@EXAMPLES
@given(data=st.data())
def test_what_openpyxl_writes(tmp_path: Path, data: st.DataObject) -> None:
    cell = st.one_of(
        texts.filter(lambda text: "\r" not in text and not text.startswith("=") and text.strip()),
        st.integers(-(2**50), 2**50),
        st.floats(-1e9, 1e9).map(lambda number: round(number, 3)),
        st.booleans(),
        st.none(),
        st.datetimes(*DAYS).map(lambda each: each.replace(microsecond=0)),
    )
    header = data.draw(names.filter(all))
    rows = data.draw(st.lists(st.tuples(*[cell] * len(header)), min_size=1, max_size=8))
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in [header, *rows]:
        sheet.append(row)
    book.save(tmp_path / "a.xlsx")
    check(tmp_path / "a.xlsx", header, [row for row in rows if any(cell is not None for cell in row)])


COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "string": texts,
    "large_string": texts,
    "int64": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(),
    "bool": st.booleans(),
    "date32": st.dates(date(1, 1, 1), date(9999, 12, 31)),
    "timestamp[ms]": st.datetimes().map(lambda each: each.replace(microsecond=0)),
    "timestamp[us]": st.datetimes(),
    "timestamp[ns]": st.datetimes(*DAYS),
    "timestamp[us, tz=UTC]": st.datetimes(*DAYS, timezones=st.just(UTC)),
}


def type_of(name: str) -> pa.DataType:
    return pa.timestamp("us", "UTC") if "tz" in name else pa.type_for_alias(name)


@EXAMPLES
@given(data=st.data())
def test_what_pyarrow_writes(tmp_path: Path, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=4))
    count = data.draw(st.integers(1, 6))
    columns = [data.draw(st.lists(st.none() | COLUMNS[name], min_size=count, max_size=count)) for name in chosen]
    arrays = [pa.array(column, type_of(name)) for column, name in zip(columns, chosen, strict=True)]
    arrays = [
        a.dictionary_encode() if n == "string" and data.draw(st.booleans()) else a
        for a, n in zip(arrays, chosen, strict=True)
    ]
    table = pa.table(arrays, names=[f"{i} {name}" for i, name in enumerate(chosen)])
    kind = data.draw(st.sampled_from(["parquet", "int96", "feather", "stream"]))
    path = tmp_path / "a"
    if kind == "feather":
        feather.write_feather(table, str(path), compression=data.draw(st.sampled_from(["lz4", "zstd", "uncompressed"])))
    elif kind == "stream":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    else:
        assume(kind == "parquet" or not any("timestamp[us" in name or "ms" in name for name in chosen))
        parquet.write_table(table, path, use_deprecated_int96_timestamps=kind == "int96")
    check(path, tuple(table.column_names), list(zip(*columns, strict=True)))


def whole_files() -> list[bytes]:
    """A small file of each format."""
    table = pa.table({"review": ["不是很好", "味道還可以"] * 20, "label": [0, 1] * 20})
    lines = "label,review\n" + '1,"味道""很好""\n，真的"\n0,不好\n' * 20
    book, arrow, columns = io.BytesIO(), io.BytesIO(), io.BytesIO()
    workbook = openpyxl.Workbook()
    for row in [("review", "label"), ("很好", 1), ("差", 0)]:
        workbook.active.append(row)
    workbook.save(book)
    feather.write_feather(table, arrow)
    parquet.write_table(table, columns)
    return [
        *(lines.encode(encoding) for encoding in ("utf-8", "gb18030", "utf-16")),
        lines.replace(",", "\t").encode(),
        *(pack(lines.encode()) for pack in PACKED.values()),
        json.dumps(table.to_pylist(), ensure_ascii=False).encode(),
        "\n".join(map(json.dumps, table.to_pylist())).encode(),
        *(file.getvalue() for file in (book, arrow, columns)),
    ]


FILES = whole_files()
INSERTED = (
    b'"',
    b"\r",
    b"\n",
    b",",
    b"\t",
    b"\x00",
    b"\xff\xfe",
    b"\xe5",
    b"[",
    b"{",
    b'\\"',
    b"PK\x03\x04",
    b"sep=,\n",
    b"",
)


@EXAMPLES
@given(
    st.sampled_from(FILES),
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 40), st.sampled_from(INSERTED) | st.binary(max_size=3)), max_size=5
    ),
    st.booleans(),
)
def test_a_damaged_file_is_read_in_part_or_refused(
    tmp_path: Path, raw: bytes, edits: list[tuple[float, int, bytes]], is_cut: bool
) -> None:
    for where, removed, inserted in edits:
        at = int(where * len(raw))
        raw = raw[:at] + inserted + (b"" if is_cut else raw[at + removed :])
    (tmp_path / "a").write_bytes(raw)
    try:
        table = intake.open(tmp_path / "a")
        for line, row in table.rows():
            assert line > 0
            assert isinstance(row, str) or len(row) == len(table.header)
    except InputFileError as error:
        assert "\n" not in str(error)
        event("refused")
