"""Arrow data: Parquet files, and folders written by ``datasets``, read without importing that library and torch."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from senti_tasks.errors import InputFileError
from senti_tasks.intake.columns import Columns
from senti_tasks.intake.rows import Cells, Record

_BATCH_ROWS = 1024
_BUFFER_BYTES = 2**20


def read_parquet(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of a Parquet file, of which only the needed columns are read."""
    numbers = count(1)
    try:
        # Both settings are needed for constant memory: by default pyarrow holds the whole columns it reads.
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            names = _names(file.schema_arrow, columns, path)
            label_names = _label_names(file.schema_arrow, names)
            batches = file.iter_batches(_BATCH_ROWS, columns=[name for name in names if name is not None])
            yield from (_by_name(record, label_names) for record in _records(batches, names, numbers))
    except pa.ArrowException as error:
        raise InputFileError(f"{path} is not a Parquet file, or is damaged: {error}") from error


def read_dataset(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of a folder that ``Dataset.save_to_disk`` wrote, shard after shard."""
    yield from read_streams(_shards(path), columns, path)


def read_streams(shards: Iterable[Path], columns: Columns, source: Path | str) -> Iterator[Record]:
    """The rows of files that each hold an Arrow stream, as ``datasets`` writes them; ``source`` is for messages."""
    numbers = count(1)
    for shard in shards:
        try:
            with pa.OSFile(str(shard)) as file, pa.ipc.open_stream(file) as batches:
                names = _names(batches.schema, columns, source)
                label_names = _label_names(batches.schema, names)
                yield from (_by_name(record, label_names) for record in _records(batches, names, numbers))
        except pa.ArrowException as error:
            raise InputFileError(f"{shard} is not an Arrow stream, or is damaged: {error}") from error


def _shards(path: Path) -> list[Path]:
    if (path / "dataset_dict.json").exists():
        splits = sorted(state.parent.name for state in path.glob("*/state.json"))
        raise InputFileError(
            f"{path} holds a DatasetDict: expected one Dataset; name the folder of a split: {', '.join(splits)}"
        )
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        shards = [path / data_file["filename"] for data_file in state["_data_files"]]
    except FileNotFoundError as error:
        raise InputFileError(
            f"{path} is a folder without state.json: expected one written by Dataset.save_to_disk, or a file"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputFileError(f"{path / 'state.json'} is not as Dataset.save_to_disk writes it: save again") from error
    if any(state[key] for key in state if key.startswith("_indices")):
        raise InputFileError(
            f"{path} keeps its choice of rows in an indices file, as datasets before 2.0 did: "
            "expected the rows alone; call flatten_indices() with that version and save again"
        )
    return shards


def _names(schema: pa.Schema, columns: Columns, path: Path | str) -> tuple[str | None, ...]:
    return tuple(None if i is None else schema.names[i] for i in columns.find(schema.names, path))


def _label_names(schema: pa.Schema, names: tuple[str | None, ...]) -> Sequence[str]:
    """What the numbers in the label column are called, where ``datasets`` has noted it."""
    noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))  # as datasets writes it into both formats
    feature = noted.get("info", {}).get("features", {}).get(Cells(*names).label, {})
    return (feature.get("names") or ()) if isinstance(feature, dict) else ()


def _by_name(record: Record, label_names: Sequence[str]) -> Record:
    """``record`` with its label's name in place of the number: others may number their labels in another order."""
    line, cells = record
    if isinstance(cells, Cells) and isinstance(cells.label, int) and 0 <= cells.label < len(label_names):
        return line, cells._replace(label=label_names[cells.label])
    return record


def _records(
    batches: Iterable[pa.RecordBatch], names: tuple[str | None, ...], numbers: Iterator[int]
) -> Iterator[Record]:
    for batch in batches:
        columns = [pa.nulls(len(batch)) if name is None else _readable(batch.column(name)) for name in names]
        try:
            rows = zip(*(column.to_pylist() for column in columns), strict=True)
        except (ValueError, OverflowError):
            yield from _one_by_one(columns, len(batch), numbers)
        else:
            yield from ((next(numbers), Cells(*row)) for row in rows)


def _one_by_one(columns: list[Any], rows: int, numbers: Iterator[int]) -> Iterator[Record]:
    for i in range(rows):
        number = next(numbers)
        try:
            yield number, Cells(*(column[i].as_py() for column in columns))
        except (ValueError, OverflowError) as error:
            yield number, f"a value of this row cannot be read: {error}"


def _readable(column: Any) -> Any:
    """``column`` such that Python can take it: no nanoseconds, no zone but UTC, and bytes read as UTF-8 text."""
    if pa.types.is_binary(column.type):
        return column.view(pa.string())
    if pa.types.is_large_binary(column.type):
        return column.view(pa.large_string())
    if pa.types.is_timestamp(column.type):
        unit = "us" if column.type.unit == "ns" else column.type.unit
        return column.cast(pa.timestamp(unit, "UTC" if column.type.tz else None), safe=False)
    return column
