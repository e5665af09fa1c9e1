"""A corpus snapshot: the labelled reviews as they were at one time, as Parquet files with a summary.

A model is trained on it and judged on it.
"""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
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
    """``None`` when it was labelled for a text that it has no more."""
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


def clean(reviews: Iterable[LabelledReview]) -> tuple[list[Example], dict[str, int]]:
    """The examples in ``reviews``, in order of (created_at, review_id), and how many rows were dropped per reason.

    Dropped are rows that were labelled before their text changed ("label of an earlier text"), rows that cannot be
    scored either ("blank"), every row of a text that was given different labels ("contradicting labels"), and all but
    the first of the rows that share a content hash ("duplicate").
    """
    dropped = {"label of an earlier text": 0, "blank": 0, "duplicate": 0, "contradicting labels": 0}
    candidates: list[Example] = []
    labels_of: dict[str, set[int]] = {}
    for review in sorted(reviews, key=lambda review: (review.created_at, review.review_id)):
        if review.label is None:
            dropped["label of an earlier text"] += 1
            continue
        if text.defect(review.text):
            dropped["blank"] += 1
            continue
        words, key = text.normalise(review.text), text.content_hash(review.text)
        product = None if text.defect(review.product) else review.product  # no byte of it may keep the row out
        candidates.append(Example(review.review_id, words, review.label, product, review.created_at, key))
        labels_of.setdefault(key, set()).add(review.label)
    examples: list[Example] = []
    seen: set[str] = set()
    for example in candidates:
        if len(labels_of[example.content_hash]) > 1:
            dropped["contradicting labels"] += 1
        elif example.content_hash in seen:
            dropped["duplicate"] += 1
        else:
            seen.add(example.content_hash)
            examples.append(example)
    return examples, dropped


def check(examples: Sequence[Example], splits: Mapping[str, str], label_set: LabelSet = labels.DEFAULT) -> None:
    """Raises ``CorpusError`` when no model could be trained and judged on ``examples`` (content hash -> split).

    That is: none, one with a label outside ``label_set``, or a label of it that is missing from a split or altogether.
    """
    names = label_set.names
    per_label = Counter(example.label for example in examples)
    if not examples:
        raise CorpusError(
            "no review has a label yet, as of the due time: senti import FILE --label-column NAME has some"
        )
    if stranger := next((example for example in examples if example.label not in names), None):
        raise CorpusError(
            f"review {stranger.review_id} has the label {stranger.label}, and SENTI_LABELS has 0 to {max(names)} "
            f"({label_set}): correct it in review_annotations"
        )
    if absent := [name for label, name in names.items() if not per_label[label]]:
        raise CorpusError(
            f"none of the {len(examples)} labelled reviews is {' or '.join(absent)}: "
            f"a classifier learns from reviews of every label ({label_set})"
        )
    present = Counter((splits[example.content_hash], example.label) for example in examples)
    missing = [(split, label) for split in SPLITS for label in names if not present[split, label]]
    if not missing:
        return
    rarest, rows = min(per_label.items(), key=lambda item: (item[1], item[0]))
    # A tenth of the rows is held out twice. With 3 / (0.1 p) rows, a class of share p is missing from a tenth of them
    # about once in twenty times ("rule of three").
    needed = 10 * math.ceil(3 * len(examples) / rows)
    where = ", ".join(f"the {split} split has no {names[label]} review" for split, label in missing)
    if needed > len(examples):
        enough = f"at least about {needed} are needed"
    else:
        enough = f"label some more {names[rarest]} ones (there are {rows})"
    raise CorpusError(f"{len(examples)} labelled reviews: {enough} ({where})")


def write(
    examples: Sequence[Example],
    splits: Mapping[str, str],
    dropped: Mapping[str, int],
    due: datetime,
    base_model: str,
    tokenizers: tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast],
    folder: Path,
    max_length: int = 512,
    label_set: LabelSet = labels.DEFAULT,
) -> dict[str, Any]:
    """Writes ``train``, ``validation`` and ``test.parquet`` and ``summary.json`` into ``folder``; returns the summary.

    ``splits`` says each content hash's split, ``label_set`` what the labels are called. The same input gives the same
    bytes. The summary's token figures are those of the second of ``tokenizers``, which are that of ``base_model`` as
    shipped and as fitted to its vocabulary, [CLS] and [SEP] included; ``max_length`` is the length that the training
    will cut at. Raises ``CorpusError`` as ``check`` does, before anything is written.
    """
    check(examples, splits, label_set)
    parts = {split: [example for example in examples if splits[example.content_hash] == split] for split in SPLITS}
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
        "tokens": token_figures.length_figures([example.text for example in examples], tokenizers[1], max_length),
        "unknown_characters": token_figures.unknown_figures([example.text for example in examples], *tokenizers),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in parts.items():
        rows = pa.Table.from_pylist([asdict(example) for example in part], schema=SCHEMA)
        pq.write_table(rows, folder / f"{split}.parquet", compression="zstd")
    (folder / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return summary


def load(folder: Path) -> datasets.DatasetDict:
    """The corpus in ``folder``: ``train``, ``validation`` and ``test``, rows in the order in which they were written.

    Read into memory straight from Parquet: what ``datasets`` derives from it stays in memory too, so no cache on disk
    can stand in for newer data. Raises ``CorpusError`` when a file is missing or unreadable.
    """
    parts = {}
    for split in SPLITS:
        path = folder / f"{split}.parquet"
        try:
            parts[split] = datasets.Dataset(pq.read_table(path, schema=SCHEMA))
        except (OSError, pa.ArrowException) as error:
            raise CorpusError(
                f"{path} is not a part of a corpus snapshot: make the snapshot again ({error})"
            ) from error
    return datasets.DatasetDict(parts)


def without(folder: Path, review_ids: Collection[str], target: Path) -> dict[str, Any] | None:
    """Writes the corpus in ``folder`` without ``review_ids`` to ``target``, and returns its summary.

    Returns ``None``, and writes nothing, when the corpus holds none of them. The summary's rows are counted anew, and
    ``erased`` counts the rows taken out; its other figures, which identify nobody, stay as they were.
    """
    parts = {split: load(folder)[split].data.table for split in SPLITS}
    kept = {split: table.filter(pc.invert(erasure.rows_of(table, review_ids))) for split, table in parts.items()}
    erased = sum(parts[split].num_rows - kept[split].num_rows for split in SPLITS)
    if not erased:
        return None
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    summary["rows"] = {split: table.num_rows for split, table in kept.items()}
    summary["erased"] = summary.get("erased", 0) + erased
    target.mkdir(parents=True, exist_ok=True)
    for split, table in kept.items():
        pq.write_table(table, target / f"{split}.parquet", compression="zstd")
    (target / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return summary


def label_set(folder: Path) -> LabelSet:
    """The labels of the corpus in ``folder``. Raises ``CorpusError`` when there is no summary."""
    path = folder / "summary.json"
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["label_names"]
    except (OSError, ValueError, KeyError) as error:
        raise CorpusError(f"{path} is not a part of a corpus snapshot: make the snapshot again ({error})") from error
    return LabelSet(tuple(names))
