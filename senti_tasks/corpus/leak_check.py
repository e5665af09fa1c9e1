"""The leak check: test rows that also stand in train, or nearly. And how they are kept out of a corpus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from senti_tasks.corpus.near_duplicates import Shingles, pairs, shingles
from senti_tasks.corpus.snapshot import Example
from senti_tasks.corpus.splits import SET_ASIDE
from senti_tasks.text import folded


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """How many test rows stand in train."""

    rows: int
    """Test rows looked at."""
    exact: int
    """Of them, those with the same letters and digits as a row of train."""
    near: int
    """Of them, those that a row of train resembles without being the same."""

    @property
    def leaked(self) -> int:
        return self.exact + self.near


def check(train: Sequence[str], test: Sequence[str]) -> LeakCheck:
    """Compares every text of ``test`` with every text of ``train``."""
    found = rows_in(train, test)
    known = {folded(text) for text in train}
    exact = sum(folded(test[row]) in known for row in found)
    return LeakCheck(len(test), exact, len(found) - exact)


def rows_in(known: Sequence[str], texts: Sequence[str]) -> set[int]:
    """Which rows of ``texts`` are near-duplicates of one of ``known``, or the same. Every pair is compared."""
    return {row for row, _ in pairs([shingles(text) for text in texts], [shingles(text) for text in known])}


def keep_apart(
    examples: Sequence[Example], splits: Mapping[str, str], texts: Mapping[str, Shingles]
) -> tuple[list[Example], dict[str, int]]:
    """``examples`` without those that would leak, and how many were left out per reason. Their order stays.

    ``splits`` and ``texts`` say the split and the shingles of each content hash.

    Left out are those set aside, and those of the training split that resemble a held-out one. The ledger makes none of
    the latter, but a row may have been changed by hand.
    """
    usable = [example for example in examples if splits[example.content_hash] != SET_ASIDE]
    train = [example for example in usable if splits[example.content_hash] == "train"]
    held_out = [example for example in usable if splits[example.content_hash] != "train"]
    leaking = pairs([texts[example.content_hash] for example in train], [texts[one.content_hash] for one in held_out])
    left_out = {train[row].content_hash for row, _ in leaking}
    kept = [example for example in usable if example.content_hash not in left_out]
    return kept, {"near-duplicate of several splits": len(examples) - len(usable), "resembles held-out": len(left_out)}
