"""The texts that an encoder is pretrained on: reviews without their labels, and nothing that will judge a model."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from senti_tasks import text
from senti_tasks.corpus import erasure
from senti_tasks.corpus.near_duplicates import NearDuplicates, shingles
from senti_tasks.corpus.splits import split_of
from senti_tasks.errors import CorpusError

FILE = "texts.parquet"

_SCHEMA = pa.schema([("review_id", pa.string()), ("text", pa.string()), ("content_hash", pa.string())])
_COUNTS = "counts.json"
_OUTCOMES = ("blank", "duplicate", "held out", "near-duplicate of held out", "kept")


@dataclass(frozen=True, slots=True)
class UnlabelledText:
    review_id: str
    """Of the first review that was offered with it."""
    text: str
    """Normalised by ``text.normalise``."""
    content_hash: str


class Selection:
    """Picks from chunks of reviews' texts those that may be learnt from, and counts what became of the others.

    Left out are texts that cannot be scored ("blank"), all but the first of those that share a content hash
    ("duplicate"), those that the ledger does not have in the train split or, where it does not know them, would not put
    there ("held out"), and near-duplicates of those, be they in the ledger or among the texts offered, labelled or not.
    """

    def __init__(self, judging: NearDuplicates, limit: int) -> None:
        """``judging`` are the ledger's validation and test texts; at most ``limit`` others are picked."""
        self._judging = judging
        self._limit = limit
        self._seen: set[bytes] = set()
        self._counts: Counter[str] = Counter()
        self._picked: list[UnlabelledText] = []

    @property
    def is_full(self) -> bool:
        return len(self._picked) >= self._limit

    def offer(
        self, reviews: Sequence[tuple[str, str | None]], splits_of: Callable[[list[str]], Mapping[str, str]]
    ) -> None:
        """Takes from ``reviews`` (review_id and text) what may be learnt from, up to the limit.

        ``splits_of`` looks content hashes up in the ledger: key to split, for those that it knows.
        """
        keys = [None if one is None or text.defect(one) else text.content_hash(one) for _, one in reviews]
        known = splits_of(sorted({key for key in keys if key is not None}))
        for (review_id, one), key in zip(reviews, keys, strict=True):
            if self.is_full:
                return
            if one is None or key is None:
                self._counts["blank"] += 1
            elif bytes.fromhex(key) in self._seen:
                self._counts["duplicate"] += 1
            else:
                self._seen.add(bytes.fromhex(key))
                self._assign(UnlabelledText(review_id, text.normalise(one), key), known.get(key, split_of(key)))

    def _assign(self, one: UnlabelledText, split: str) -> None:
        if split == "train":
            self._picked.append(one)
            return
        self._counts["held out"] += 1
        self._judging.add(f"offered {one.content_hash}", shingles(one.text))

    def result(self) -> tuple[list[UnlabelledText], dict[str, int]]:
        """What may be learnt from, in the order offered; and how many texts were read, and what became of them."""
        kept = [one for one in self._picked if not self._judging.of(shingles(one.text))]
        outcomes = self._counts | {"kept": len(kept), "near-duplicate of held out": len(self._picked) - len(kept)}
        read = self._counts.total() + len(self._picked)
        return kept, {"read": read, **{outcome: outcomes.get(outcome, 0) for outcome in _OUTCOMES}}


def write(selection: Selection, folder: Path) -> dict[str, int]:
    """Writes the texts that ``selection`` kept into ``folder``, and the counts, which it returns.

    The same reviews give the same bytes.
    Raises ``CorpusError`` when there are not two texts: one to learn from, one to show what was learnt.
    """
    kept, found = selection.result()
    if len(kept) < 2:
        raise CorpusError(
            f"an encoder needs 2 texts to learn from, and of {found['read']} reviews {len(kept)} may be used, as the "
            "others are duplicates or judge models: import more with `senti import FILE`"
        )
    _write(folder, pa.Table.from_pylist([asdict(one) for one in kept], schema=_SCHEMA), found)
    return found


def _write(folder: Path, rows: pa.Table, found: dict[str, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / FILE, compression="zstd")
    (folder / _COUNTS).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def load(folder: Path, held_out_share: float) -> tuple[list[str], list[str]]:
    """The texts in ``folder`` to train on, and those that show what was learnt: ``held_out_share`` of them, at least
    one, by the last digits of their content hashes, as the first ones decide the split.

    Raises ``CorpusError`` when the folder does not hold a text snapshot, or when erasures have left fewer than two
    texts.
    """
    rows = _read(folder).to_pylist()
    if len(rows) < 2:
        raise CorpusError(f"{len(rows)} texts are left in {folder}, the others were erased: make a new snapshot")
    positions = [int(row["content_hash"][-13:], 16) / 16**13 for row in rows]  # in [0, 1)
    below = max(held_out_share, min(positions))
    train = [row["text"] for row, position in zip(rows, positions, strict=True) if position > below]
    held_out = [row["text"] for row, position in zip(rows, positions, strict=True) if position <= below]
    return train, held_out


def _read(folder: Path) -> pa.Table:
    try:
        return pq.read_table(folder / FILE).cast(_SCHEMA)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise CorpusError(f"{folder} holds no text snapshot: make it again ({error})") from error


def without(folder: Path, review_ids: Collection[str], target: Path) -> dict[str, int] | None:
    """Writes the texts in ``folder`` without those of ``review_ids`` to ``target``, and returns the counts.

    Returns ``None``, and writes nothing, when the folder holds none of them. ``kept`` is counted anew, and ``erased``
    counts the texts that were taken out. A text that several reviews share goes with the review that it was taken from.
    """
    rows = _read(folder)
    kept = rows.filter(pc.invert(erasure.rows_of(rows, review_ids)))
    if not (erased := rows.num_rows - kept.num_rows):
        return None
    before = counts(folder)
    left = {**before, "kept": kept.num_rows, "erased": before.get("erased", 0) + erased}
    _write(target, kept, left)
    return left


def counts(folder: Path) -> dict[str, int]:
    """How many texts were read for those in ``folder``, and what became of them."""
    found: dict[str, int] = json.loads((folder / _COUNTS).read_text(encoding="utf-8"))
    return found
