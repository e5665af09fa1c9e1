"""Decides the split of a text, once: by its content hash, or by the splits of its near-duplicates."""

from collections.abc import Iterable, Mapping

from senti_tasks.corpus.near_duplicates import NearDuplicates, Shingles

SPLITS: tuple[str, str, str] = ("train", "validation", "test")
SET_ASIDE = "set_aside"
"""For a text with near-duplicates in several splits: it would be a leak in each of them."""

_HELD_OUT = 0.1  # share of the texts in validation, and the same share in test


def split_of(content_hash: str) -> str:
    """The split of ``content_hash`` (64 hex digits, see ``text.content_hash``): 80/10/10 by its first 52 bits.

    The hash is a SHA-256, so its first digits are as good as random. The split does not depend on other texts.
    """
    position = int(content_hash[:13], 16) / 16**13  # in [0, 1)
    if position < _HELD_OUT:
        return "test"
    return "validation" if position < 2 * _HELD_OUT else "train"


def decide(new: Mapping[str, Shingles], ledger: Iterable[tuple[str, Shingles]]) -> dict[str, str]:
    """The split of each text in ``new`` (content hash to shingles, in order of arrival).

    ``ledger`` has the split and the shingles of all earlier texts. A text without near-duplicates, in ``ledger`` or
    earlier in ``new``, gets the split of its hash (``split_of``). If its near-duplicates are all in one split, it gets
    that split. If they are in several, it is ``SET_ASIDE``.
    """
    index = NearDuplicates()
    for key, text in new.items():
        index.add(key, text)
    ledger_splits: dict[str, set[str]] = {key: set() for key in new}
    for split, text in ledger:
        for key in index.matches(text):
            ledger_splits[key].add(split)
    decided: dict[str, str] = {}
    for key, text in new.items():
        earlier = {decided[other] for other in index.matches(text) if other in decided}
        splits = (ledger_splits[key] | earlier) - {SET_ASIDE}
        decided[key] = SET_ASIDE if len(splits) > 1 else next(iter(splits), split_of(key))
    return decided
