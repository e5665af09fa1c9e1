"""Finds the character n-grams of texts in a vocabulary, for many texts at once."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from senti_tasks.scoring.tokens import Tokens
from senti_tasks.text import normalise

LONGEST = 3
"""Characters of the longest n-gram. Three of 21 bits fit into the 64 bits of a key."""
_CODE_POINTS = 0x110000
_BETWEEN = "\n"
"""Stands between two texts. A normalised text does not contain it, so no n-gram goes from one text to the next."""
_BLOCK = 1_000_000
"""Characters that are looked up together: some 100 MB, however long the texts are."""

Keys = npt.NDArray[np.uint64]


class NgramTokenizer:
    """Converts texts to the numbers of those of their n-grams that the vocabulary has, in the order of the text.

    It has the methods of ``TextTokenizer``, so a ``Scorer`` takes it in its place: an n-gram is a token here. No text
    is truncated.
    """

    max_length: int = 2**62
    """A text may have any number of n-grams."""

    def __init__(self, ngrams: Sequence[str]) -> None:
        """``ngrams`` have 1 to 3 characters each, and no two are equal. An n-gram's number is its place in them."""
        sizes = np.fromiter(map(len, ngrams), dtype=np.int64, count=len(ngrams))
        if len(ngrams) and not 1 <= sizes.min() <= sizes.max() <= LONGEST:
            raise ValueError(f"an n-gram has 1 to {LONGEST} characters, found {sizes.min()} to {sizes.max()}")
        codes = _codes("".join(ngrams))
        self._letters = np.zeros(_CODE_POINTS, dtype=np.uint32)  # by code point: a number from 1; 0: not in an n-gram
        known = np.unique(codes)
        self._letters[known] = np.arange(1, len(known) + 1)
        self._base = np.uint64(len(known) + 1)
        letters = self._letters[codes].astype(np.uint64)
        self._letters[ord(_BETWEEN)] = 0
        ends = np.cumsum(sizes)
        keys = np.zeros(len(ngrams), dtype=np.uint64)
        for place in range(LONGEST, 0, -1):  # the place of a letter, counted from the end of its n-gram
            has = sizes >= place
            keys[has] = keys[has] * self._base + letters[ends[has] - place]
        self._table = _HashTable(keys)

    def encode(self, texts: Sequence[str]) -> Tokens:
        """The numbers of the n-grams of ``texts``; a text that has none of the vocabulary gets an empty row."""
        clean = [normalise(text).lower() for text in texts]
        ids, counts = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int64)]
        start = 0
        while start < len(clean):
            end, characters = start, 0
            while end < len(clean) and (end == start or characters + len(clean[end]) <= _BLOCK):
                characters += len(clean[end]) + 1
                end += 1
            found, of_text = self._encode(clean[start:end])
            ids.append(found)
            counts.append(of_text)
            start = end
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        return Tokens(np.concatenate(ids), offsets, np.zeros(len(texts), dtype=bool))

    def _encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """The numbers of all n-grams, (n,), and how many of them each text has, (len(texts),)."""
        ends = np.cumsum([len(text) + 1 for text in texts])
        letters = self._letters[_codes(_BETWEEN.join([*texts, ""]))]  # (characters,)
        keys = np.zeros((len(letters), LONGEST), dtype=np.uint64)  # of the n-gram of each size that ends here, or 0
        is_known = letters != 0
        keys[:, 0] = letters
        for size in range(1, LONGEST):
            is_known = is_known[1:] & (letters[: len(letters) - size] != 0)
            key = keys[size:, size - 1] + letters[: len(letters) - size] * self._base**size
            keys[size:, size] = np.where(is_known, key, 0)
        places = np.flatnonzero(keys.ravel())
        numbers = self._table.find(keys.ravel()[places])
        kept = numbers >= 0
        offsets = np.searchsorted(places[kept], np.concatenate([[0], ends * LONGEST]))
        return numbers[kept], np.diff(offsets)


class _HashTable:
    """Maps keys, which are not 0, to their places in ``keys``. Collisions move on to the next slot."""

    def __init__(self, keys: Keys) -> None:
        size = 1 << max(4, (2 * len(keys)).bit_length())
        self._shift = np.uint64(64 - (size.bit_length() - 1))
        self._mask = np.int64(size - 1)
        self._keys = np.zeros(size, dtype=np.uint64)
        self._numbers = np.full(size, -1, dtype=np.int32)
        left, slots = np.arange(len(keys)), self._first_slots(keys)
        while left.size:
            free = np.flatnonzero(self._keys[slots] == 0)
            _, first = np.unique(slots[free], return_index=True)  # of those that want one slot, the first gets it
            placed = free[first]
            self._keys[slots[placed]] = keys[left[placed]]
            self._numbers[slots[placed]] = left[placed]
            others = np.ones(len(left), dtype=bool)
            others[placed] = False
            left, slots = left[others], (slots[others] + 1) & self._mask

    def find(self, keys: Keys) -> npt.NDArray[np.int32]:
        """The number of each of ``keys``; -1 if it is not in the table."""
        slots = self._first_slots(keys)
        found = self._keys[slots]
        numbers = self._numbers[slots]
        left = np.flatnonzero((found != keys) & (found != 0))
        slots = slots[left]
        while left.size:
            slots = (slots + 1) & self._mask
            found = self._keys[slots]
            numbers[left] = self._numbers[slots]
            going_on = (found != keys[left]) & (found != 0)
            left, slots = left[going_on], slots[going_on]
        return numbers

    def _first_slots(self, keys: Keys) -> npt.NDArray[np.int64]:
        """Fibonacci hashing (Knuth, TAOCP 3, 6.4)."""
        slots: npt.NDArray[np.int64] = ((keys * np.uint64(0x9E3779B97F4A7C15)) >> self._shift).astype(np.int64)
        return slots


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
