"""Finds near-duplicates: texts whose character 3-grams have a Jaccard similarity of 0.8 or more."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from datasketch import MinHash, MinHashLSH
from scipy.sparse import csr_array

from senti_tasks.text import folded

THRESHOLD = 0.8
"""Lowest Jaccard similarity of near-duplicates. Two reviews of 50 characters may differ in one character."""

Shingles = npt.NDArray[np.uint32]

_LENGTH = 3  # characters of a shingle
_MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)  # odd numbers without a pattern, as in xxHash
# 32 bands of 4 rows: of pairs at the threshold, one in 20 million is not found as a candidate (Leskovec et al., Mining
# of Massive Datasets, 3.4.2).
_BANDS, _ROWS = 32, 4
_SCHEME = "affine32"
_PERMUTATIONS = MinHash(num_perm=_BANDS * _ROWS, scheme=_SCHEME).permutations
_PRODUCT_ROWS = 1024  # rows of the matrix product computed at once


def shingles(text: str) -> Shingles:
    """The 3-grams of ``folded(text)`` as sorted distinct 32-bit hashes, at least one. A shorter text is padded.

    The hashes are the same on every machine. The ledger stores them, so that it recognises texts that were deleted.
    """
    points = np.frombuffer(folded(text).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    points = np.pad(points, (0, max(0, _LENGTH - len(points))))
    n = len(points) - _LENGTH + 1
    mixed = np.zeros(n, dtype=np.uint64)
    for position, odd in enumerate(_MIX):
        mixed = (mixed ^ points[position : position + n]) * np.uint64(odd)  # overflow is intended
        mixed ^= mixed >> np.uint64(29)
    return np.unique((mixed >> np.uint64(32)).astype(np.uint32))


def jaccard(first: Shingles, second: Shingles) -> float:
    """The Jaccard similarity of two texts, in [0, 1]: shared shingles divided by all shingles of both."""
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / (len(first) + len(second) - common)


class NearDuplicates:
    """An index of texts, each under a key, that finds the near-duplicates of another text."""

    def __init__(self) -> None:
        self._candidates = MinHashLSH(num_perm=_BANDS * _ROWS, params=(_BANDS, _ROWS))
        self._shingles: dict[str, Shingles] = {}

    def add(self, key: str, text: Shingles) -> None:
        """Adds a text under a new key."""
        self._candidates.insert(key, _min_hash(text))
        self._shingles[key] = text

    def matches(self, text: Shingles) -> list[str]:
        """The keys of the near-duplicates of ``text``, sorted.

        MinHash finds candidates (Broder 1997), and the Jaccard similarity of their shingles decides.
        """
        candidates: list[str] = self._candidates.query(_min_hash(text)) if self._shingles else []
        return sorted(key for key in candidates if jaccard(self._shingles[key], text) >= THRESHOLD)


def _min_hash(text: Shingles) -> MinHash:
    # The shingles are hashes already. Drawing the permutations again each time would take most of the time.
    sketch = MinHash(hashfunc=int, permutations=_PERMUTATIONS, scheme=_SCHEME)
    sketch.update_batch(text.tolist())
    return sketch


def pairs(first: Sequence[Shingles], second: Sequence[Shingles]) -> list[tuple[int, int]]:
    """All near-duplicate pairs (row of ``first``, row of ``second``), sorted. None if either is empty.

    The result is exact. Two near-duplicates share at least one of their rarest shingles (Bayardo et al. 2007, Scaling
    Up All Pairs Similarity Search, 3). A sparse matrix product finds these pairs, and their Jaccard similarity decides.
    """
    if not first or not second:
        return []
    rarest = _rarest_shingles([*first, *second])  # (texts, shingles)
    left, right = rarest[: len(first)], rarest[len(first) :].T.tocsr()
    found: list[tuple[int, int]] = []
    for start in range(0, len(first), _PRODUCT_ROWS):
        product = (left[start : start + _PRODUCT_ROWS] @ right).tocoo()
        candidates = zip((product.coords[0] + start).tolist(), product.coords[1].tolist(), strict=True)
        found += [pair for pair in candidates if jaccard(first[pair[0]], second[pair[1]]) >= THRESHOLD]
    return sorted(found)


def _rarest_shingles(texts: Sequence[Shingles]) -> csr_array:
    """The rarest shingles of each text: (texts, distinct shingles), 1 where a text has one.

    Of each text so many are taken that the remaining ones are less than the share ``THRESHOLD``. A text that shares
    only remaining ones with it can therefore be no near-duplicate.
    """
    sizes = np.array([len(text) for text in texts])
    text_of = np.repeat(np.arange(len(texts)), sizes)
    _, shingle, number = np.unique(np.concatenate(texts), return_inverse=True, return_counts=True)
    order = np.lexsort((shingle, number[shingle], text_of))  # by text, the rarest first, ties in the same order
    rank = np.arange(len(order)) - np.repeat(sizes.cumsum() - sizes, sizes)
    wanted = sizes - np.ceil(THRESHOLD * sizes - 1e-9).astype(int) + 1
    kept = order[rank < np.repeat(wanted, sizes)]
    ones = np.ones(len(kept), dtype=np.int32)
    return csr_array((ones, (text_of[kept], shingle[kept])), shape=(len(texts), len(number)))
