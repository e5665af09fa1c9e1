"""Which split a text belongs to, decided once: by its content hash, or by the split of the texts it resembles."""

from collections.abc import Iterable, Mapping

from senti_tasks.corpus.near_duplicates import NearDuplicates, Shingles

SPLITS: tuple[str, str, str] = ("train", "validation", "test")
SET_ASIDE = "set_aside"
"""Of a text that resembles texts of several splits: in any of them it would be a leak."""

_HELD_OUT = 0.1  # share of the keys in validation, and again in test


def split_of(content_hash: str) -> str:
    """The split of ``content_hash`` (64 hex digits, see ``text.content_hash``): 80/10/10 by the key's first 52 bits.

    The key is a SHA-256, so its leading digits are as good as random, and the answer never depends on other rows.
    """
    position = int(content_hash[:13], 16) / 16**13  # in [0, 1)
    if position < _HELD_OUT:
        return "test"
    if position < 2 * _HELD_OUT:
        return "validation"
    return "train"


def decide(new: Mapping[str, Shingles], ledger: Iterable[tuple[str, Shingles]]) -> dict[str, str]:
    """The split of each of ``new`` (content hash to text, in order of arrival), given those decided before.

    A text without a near-duplicate in ``ledger`` (split and text of each) or among those before it goes where
    ``split_of`` says. With some, all in one split, it follows them; with some in several, it is ``SET_ASIDE``.
    """
    index = NearDuplicates()
    for key, text in new.items():
        index.add(key, text)
    resembled: dict[str, set[str]] = {key: set() for key in new}
    for split, text in ledger:
        for key in index.of(text):
            resembled[key].add(split)
    decided: dict[str, str] = {}
    for key, text in new.items():
        before = {decided[other] for other in index.of(text) if other in decided}
        splits = (resembled[key] | before) - {SET_ASIDE}
        decided[key] = SET_ASIDE if len(splits) > 1 else next(iter(splits), split_of(key))
    return decided
