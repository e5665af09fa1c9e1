"""A corpus snapshot: the labelled reviews as they were at one time, as Parquet files with a summary.

Models are trained and evaluated on snapshots.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerFast

from senti_tasks import labels, text
from senti_tasks.corpus import erasure, token_figures
from senti_tasks.corpus.splits import SPLITS
from senti_tasks.errors import CorpusError
from senti_tasks.labels import LabelSet

SCHEMA = pa.schema(
    [
        ("review_id", pa.string()),
        ("text", pa.string()),
        ("label", pa.int64()),
        ("product", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("content_hash", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class LabelledReview:
    review_id: str
    text: str
    label: int | None
    """``None`` if the text has changed since it was labelled."""
    product: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Example:
    review_id: str
    text: str
    """Normalised by ``text.normalise``."""
    label: int
    product: str | None
    created_at: datetime
    content_hash: str
    copies: tuple[str, ...] = ()
    """The review_id of each other labelled review with the same content hash."""


def clean(reviews: Iterable[LabelledReview]) -> tuple[list[Example], dict[str, int]]:
    """The examples in ``reviews``, in order of (created_at, review_id), and how many rows were dropped per reason.

    Dropped are rows whose text has changed since it was labelled ("label of an earlier text"), rows that cannot be
    scored ("blank"), all rows of a text with different labels ("contradicting labels"), and all but the first row with
    the same content hash ("duplicate").
    """
    dropped = {"label of an earlier text": 0, "blank": 0, "duplicate": 0, "contradicting labels": 0}
    candidates: list[Example] = []
    labels_of: defaultdict[str, set[int]] = defaultdict(set)
    for review in sorted(reviews, key=lambda review: (review.created_at, review.review_id)):
        if review.label is None:
            dropped["label of an earlier text"] += 1
        elif text.defect(review.text):
            dropped["blank"] += 1
        else:
            words, key = text.normalise(review.text), text.content_hash(review.text)
            product = None if text.defect(review.product) else review.product  # a bad product must not drop the row
            candidates.append(Example(review.review_id, words, review.label, product, review.created_at, key))
            labels_of[key].add(review.label)
    kept: dict[str, list[Example]] = {}
    for example in candidates:
        if len(labels_of[example.content_hash]) > 1:
            dropped["contradicting labels"] += 1
        else:
            kept.setdefault(example.content_hash, []).append(example)
    dropped["duplicate"] = sum(len(same) - 1 for same in kept.values())
    return [replace(first, copies=tuple(one.review_id for one in others)) for first, *others in kept.values()], dropped


def check(examples: Sequence[Example], splits: Mapping[str, str], label_set: LabelSet = labels.DEFAULT) -> None:
    """Raises ``CorpusError`` if no model could be trained and evaluated on ``examples``.

    That is: if there are none, if one has a label outside ``label_set``, or if a label has no example in one of the
    splits. ``splits`` maps content hash to split.
    """
    names = label_set.names
    if not examples:
        raise CorpusError(
            "no review has a label yet, as of the due time: import labels with senti import FILE --label-column NAME"
        )
    if stranger := next((example for example in examples if example.label not in names), None):
        raise CorpusError(
            f"review {stranger.review_id} has the label {stranger.label}, and SENTI_LABELS has 0 to {max(names)} "
            f"({label_set}): correct it in review_annotations"
        )
    per_label = Counter(example.label for example in examples)
    if absent := [name for label, name in names.items() if not per_label[label]]:
        raise CorpusError(
            f"none of the {len(examples)} labelled reviews is {' or '.join(absent)}: "
            f"a classifier learns from reviews of every label ({label_set})"
        )
    present = {(splits[example.content_hash], example.label) for example in examples}
    missing = [(split, label) for split in SPLITS for label in names if (split, label) not in present]
    if not missing:
        return
    rarest, rows = min(per_label.items(), key=lambda item: (item[1], item[0]))
    # Validation and test each have a tenth of the rows. With 3 / (0.1 p) rows, a class of share p is missing from such
    # a tenth about once in twenty times ("rule of three").
    needed = 10 * math.ceil(3 * len(examples) / rows)
    where = ", ".join(f"the {split} split has no {names[label]} review" for split, label in missing)
    if needed > len(examples):
        remedy = f"at least about {needed} are needed"
    else:
        remedy = f"label some more {names[rarest]} ones (there are {rows})"
    raise CorpusError(f"{len(examples)} labelled reviews: {remedy} ({where})")


def write(
    examples: Sequence[Example],
    splits: Mapping[str, str],
    dropped: Mapping[str, int],
    due: datetime,
    base_model: str,
    tokenizers: tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast],
    folder: Path,
    max_length: int | None = 512,
    label_set: LabelSet = labels.DEFAULT,
) -> dict[str, Any]:
    """Writes ``train``, ``validation`` and ``test.parquet`` and ``summary.json`` into ``folder``; returns the summary.

    ``splits`` maps content hash to split. ``tokenizers`` are the published and the fitted tokenizer of ``base_model``.
    The lengths in the summary are those of the fitted one, [CLS] and [SEP] included. ``max_length`` is the number of
    tokens that the training reads, if it does not read all. The same input gives the same bytes. Raises ``CorpusError``
    as ``check`` does, before anything is written.
    """
    check(examples, splits, label_set)
    parts = {split: [example for example in examples if splits[example.content_hash] == split] for split in SPLITS}
    texts = [example.text for example in examples]
    summary: dict[str, Any] = {
        "due": due.astimezone(UTC).isoformat(),
        "rows": {split: len(part) for split, part in parts.items()},
        "label_names": list(label_set.ordered),
        "labels": {
            split: {label_set.names[label]: n for label, n in sorted(Counter(one.label for one in part).items())}
            for split, part in parts.items()
        },
        "dropped": dict(dropped),
        "base_model": base_model,
        "tokens": token_figures.length_figures(texts, tokenizers[1], max_length),
        "unknown_characters": token_figures.unknown_figures(texts, *tokenizers),
    }
    rows = {split: pa.Table.from_pylist([asdict(one) for one in part], schema=SCHEMA) for split, part in parts.items()}
    _write(folder, rows, summary)
    return summary


def _write(folder: Path, parts: Mapping[str, pa.Table], summary: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in parts.items():
        pq.write_table(rows, folder / f"{split}.parquet", compression="zstd")
    (folder / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> datasets.DatasetDict:
    """The snapshot in ``folder``: ``train``, ``validation`` and ``test``, rows in the order in which they were written.

    The files are read into memory. ``datasets`` then keeps derived data in memory too, and cannot return older data
    from its cache on disk. Raises ``CorpusError`` if a file is missing or unreadable.
    """
    parts = {}
    for split in SPLITS:
        path = folder / f"{split}.parquet"
        try:
            parts[split] = datasets.Dataset(pq.read_table(path, schema=SCHEMA))
        except (OSError, pa.ArrowException) as error:
            raise _not_a_part(path, error) from error
    return datasets.DatasetDict(parts)


def without(folder: Path, review_ids: Collection[str], target: Path) -> dict[str, Any] | None:
    """Writes the snapshot in ``folder`` except the rows of ``review_ids`` to ``target``; returns its summary.

    Returns ``None`` and writes nothing if the snapshot has none of these reviews. The rows in the summary are counted
    again, ``erased`` counts all erased rows, and characters that only those had are no longer named. The other figures
    identify nobody and stay as they are.
    """
    parts = {split: part.data.table for split, part in load(folder).items()}
    kept = {split: erasure.rows_without(table, review_ids) for split, table in parts.items()}
    erased = sum(parts[split].num_rows - kept[split].num_rows for split in SPLITS)
    if not erased:
        return None
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    summary["rows"] = {split: table.num_rows for split, table in kept.items()}
    summary["erased"] = summary.get("erased", 0) + erased
    characters = set().union(*(one for table in kept.values() for one in table["text"].to_pylist()))
    for figures in summary.get("unknown_characters", {}).values():
        shown = figures["most_frequent"]
        figures["most_frequent"] = {one: share for one, share in shown.items() if one in characters}
    _write(target, kept, summary)
    return summary


def label_set(folder: Path) -> LabelSet:
    """The label set of the snapshot in ``folder``. Raises ``CorpusError`` if there is no summary."""
    path = folder / "summary.json"
    try:
        return LabelSet(tuple(json.loads(path.read_text(encoding="utf-8"))["label_names"]))
    except (OSError, ValueError, KeyError) as error:
        raise _not_a_part(path, error) from error


def _not_a_part(path: Path, error: Exception) -> CorpusError:
    return CorpusError(f"{path} is not a part of a corpus snapshot: make the snapshot again ({error})")
