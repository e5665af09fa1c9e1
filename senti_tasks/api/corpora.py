"""Corpora in a notebook: snapshots of the labelled reviews, as DataFrames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senti_tasks.calls import new_call
from senti_tasks.errors import ConfigError
from senti_tasks.jobs import corpora
from senti_tasks.jobs.context import load_context
from senti_tasks.warehouse.models import corpora as recorded

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Corpus:
    """A snapshot of the labelled reviews, on which models are trained and judged. It never changes, except that
    ``senti erase`` removes reviews from it."""

    name: str
    """Its name in the warehouse."""
    rows: dict[str, int]
    """Rows per split."""
    labels: tuple[str, ...]
    """The names of the labels, in order of their numbers."""

    def split(self, name: str) -> pd.DataFrame:
        """The rows of ``train``, ``validation`` or ``test``, in their stored order.

        Columns: review_id, text (normalised), label (number), label_name, product, created_at and content_hash.
        Texts with the same content, and near-duplicates, are in one split only.

        Raises ``ConfigError`` for another name, and ``ArtifactError`` if the files were deleted or changed.
        """
        if name not in SPLITS:
            raise ConfigError(f"a split is one of {', '.join(SPLITS)}, found {name!r}")
        context = load_context()  # first, because the hub's client reads HF_ENDPOINT when it is imported
        from senti_tasks.corpus import snapshot

        part = snapshot.load(corpora.corpus_folder(context, self.name))[name]
        columns = ["review_id", "text", "label", "product", "created_at", "content_hash"]
        frame: pd.DataFrame = part.select_columns(columns).to_pandas()
        names = frame["label"].map(dict(enumerate(self.labels))).astype("str")
        frame.insert(columns.index("label") + 1, "label_name", names)
        return frame


def snapshot_corpus(base_model: str | None = None) -> Corpus:
    """Makes a snapshot of the labelled reviews of the warehouse as they are now, and decides the split of new texts.

    ``base_model`` (default SENTI_BASE_MODEL) is what the training will start from: the snapshot measures its tokenizer.
    Two snapshots of the same reviews are two corpora. Raises ``CorpusError`` if a model cannot be trained and judged on
    the labelled reviews, and ``BaseModelError`` if the base model is not found.
    """
    due, idempotency_key = new_call("senti_tasks.snapshot_corpus")
    return load_corpus(corpora.snapshot_corpus(due, idempotency_key, base_model)["corpus"])


def load_corpus(name: str) -> Corpus:
    """The corpus ``name``. Raises ``CorpusError`` if there is none."""
    with load_context().reading() as connection:
        row: dict[str, Any] = recorded.corpus(connection, name)
    return Corpus(name, dict(row["summary"]["rows"]), tuple(row["summary"]["label_names"]))
