"""Arrow data: Parquet files, and folders written by ``datasets``. Imports neither ``datasets`` nor torch."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from senti_tasks.errors import InputFileError
from senti_tasks.intake.tables import Record, Table

_BATCH_ROWS = 1024
_BUFFER_BYTES = 2**20


def open_parquet(path: Path) -> Table:
    """A Parquet file."""
    with _parquet(path) as file:
        schema = file.schema_arrow
    return Table(tuple(schema.names), lambda: _parquet_records(path), _label_names(schema))


def open_dataset(path: Path) -> Table:
    """A folder that ``Dataset.save_to_disk`` wrote, shard after shard."""
    return open_streams(_shards(path), path)


def open_streams(shards: Sequence[Path], source: Path | str) -> Table:
    """Files with one Arrow stream each and the same columns, as ``datasets`` writes them; without any, no columns."""
    if not shards:
        return Table((), lambda: iter(()))
    with _stream(shards[0]) as batches:
        schema = batches.schema
    return Table(tuple(schema.names), lambda: _stream_records(shards, schema.names, source), _label_names(schema))


def _parquet_records(path: Path) -> Iterator[Record]:
    with _parquet(path) as file:
        yield from _records(file.iter_batches(_BATCH_ROWS), count(1))


def _stream_records(shards: Sequence[Path], header: list[str], source: Path | str) -> Iterator[Record]:
    numbers = count(1)
    for shard in shards:
        with _stream(shard) as batches:
            if batches.schema.names != header:
                raise InputFileError(f"{source}: the columns of {shard.name} differ from those of its first shard")
            yield from _records(batches, numbers)


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    # Constant memory needs both settings: by default pyarrow buffers whole columns.
    with _damages(path, "a Parquet file"), pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
        yield file


@contextmanager
def _stream(shard: Path) -> Iterator[Any]:
    with _damages(shard, "an Arrow stream"), pa.OSFile(str(shard)) as file, pa.ipc.open_stream(file) as batches:
        yield batches


@contextmanager
def _damages(path: Path, expected: str) -> Iterator[None]:
    """Raises ``InputFileError`` for an error of pyarrow, unless the operating system could not read the file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        # pyarrow raises OSError for some damages, too, but without a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
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


def _label_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """The names of labels, which ``datasets`` stores in the metadata."""
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = metadata.get("info", {}).get("features", {})
    return {
        name: tuple(feature["names"])
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("names")
    }


def _records(batches: Iterable[pa.RecordBatch], numbers: Iterator[int]) -> Iterator[Record]:
    for batch in batches:
        columns = [_readable(column) for column in batch.columns]
        for i, number in zip(range(len(batch)), numbers, strict=False):
            try:
                yield number, tuple(column[i].as_py() for column in columns)
            except (ValueError, OverflowError) as error:
                yield number, f"a value of this row cannot be read: {error}"


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
