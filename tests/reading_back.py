"""Reads erased texts back, as somebody would who has everything that is left: the warehouse and the files."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.corpus import near_duplicates
from senti_tasks.warehouse import database

_LENGTH = 3  # characters of a shingle
_HEX = re.compile(rb"[0-9a-f]{8,}")


def everything_left(engine: Engine, home: Path) -> Iterator[bytes]:
    """Every value in the warehouse, with PostgreSQL's statistics; SQLite's file; and every file below ``home`` but
    weights."""
    with database.reading(engine) as connection:
        inspector = sa.inspect(connection)
        relations = [*inspector.get_table_names(), *(["pg_stats"] if engine.dialect.name == "postgresql" else [])]
        for name in relations:
            for row in connection.execute(sa.select(sa.text("*")).select_from(sa.table(name))):
                yield from (value if isinstance(value, bytes) else str(value).encode() for value in row)
    files = {file for file in home.rglob("*") if file.is_file()}
    if engine.dialect.name == "sqlite":
        files |= set(Path(str(engine.url.database)).parent.glob(f"{Path(str(engine.url.database)).name}*"))
    for file in sorted(files):
        if file.suffix == ".parquet":
            yield str(pq.read_table(file).to_pydict()).encode()
        elif file.suffix != ".safetensors":  # weights: a model keeps what it learnt
            yield file.read_bytes()


def read_back(left: Iterator[bytes], alphabet: str) -> str:
    """All texts that can be read in ``left``: as they are, and rebuilt from hashes of pieces of ``alphabet``."""
    readable, numbers, hashes = [], [np.empty(0, dtype=np.uint32)], set()
    for value in left:
        readable.append(value.decode("utf-8", "replace"))
        found = _HEX.findall(value)
        hashes.update(found)
        for raw in (value, *(bytes.fromhex(one[: len(one) // 2 * 2].decode()) for one in found)):
            numbers += [np.frombuffer(raw[start : start + (len(raw) - start) // 4 * 4], "<u4") for start in range(4)]
    readable += _chains(np.unique(np.concatenate(numbers)), alphabet)
    for length in range(1, _LENGTH + 1):
        for characters in product(alphabet, repeat=length):
            text = "".join(characters)
            digest = hashlib.sha256(text.encode()).hexdigest().encode()
            if digest in hashes or digest[:32] in hashes:
                readable.append(text)
    return "\n".join(readable)


def _chains(hashes: npt.NDArray[np.uint32], alphabet: str) -> Iterator[str]:
    """The texts of which ``hashes`` has the hash of each shingle: shingles that overlap are put together."""
    points = np.array([ord(character) for character in alphabet], dtype=np.uint64)
    grams = np.stack(np.meshgrid(*[points] * _LENGTH, indexing="ij"), axis=-1).reshape(-1, _LENGTH)
    mixed = np.zeros(len(grams), dtype=np.uint64)
    for position, odd in enumerate(near_duplicates._MIX):
        mixed = (mixed ^ grams[:, position]) * np.uint64(odd)
        mixed ^= mixed >> np.uint64(29)
    known = grams[np.isin((mixed >> np.uint64(32)).astype(np.uint32), hashes)]
    following: defaultdict[str, list[str]] = defaultdict(list)
    pieces = ["".join(map(chr, gram)) for gram in known.tolist()]
    for piece in pieces:
        following[piece[:-1]].append(piece[-1])
    for piece in pieces:
        text = piece
        while len(found := following[text[1 - _LENGTH :]]) == 1 and len(text) < 200:
            text += found[0]
        yield text
