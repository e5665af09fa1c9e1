"""The texts that an encoder is pretrained on: reviews without their labels, and nothing that will judge a model."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from senti_tasks import text
from senti_tasks.errors import CorpusError
from senti_tasks.learning.near_duplicates import NearDuplicates, shingles
from senti_tasks.learning.splits import split_of

FILE = "texts.parquet"

_SCHEMA = pa.schema([("text", pa.string()), ("split_key", pa.string())])
_COUNTS = "counts.json"
_OUTCOMES = ("blank", "duplicate", "held out", "near-duplicate of held out", "kept")


@dataclass(frozen=True, slots=True)
class Unlabelled:
    text: str
    """Normalised by ``text.normalise``."""
    split_key: str


class Selection:
    """Picks from pages of reviews' texts those that may be learnt from, and counts what became of the others.

    Left out are texts that cannot be scored ("blank"), all but the first of those that share a split key ("duplicate"),
    those that the ledger does not have in the train split or, where it does not know them, would not put there ("held
    out"), and near-duplicates of those, be they in the ledger or among the texts offered, labelled or not.
    """

    def __init__(self, judging: NearDuplicates, limit: int) -> None:
        """``judging`` are the ledger's validation and test texts; at most ``limit`` others are picked."""
        self._judging = judging
        self._limit = limit
        self._seen: set[bytes] = set()
        self._counts: Counter[str] = Counter()
        self._picked: list[Unlabelled] = []

    @property
    def is_full(self) -> bool:
        return len(self._picked) >= self._limit

    def offer(self, texts: Sequence[str | None], splits_of: Callable[[list[str]], Mapping[str, str]]) -> None:
        """Takes from ``texts`` what may be learnt from, up to the limit.

        ``splits_of`` looks split keys up in the ledger: key to split, for those that it knows.
        """
        keys = [None if one is None or text.defect(one) else text.split_key(one) for one in texts]
        known = splits_of(sorted({key for key in keys if key is not None}))
        for one, key in zip(texts, keys, strict=True):
            if self.is_full:
                return
            if one is None or key is None:
                self._counts["blank"] += 1
            elif bytes.fromhex(key) in self._seen:
                self._counts["duplicate"] += 1
            else:
                self._seen.add(bytes.fromhex(key))
                self._sort(Unlabelled(text.normalise(one), key), known.get(key, split_of(key)))

    def _sort(self, one: Unlabelled, split: str) -> None:
        if split == "train":
            self._picked.append(one)
            return
        self._counts["held out"] += 1
        # Also what the ledger has: it may have it from before it kept shingles.
        self._judging.add(f"offered {one.split_key}", shingles(one.text))

    def result(self) -> tuple[list[Unlabelled], dict[str, int]]:
        """What may be learnt from, in the order offered; and how many texts were read, and what became of them."""
        kept = [one for one in self._picked if not self._judging.of(shingles(one.text))]
        outcomes = self._counts | {"kept": len(kept), "near-duplicate of held out": len(self._picked) - len(kept)}
        read = self._counts.total() + len(self._picked)
        return kept, {"read": read, **{outcome: outcomes.get(outcome, 0) for outcome in _OUTCOMES}}


def freeze(selection: Selection, folder: Path) -> dict[str, int]:
    """Writes what ``selection`` kept into ``folder``, with the counts, which it returns. Same texts, same bytes.

    Raises ``CorpusError`` when there are not two texts: one to learn from, one to show what was learnt.
    """
    kept, found = selection.result()
    if len(kept) < 2:
        raise CorpusError(
            f"an encoder needs 2 texts to learn from, and of {found['read']} reviews {len(kept)} may be used, as the "
            "others are duplicates or judge models: import more with `senti import FILE`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    rows = pa.Table.from_pylist([asdict(one) for one in kept], schema=_SCHEMA)
    pq.write_table(rows, folder / FILE, compression="zstd")
    (folder / _COUNTS).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def load(folder: Path, held_out_share: float) -> tuple[list[str], list[str]]:
    """The texts in ``folder`` to train on, and those that show what was learnt: ``held_out_share`` of them, at least
    one, by the last digits of their split keys, as the first ones decide the split.

    Raises ``CorpusError`` when the folder does not hold frozen texts.
    """
    try:
        rows = pq.read_table(folder / FILE, schema=_SCHEMA).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{folder} holds no frozen texts: freeze them again ({error})") from error
    positions = [int(row["split_key"][-13:], 16) / 16**13 for row in rows]  # in [0, 1)
    below = max(held_out_share, min(positions))
    train = [row["text"] for row, position in zip(rows, positions, strict=True) if position > below]
    held_out = [row["text"] for row, position in zip(rows, positions, strict=True) if position <= below]
    return train, held_out


def counts(folder: Path) -> dict[str, int]:
    """How many texts were read for those in ``folder``, and what became of them."""
    found: dict[str, int] = json.loads((folder / _COUNTS).read_text(encoding="utf-8"))
    return found
