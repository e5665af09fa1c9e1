"""Rows of erased reviews in Parquet files that were written before the reviews were erased."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from senti_tasks.errors import CorpusError


def rows_of(table: pa.Table, review_ids: Collection[str]) -> pa.Array:
    """Which rows of ``table`` belong to ``review_ids``: a mask, one boolean per row."""
    keys = table["review_id"].cast(pa.string()).combine_chunks()
    return pc.is_in(keys, value_set=pa.array(sorted(review_ids), pa.string()))


def holds(folder: Path, review_ids: Collection[str]) -> bool:
    """Whether a Parquet file below ``folder`` has a row of one of ``review_ids``.

    Raises ``CorpusError`` when a file cannot be read.
    """
    for path in sorted(folder.rglob("*.parquet")):
        try:
            found = pc.any(rows_of(pq.read_table(path), review_ids)).as_py()
        except (OSError, KeyError, pa.ArrowException) as error:
            raise CorpusError(f"{path} cannot be read ({error})") from error
        if found:
            return True
    return False
