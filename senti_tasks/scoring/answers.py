"""The answers that a scorer keeps in memory, so that a repeated text is not computed again."""

from collections.abc import Iterable
from hashlib import blake2b
from itertools import islice, pairwise

import numpy as np

from senti_tasks.scoring.tokens import Tokens


def keys_of(tokens: Tokens) -> list[bytes]:
    """A key for each row of ``tokens``: equal if the ids are equal, and different if not."""
    ids, size = memoryview(tokens.ids.view(np.uint8)), tokens.ids.itemsize  # type: ignore[arg-type]  # numpy's stubs
    return [
        blake2b(ids[start * size : end * size], digest_size=16).digest()
        for start, end in pairwise(tokens.offsets.tolist())
    ]


class Answers:
    """The most recently used answers by key, at most ``limit``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[bytes, bytes] = {}  # the most recently used one is the last

    def get(self, key: bytes) -> bytes | None:
        if (answer := self._kept.pop(key, None)) is not None:
            self._kept[key] = answer
        return answer

    def add(self, answers: Iterable[tuple[bytes, bytes]]) -> None:
        """Adds ``answers``, and drops the least recently used ones beyond the limit."""
        for key, answer in answers:
            self._kept.pop(key, None)
            self._kept[key] = answer
        for key in list(islice(self._kept, max(0, len(self._kept) - self._limit))):
            del self._kept[key]
