"""Texts that are nearly the same: they share four fifths of their character 3-grams (Jaccard similarity)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from datasketch import MinHash, MinHashLSH
from scipy.sparse import csr_array

from senti_tasks.text import folded

THRESHOLD = 0.8
"""Jaccard similarity from which on two texts count as one: of reviews of 50 characters, one character may differ."""

Shingles = npt.NDArray[np.uint32]

_LENGTH = 3  # characters of a shingle
_MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)  # odd numbers with no pattern, as in xxHash
# 32 bands of 4: a pair at the threshold is missed as a candidate once in 20 million (Leskovec et al., Mining of Massive
# Datasets, 3.4.2).
_BANDS, _ROWS = 32, 4
_SCHEME = "affine32"
_PERMUTATIONS = MinHash(num_perm=_BANDS * _ROWS, scheme=_SCHEME).permutations
_ROWS_AT_ONCE = 1024  # of a product of all pairs


def shingles(text: str) -> Shingles:
    """The 3-grams of ``folded(text)`` as sorted different 32-bit hashes, at least one; a shorter text is padded.

    The same on every machine: they are kept in the ledger, and recognise a text that is no longer there.
    """
    points = np.frombuffer(folded(text).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    points = np.pad(points, (0, max(0, _LENGTH - len(points))))
    n = len(points) - _LENGTH + 1
    mixed = np.zeros(n, dtype=np.uint64)
    for place, odd in enumerate(_MIX):
        mixed = (mixed ^ points[place : place + n]) * np.uint64(odd)  # wraps around, which is wanted
        mixed ^= mixed >> np.uint64(29)
    return np.unique((mixed >> np.uint64(32)).astype(np.uint32))


def jaccard(first: Shingles, second: Shingles) -> float:
    """What share of their shingles two texts have in common, in [0, 1]."""
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / (len(first) + len(second) - common)


class NearDuplicates:
    """Texts, each under a key, that can be asked for those nearly the same as another one."""

    def __init__(self) -> None:
        self._candidates = MinHashLSH(num_perm=_BANDS * _ROWS, params=(_BANDS, _ROWS))
        self._shingles: dict[str, Shingles] = {}

    def __len__(self) -> int:
        return len(self._shingles)

    def add(self, key: str, text: Shingles) -> None:
        """Adds a text under a key that is not there yet."""
        self._candidates.insert(key, _min_hash(text))
        self._shingles[key] = text

    def of(self, text: Shingles) -> list[str]:
        """The keys of the texts that share ``THRESHOLD`` or more with ``text``, sorted.

        MinHash finds candidates (Broder 1997), their shingles decide.
        """
        candidates: list[str] = self._candidates.query(_min_hash(text)) if self._shingles else []
        return sorted(key for key in candidates if jaccard(self._shingles[key], text) >= THRESHOLD)


def _min_hash(text: Shingles) -> MinHash:
    # The shingles are hashes already; drawing the permutations anew would take most of the time.
    sketch = MinHash(hashfunc=int, permutations=_PERMUTATIONS, scheme=_SCHEME)
    sketch.update_batch(text.tolist())
    return sketch


def pairs(first: Sequence[Shingles], second: Sequence[Shingles]) -> list[tuple[int, int]]:
    """Every pair (row of ``first``, row of ``second``) that shares ``THRESHOLD`` or more, in order.

    Exact: of two such texts the rarest fifths of their shingles meet (Bayardo et al. 2007, Scaling Up All Pairs
    Similarity Search, 3), a sparse product finds those, and their shingles decide.
    """
    if not first or not second:
        return []
    rarest = _rarest_shingles([*first, *second])  # (texts, shingles)
    left, right = rarest[: len(first)], rarest[len(first) :].T.tocsr()
    found: list[tuple[int, int]] = []
    for start in range(0, len(first), _ROWS_AT_ONCE):
        meeting = (left[start : start + _ROWS_AT_ONCE] @ right).tocoo()
        candidates = zip((meeting.coords[0] + start).tolist(), meeting.coords[1].tolist(), strict=True)
        found += [pair for pair in candidates if jaccard(first[pair[0]], second[pair[1]]) >= THRESHOLD]
    return sorted(found)


def _rarest_shingles(texts: Sequence[Shingles]) -> csr_array:
    """Of each text so many of its shingles, those that the fewest texts hold, that the others alone cannot make it a
    near-duplicate: (texts, different shingles), 1 where a text has one."""
    sizes = np.array([len(text) for text in texts])
    text_of = np.repeat(np.arange(len(texts)), sizes)
    _, shingle, number = np.unique(np.concatenate(texts), return_inverse=True, return_counts=True)
    order = np.lexsort((shingle, number[shingle], text_of))  # within a text the rarest first, in one order for all
    place = np.arange(len(order)) - np.repeat(sizes.cumsum() - sizes, sizes)
    enough = sizes - np.ceil(THRESHOLD * sizes - 1e-9).astype(int) + 1
    kept = order[place < np.repeat(enough, sizes)]
    ones = np.ones(len(kept), dtype=np.int32)
    return csr_array((ones, (text_of[kept], shingle[kept])), shape=(len(texts), len(number)))
