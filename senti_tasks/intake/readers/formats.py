"""Formats: recognised by the first bytes of a source, not by its name."""

import re

from senti_tasks.errors import InputFileError
from senti_tasks.intake.readers.compression import Source
from senti_tasks.intake.readers.encodings import by_first_bytes

_BY_MARK = {
    b"PAR1": "parquet",
    b"ARROW1\x00\x00": "arrow",
    b"\xff\xff\xff\xff": "arrow",
    b"PK\x03\x04": "spreadsheet",
    b"\xd0\xcf\x11\xe0": "spreadsheet",
}
_NOT_READ = {
    b"FEA1": "a Feather file of the first version: write it again with a newer pyarrow",
    b"ORC": "an ORC file: write the table as Parquet",
    b"Obj\x01": "an Avro file: write the table as Parquet",
    b"SQLite format 3\x00": "an SQLite database: import a query, senti import sqlite:///FILE --query QUERY.sql",
    b"%PDF": "a PDF file: export the table as CSV or .xlsx",
    b"{\\rtf": "a document: export the table as CSV or .xlsx",
    b"\x89HDF": "an HDF5 file: write the table as Parquet",
    b"\x80\x04": "a pickle, which could run code: write the table as Parquet",
    b"\x80\x05": "a pickle, which could run code: write the table as Parquet",
}
_MARKUP = re.compile(r"<(!doctype|html|table|\?xml|head|body|div)\b", re.IGNORECASE)


def recognise(source: Source) -> str:
    """The format of ``source``: a key of ``intake.FORMATS``. Raises ``InputFileError`` for one that is not read."""
    head = source.head()
    for mark, name in _BY_MARK.items():
        if head.startswith(mark):
            return name
    for mark, what in _NOT_READ.items():
        if head.startswith(mark):
            raise InputFileError(f"{source.name} is {what}")
    if head[257:262] == b"ustar":
        raise InputFileError(f"{source.name} is a tar archive: unpack it and import the files in it")
    encoding = by_first_bytes(head)
    text = head.decode(encoding.codec if encoding else "latin-1", "ignore").removeprefix("\ufeff").lstrip()
    if _MARKUP.match(text):
        raise InputFileError(
            f"{source.name} is HTML or XML, whatever its name: open it in a spreadsheet program and save it as .xlsx"
        )
    if re.match(r"\[\s*([\[{\"\]\d]|\Z)", text):
        return "json"
    if re.match(r"\{\s*\r?\n", text):
        raise InputFileError(
            f"{source.name} is one JSON object over several lines: expected an array of objects or one object per "
            "line, which jq -c '.[]' writes, or DataFrame.to_json(orient='records')"
        )
    return "jsonl" if re.match(r"\{\s*[\"}]", text) else "csv"
