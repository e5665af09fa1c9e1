"""The texts that an encoder is pretrained on: reviews without their labels, and nothing that will judge a model."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from senti_tasks import text
from senti_tasks.corpus.erasure import Forgotten
from senti_tasks.corpus.near_duplicates import NearDuplicates, shingles
from senti_tasks.corpus.splits import split_of
from senti_tasks.errors import CorpusError

FILE = "texts.parquet"

_SCHEMA = pa.schema([("review_id", pa.string()), ("text", pa.string()), ("split_key", pa.string())])
_LEARNT = _SCHEMA.names[1:]  # what texts had alone that were frozen before erasures looked for them
_COUNTS = "counts.json"
_OUTCOMES = ("blank", "duplicate", "held out", "near-duplicate of held out", "kept")


@dataclass(frozen=True, slots=True)
class Unlabelled:
    review_id: str
    """Of the first review that was offered with it."""
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

    def offer(
        self, reviews: Sequence[tuple[str, str | None]], splits_of: Callable[[list[str]], Mapping[str, str]]
    ) -> None:
        """Takes from ``reviews`` (review_id and text) what may be learnt from, up to the limit.

        ``splits_of`` looks split keys up in the ledger: key to split, for those that it knows.
        """
        keys = [None if one is None or text.defect(one) else text.split_key(one) for _, one in reviews]
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
                self._sort(Unlabelled(review_id, text.normalise(one), key), known.get(key, split_of(key)))

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
    """Writes what ``selection`` kept into ``folder``, with the counts, which it returns. Same reviews, same bytes.

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
    one, by the last digits of their split keys, as the first ones decide the split.

    Raises ``CorpusError`` when the folder does not hold frozen texts, or an erasure has left less than two of them.
    """
    rows = _read(folder).select(_LEARNT).to_pylist()
    if len(rows) < 2:
        raise CorpusError(f"{len(rows)} of the texts in {folder} are left, the others were forgotten: freeze new ones")
    positions = [int(row["split_key"][-13:], 16) / 16**13 for row in rows]  # in [0, 1)
    below = max(held_out_share, min(positions))
    train = [row["text"] for row, position in zip(rows, positions, strict=True) if position > below]
    held_out = [row["text"] for row, position in zip(rows, positions, strict=True) if position <= below]
    return train, held_out


def _read(folder: Path) -> pa.Table:
    try:
        table = pq.read_table(folder / FILE)
        return table.cast(_SCHEMA if _is_keyed(table) else pa.schema([_SCHEMA.field(name) for name in _LEARNT]))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise CorpusError(f"{folder} holds no frozen texts: freeze them again ({error})") from error


def _is_keyed(table: pa.Table) -> bool:
    return "review_id" in table.column_names


def is_keyed(folder: Path) -> bool:
    """Whether the texts in ``folder`` say which reviews they are of; those that were frozen first do not."""
    return _is_keyed(_read(folder))


def without(folder: Path, forgotten: Forgotten, target: Path) -> dict[str, int] | None:
    """Writes to ``target`` what is left of the texts in ``folder`` when those of ``forgotten`` are erased, and gives
    the counts; ``None``, and nothing is written, when it holds none of them.

    ``kept`` is counted anew, and ``forgotten`` counts those erased. A text that several reviews share goes with the
    review that it was frozen from.
    """
    rows = _read(folder)
    kept = rows.filter(pc.invert(forgotten.rows(rows)))
    if not (erased := rows.num_rows - kept.num_rows):
        return None
    before = counts(folder)
    left = {**before, "kept": kept.num_rows, "forgotten": before.get("forgotten", 0) + erased}
    _write(target, kept, left)
    return left


def counts(folder: Path) -> dict[str, int]:
    """How many texts were read for those in ``folder``, and what became of them."""
    found: dict[str, int] = json.loads((folder / _COUNTS).read_text(encoding="utf-8"))
    return found
