"""Text snapshots for pretraining: reviews without labels, and without all texts that models are evaluated on."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
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
    """The first offered review with this text."""
    text: str
    """Normalised by ``text.normalise``."""
    content_hash: str


class Selection:
    """Selects texts for pretraining from chunks of reviews, and counts the others by reason.

    Left out are texts that cannot be scored ("blank"); all but the first text with the same content hash ("duplicate");
    texts that the ledger, or for texts not in it their hash, assigns to another split than train ("held out"); and
    near-duplicates of held-out texts. These may be in the ledger or among the offered texts, labelled or not.
    """

    def __init__(self, held_out: NearDuplicates, limit: int) -> None:
        """``held_out`` are the ledger's validation and test texts. At most ``limit`` texts are selected."""
        self._held_out = held_out
        self._limit = limit
        self._seen: set[bytes] = set()
        self._counts: Counter[str] = Counter()
        self._selected: list[UnlabelledText] = []

    @property
    def is_full(self) -> bool:
        return len(self._selected) >= self._limit

    def offer(
        self, reviews: Sequence[tuple[str, str | None]], splits_of: Callable[[list[str]], Mapping[str, str]]
    ) -> None:
        """Selects from ``reviews`` (review_id and text) up to the limit.

        ``splits_of`` looks up content hashes in the ledger; it returns hash to split, for the hashes in the ledger.
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
                offered = UnlabelledText(review_id, text.normalise(one), key)
                if known.get(key, split_of(key)) == "train":
                    self._selected.append(offered)
                else:
                    self._counts["held out"] += 1
                    self._held_out.add(f"offered {key}", shingles(offered.text))

    def result(self) -> tuple[list[UnlabelledText], dict[str, int]]:
        """The selected texts in the order offered, and counts: texts read, left out by reason, and kept."""
        kept = [one for one in self._selected if not self._held_out.matches(shingles(one.text))]
        outcomes = self._counts | {"kept": len(kept), "near-duplicate of held out": len(self._selected) - len(kept)}
        read = self._counts.total() + len(self._selected)
        return kept, {"read": read, **{outcome: outcomes.get(outcome, 0) for outcome in _OUTCOMES}}


def write(selection: Selection, folder: Path) -> dict[str, int]:
    """Writes the texts of ``selection`` and the counts into ``folder``; returns the counts.

    The same reviews give the same bytes. Raises ``CorpusError`` for fewer than two texts, one to train on and one to
    evaluate on.
    """
    kept, found = selection.result()
    if len(kept) < 2:
        raise CorpusError(
            f"an encoder needs 2 texts to learn from, and of {found['read']} reviews {len(kept)} may be used, as the "
            "others are duplicates or models are evaluated on them: import more with `senti import FILE`"
        )
    _write(folder, pa.Table.from_pylist([asdict(one) for one in kept], schema=_SCHEMA), found)
    return found


def _write(folder: Path, rows: pa.Table, found: dict[str, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / FILE, compression="zstd")
    (folder / _COUNTS).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def load(folder: Path, held_out_share: float) -> tuple[list[str], list[str]]:
    """The texts in ``folder`` to train on, and the texts to evaluate on: ``held_out_share`` of them, at least one.

    The last digits of the content hash decide which (the first digits decide the split). Raises ``CorpusError`` if the
    folder has no text snapshot, or if erasures have left fewer than two texts.
    """
    rows = _read(folder).to_pylist()
    if len(rows) < 2:
        raise CorpusError(f"{len(rows)} texts are left in {folder}, the others were erased: make a new snapshot")
    positions = [int(row["content_hash"][-13:], 16) / 16**13 for row in rows]  # in [0, 1)
    limit = max(held_out_share, min(positions))
    train: list[str] = []
    held_out: list[str] = []
    for row, position in zip(rows, positions, strict=True):
        (train if position > limit else held_out).append(row["text"])
    return train, held_out


def _read(folder: Path) -> pa.Table:
    try:
        return pq.read_table(folder / FILE).cast(_SCHEMA)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise CorpusError(f"{folder} holds no text snapshot: make it again ({error})") from error


def without(folder: Path, review_ids: Collection[str], target: Path) -> dict[str, int] | None:
    """Writes the texts in ``folder`` except those of ``review_ids`` to ``target``; returns the counts.

    Returns ``None`` and writes nothing if the folder has none of these reviews. ``kept`` is counted again, and
    ``erased`` counts all erased texts. A text of several reviews belongs to the review it was taken from.
    """
    rows = _read(folder)
    kept = erasure.rows_without(rows, review_ids)
    if not (erased := rows.num_rows - kept.num_rows):
        return None
    before = counts(folder)
    after = {**before, "kept": kept.num_rows, "erased": before.get("erased", 0) + erased}
    _write(target, kept, after)
    return after


def counts(folder: Path) -> dict[str, int]:
    """The counts of the text snapshot in ``folder``: texts read, left out by reason, and kept."""
    found: dict[str, int] = json.loads((folder / _COUNTS).read_text(encoding="utf-8"))
    return found
