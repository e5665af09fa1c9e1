"""Arrow data: Parquet and Feather files, and folders written by ``datasets``.

The module imports neither ``datasets`` nor torch.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from senti_tasks.errors import InputFileError
from senti_tasks.intake.readers.compression import Source
from senti_tasks.intake.readers.options import Options
from senti_tasks.intake.tables import Record, Table

_BATCH_ROWS = 1024
_BUFFER_BYTES = 2**20


def open_parquet(source: Source, options: Options) -> Table:
    """A Parquet file."""
    _require_unpacked(source)
    with _parquet(source.path) as file:
        schema = file.schema_arrow
        header = tuple(schema.names)
        instants = _instants(file)
    facts = ("times stored as INT96 are UTC, as Spark writes them",) if instants else ()
    return Table(header, lambda: _parquet_records(source.path, instants), _label_names(schema), ("Parquet", *facts))


def open_arrow(source: Source, options: Options) -> Table:
    """An Arrow file or Feather file, or a file with one Arrow stream."""
    _require_unpacked(source)
    if not source.head().startswith(b"ARROW1"):
        return open_streams([source.path], source.name)
    with _arrow(source.path) as file:
        schema = file.schema
        header = tuple(schema.names)
    return Table(header, lambda: _arrow_records(source.path), _label_names(schema), ("Arrow",))


def open_dataset(path: Path) -> Table:
    """A folder that ``Dataset.save_to_disk`` wrote, shard after shard."""
    return open_streams(_shards(path), path)


def open_streams(shards: Sequence[Path], source: Path | str) -> Table:
    """Files with one Arrow stream each and the same columns, as ``datasets`` writes them; without any, no columns."""
    if not shards:
        return Table((), lambda: iter(()))
    with _stream(shards[0]) as batches:
        schema = batches.schema
        header = tuple(schema.names)
    return Table(header, lambda: _stream_records(shards, header, source), _label_names(schema), ("Arrow",))


def _require_unpacked(source: Source) -> None:
    if source.packed is not None:  # these formats are compressed inside, and are read from several places
        raise InputFileError(f"{source.name} is Parquet or Arrow in a compressed file: unpack it first")


def _parquet_records(path: Path, instants: frozenset[str]) -> Iterator[Record]:
    with _parquet(path) as file:
        yield from _records(file.iter_batches(_BATCH_ROWS), count(1), instants)


def _arrow_records(path: Path) -> Iterator[Record]:
    with _arrow(path) as file:
        yield from _records(map(_validated, map(file.get_batch, range(file.num_record_batches))), count(1))


def _stream_records(shards: Sequence[Path], header: tuple[str, ...], source: Path | str) -> Iterator[Record]:
    numbers = count(1)
    for shard in shards:
        with _stream(shard) as batches:
            if tuple(batches.schema.names) != header:
                raise InputFileError(f"{source}: the columns of {shard.name} differ from those of its first shard")
            yield from _records(map(_validated, batches), numbers)


def _instants(file: Any) -> frozenset[str]:
    """The INT96 columns of a file that Spark wrote: it stores UTC there, without saying so."""
    if b"org.apache.spark.version" not in (file.metadata.metadata or {}):
        return frozenset()
    columns = [file.schema.column(i) for i in range(len(file.schema.names))]
    return frozenset(column.path for column in columns if column.physical_type == "INT96")


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    # Constant memory needs both settings: by default pyarrow buffers whole columns.
    # INT96 holds any year, but by default it is read as nanoseconds, in which the year 2300 becomes 1715.
    settings = {"buffer_size": _BUFFER_BYTES, "pre_buffer": False, "coerce_int96_timestamp_unit": "us"}
    with _damages(path, "a Parquet file"), pq.ParquetFile(path, **settings) as file:
        yield file


@contextmanager
def _arrow(path: Path) -> Iterator[Any]:
    with _damages(path, "an Arrow file"), pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as batches:
        yield batches


@contextmanager
def _stream(shard: Path) -> Iterator[Any]:
    with _damages(shard, "an Arrow stream"), pa.OSFile(str(shard)) as file, pa.ipc.open_stream(file) as batches:
        yield batches


@contextmanager
def _damages(path: Path, expected: str) -> Iterator[None]:
    """Raises ``InputFileError`` for an error of pyarrow, unless the operating system could not read the file."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        # pyarrow raises OSError for some damages, too, but without a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        first_line = str(error).partition("\n")[0]
        raise InputFileError(
            f"{path} is not {expected}, or is damaged: {first_line}; write or fetch it again"
        ) from error


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


def _records(
    batches: Iterable[pa.RecordBatch], numbers: Iterator[int], instants: frozenset[str] = frozenset()
) -> Iterator[Record]:
    for whole in batches:
        for start in range(0, len(whole), _BATCH_ROWS):
            batch = whole.slice(start, _BATCH_ROWS)
            columns = [_readable(batch.column(i), name in instants) for i, name in enumerate(batch.schema.names)]
            try:
                rows = zip(*(column.to_pylist() for column in columns), strict=True)
                yield from ((number, row) for row, number in zip(list(rows), numbers, strict=False))
            except (ValueError, OverflowError):
                for i, number in zip(range(len(batch)), numbers, strict=False):
                    yield number, _cells(columns, i)


def _validated(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Arrow files are mapped into memory as they are: reading damaged ones could end the process."""
    batch.validate(full=True)
    return batch


def _cells(columns: list[Any], row: int) -> tuple[object, ...] | str:
    """The cells of one row. A time that Python cannot represent is its spelling."""
    cells: list[object] = []
    for column in columns:
        try:
            cells.append(column[row].as_py())
        except (ValueError, OverflowError) as error:
            if not pa.types.is_temporal(column.type):
                return f"a value of this row cannot be read: {error}"
            cells.append(str(column[row].cast(pa.int64())))
    return tuple(cells)


def _readable(column: Any, is_instant: bool) -> Any:
    """``column`` with types that Python can represent: no nanoseconds, no zone but UTC, bytes as UTF-8 text."""
    if pa.types.is_binary(column.type):
        return column.view(pa.string())
    if pa.types.is_large_binary(column.type):
        return column.view(pa.large_string())
    if pa.types.is_timestamp(column.type):
        unit = "us" if column.type.unit == "ns" else column.type.unit
        return column.cast(pa.timestamp(unit, "UTC" if column.type.tz or is_instant else None), safe=False)
    return column
