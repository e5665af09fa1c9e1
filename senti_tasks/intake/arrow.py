"""Arrow data: Parquet files, and folders written by ``datasets``. Imports neither ``datasets`` nor torch."""

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
    """The rows of a Parquet file. Only the needed columns are read."""
    try:
        # Constant memory needs both settings: by default pyarrow buffers whole columns.
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            names = columns.names(file.schema_arrow.names, path)
            batches = file.iter_batches(_BATCH_ROWS, columns=[name for name in names if name is not None])
            yield from _records(batches, file.schema_arrow, names, count(1))
    except (pa.ArrowException, OSError) as error:
        _raise_if_damaged(error, path, "a Parquet file")
        raise


def read_dataset(path: Path, columns: Columns) -> Iterator[Record]:
    """The rows of a folder that ``Dataset.save_to_disk`` wrote, shard after shard."""
    yield from read_streams(_shards(path), columns, path)


def read_streams(shards: Iterable[Path], columns: Columns, source: Path | str) -> Iterator[Record]:
    """The rows of files with one Arrow stream each, as ``datasets`` writes them. ``source`` is for error messages."""
    numbers = count(1)
    for shard in shards:
        try:
            with pa.OSFile(str(shard)) as file, pa.ipc.open_stream(file) as batches:
                names = columns.names(batches.schema.names, source)
                yield from _records(batches, batches.schema, names, numbers)
        except (pa.ArrowException, OSError) as error:
            _raise_if_damaged(error, shard, "an Arrow stream")
            raise


def _raise_if_damaged(error: Exception, path: Path, expected: str) -> None:
    """Raises ``InputFileError`` unless the operating system could not read the file."""
    # pyarrow raises OSError for some damages, too, but without a number.
    if not isinstance(error, OSError) or error.errno is None:
        raise InputFileError(f"{path} is not {expected}, or is damaged: {error}; write or fetch it again") from error


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
            f"{path} selects its rows by an indices file, as datasets before 2.0 did: "
            "expected the rows alone; call flatten_indices() with that version and save again"
        )
    return shards


def _records(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, names: Sequence[str | None], numbers: Iterator[int]
) -> Iterator[Record]:
    """The rows of ``batches``. ``names`` are the columns in the order of ``Cells``; ``numbers`` numbers the rows.

    ``datasets`` stores the names of labels in the metadata. The name replaces the number of a label, because data sets
    number their labels in different orders.
    """
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = metadata.get("info", {}).get("features", {}).get(Cells(*names).label, {})
    label_names: Sequence[str] = (feature.get("names") or ()) if isinstance(feature, dict) else ()
    for batch in batches:
        columns = [pa.nulls(len(batch)) if name is None else _readable(batch.column(name)) for name in names]
        for i, number in zip(range(len(batch)), numbers, strict=False):
            try:
                cells = Cells(*(column[i].as_py() for column in columns))
            except (ValueError, OverflowError) as error:
                yield number, f"a value of this row cannot be read: {error}"
                continue
            if isinstance(cells.label, int) and 0 <= cells.label < len(label_names):
                cells = cells._replace(label=label_names[cells.label])
            yield number, cells


def _readable(column: Any) -> Any:
    """``column`` with types that Python can represent: no nanoseconds, no zone but UTC, bytes as UTF-8 text."""
    if pa.types.is_binary(column.type):
        return column.view(pa.string())
    if pa.types.is_large_binary(column.type):
        return column.view(pa.large_string())
    if pa.types.is_timestamp(column.type):
        unit = "us" if column.type.unit == "ns" else column.type.unit
        return column.cast(pa.timestamp(unit, "UTC" if column.type.tz else None), safe=False)
    return column
