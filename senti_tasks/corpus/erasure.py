"""Erased reviews in Parquet files that were written before the erasure."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from senti_tasks.errors import CorpusError


def rows_without(table: pa.Table, review_ids: Collection[str]) -> pa.Table:
    """The rows of ``table`` whose ``review_id`` is none of ``review_ids``, in their order."""
    keys = table["review_id"].cast(pa.string())
    return table.filter(pc.invert(pc.is_in(keys, value_set=pa.array(sorted(review_ids), pa.string()))))


def holds(folder: Path, review_ids: Collection[str]) -> bool:
    """Whether a Parquet file below ``folder`` has a row of one of ``review_ids``.

    Raises ``CorpusError`` if a file cannot be read.
    """
    for path in sorted(folder.rglob("*.parquet")):
        try:
            table = pq.read_table(path)
            if rows_without(table, review_ids).num_rows < table.num_rows:
                return True
        except (OSError, KeyError, pa.ArrowException) as error:
            raise CorpusError(f"{path} cannot be read ({error})") from error
    return False
