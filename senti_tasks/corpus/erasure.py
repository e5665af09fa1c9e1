"""Rows of reviews that were forgotten, in the Parquet files that were written while they were there."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from senti_tasks.errors import CorpusError
from senti_tasks.text import digest


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What forgotten reviews are recognised by."""

    keys: Collection[str] = ()
    """Of the reviews."""
    split_keys: Collection[str] = ()
    """Of their texts; for rows without a key, as texts were frozen once."""
    digests: Collection[str] = ()
    """Of the texts that they are known to have had, for such rows too; a text that was frozen lost its odd blanks, so
    not every one is found by it."""

    def rows(self, table: pa.Table) -> pa.Array:
        """Which rows of ``table`` are theirs: a mask."""
        if "review_id" in table.column_names:
            keys = table["review_id"].cast(pa.string()).combine_chunks()
            return pc.is_in(keys, value_set=pa.array(sorted(self.keys), pa.string()))
        split_keys, digests = set(self.split_keys), set(self.digests)
        columns = (table[name].to_pylist() for name in ("split_key", "text"))
        return pa.array(
            [
                key in split_keys or (bool(digests) and digest(text) in digests)
                for key, text in zip(*columns, strict=True)
            ],
            pa.bool_(),
        )


def holds(folder: Path, forgotten: Forgotten) -> bool:
    """Whether a Parquet file below ``folder`` has a row of ``forgotten``. Raises ``CorpusError`` when one cannot be
    read."""
    for path in sorted(folder.rglob("*.parquet")):
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise CorpusError(f"{path} cannot be read ({error})") from error
        if pc.any(forgotten.rows(table)).as_py():
            return True
    return False
