"""Finds leaks between splits: rows with the same text as a training row, or a near-duplicate of it."""

from collections.abc import Mapping, Sequence

from senti_tasks.corpus.near_duplicates import Shingles, pairs, shingles
from senti_tasks.corpus.snapshot import Example
from senti_tasks.corpus.splits import SET_ASIDE


def leaking_rows(known: Sequence[str], texts: Sequence[str]) -> set[int]:
    """The rows of ``texts`` that equal a text of ``known`` or are a near-duplicate of one. All pairs are compared."""
    return {row for row, _ in pairs([shingles(text) for text in texts], [shingles(text) for text in known])}


def keep_apart(
    examples: Sequence[Example], splits: Mapping[str, str], texts: Mapping[str, Shingles]
) -> tuple[list[Example], dict[str, int]]:
    """``examples`` without those that would leak, in their order, and how many were left out for each reason.

    ``splits`` and ``texts`` have the split and the shingles of each content hash. Left out are examples that are set
    aside, and training examples that are near-duplicates of validation or test examples. The ledger creates none of the
    second kind, but somebody may have edited it by hand.
    """
    usable = [example for example in examples if splits[example.content_hash] != SET_ASIDE]
    train = [example for example in usable if splits[example.content_hash] == "train"]
    held_out = [example for example in usable if splits[example.content_hash] != "train"]
    leaking = pairs([texts[example.content_hash] for example in train], [texts[one.content_hash] for one in held_out])
    left_out = {train[row].content_hash for row, _ in leaking}
    kept = [example for example in usable if example.content_hash not in left_out]
    return kept, {"near-duplicate of several splits": len(examples) - len(usable), "resembles held-out": len(left_out)}
