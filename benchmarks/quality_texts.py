"""The texts of the quality measurement: a corpus snapshot for fine-tuning and unlabelled texts for pretraining.

``SENTI_REAL_DATA`` is a folder with chnsenticorp/train.tsv (columns label and text_a, without quotes) and
unlabelled.txt.gz (one review per line).
"""

import csv
import gzip
import json
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.reviews import SEED
from benchmarks.workload import LONGEST
from senti_tasks.config import PretrainConfig
from senti_tasks.corpus import leak_check, unlabelled
from senti_tasks.corpus import snapshot as corpora
from senti_tasks.corpus.near_duplicates import NearDuplicates, shingles
from senti_tasks.corpus.snapshot import LabelledReview
from senti_tasks.corpus.splits import decide
from senti_tasks.corpus.unlabelled import Selection, UnlabelledText
from senti_tasks.scoring.tokens import TextTokenizer
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer

ENCODER = "pretrained:benchmark"
"""The name of the base model in the corpus snapshot and in the fine-tuning."""
MAX_LENGTH = 256
"""Tokens that the models read of a review. 5 % of the reviews in ChnSentiCorp are longer."""
CORPUS = "corpus"
"""The folder of the corpus snapshot, in a folder that ``prepare`` has filled."""

_DUE = datetime(2026, 1, 1, tzinfo=UTC)
_SELECTED = "chosen"
_ROWS = "rows.json"


def load(folder: Path) -> tuple[list[UnlabelledText], dict[str, Any]]:
    """What ``prepare`` wrote into ``folder``: the texts for pretraining, and the number of rows by kind."""
    texts = pq.read_table(folder / _SELECTED / unlabelled.FILE).to_pylist()
    return [UnlabelledText(**row) for row in texts], json.loads((folder / _ROWS).read_text("utf-8"))


def is_prepared(folder: Path) -> bool:
    """Whether ``prepare`` has filled ``folder``."""
    return (folder / _ROWS).is_file()


def prepare(folder: Path, progress: Callable[[str], object]) -> None:
    """Writes the corpus snapshot and the texts for pretraining into ``folder``. Needs no GPU.

    The rules are those of the jobs. Splits are decided by hash, and near-duplicates are in the same split. A text that
    equals or resembles a validation or test text is not used for pretraining. ``progress`` gets one line of text at the
    end. Raises ``SystemExit`` if a file is missing.
    """
    started = time.perf_counter()
    labelled, texts = _read_labelled(), _read_unlabelled()
    examples, dropped = corpora.clean(labelled)
    shingles_of = {
        one.content_hash: shingles(one.text)
        for one in sorted(examples, key=lambda one: (one.created_at, one.content_hash))
    }
    splits = decide(shingles_of, [])
    examples, removed = leak_check.keep_apart(examples, splits, shingles_of)
    held_out = NearDuplicates()
    for key, split in splits.items():
        if split != "train":
            held_out.add(key, shingles_of[key])
    selection = Selection(held_out, len(texts))
    selection.offer([(f"{position:06}", text) for position, text in enumerate(texts)], lambda keys: splits)
    unlabelled_rows = unlabelled.write(selection, folder / _SELECTED)
    selected = pq.read_table(folder / _SELECTED / unlabelled.FILE).column("text").to_pylist()
    tokenizer = build_tokenizer(selected, LONGEST)
    tokenizers = (tokenizer, tokenizer)
    summary = corpora.write(
        examples, splits, dropped | removed, _DUE, ENCODER, tokenizers, folder / CORPUS, max_length=MAX_LENGTH
    )
    rows = {"labelled": summary["rows"], "unlabelled": unlabelled_rows}
    # The last file: its presence means that the folder is complete.
    (folder / _ROWS).write_text(json.dumps(rows), "utf-8")
    progress(f"texts: {rows}, vocabulary {len(tokenizer):,}, {time.perf_counter() - started:.0f} s")


def write(folder: Path, texts: Sequence[UnlabelledText], base: Path) -> int:
    """Writes ``texts`` for a pretraining into ``folder`` and returns the number of tokens in an epoch.

    ``base`` is the folder of the tokenizer.
    """
    selection = Selection(NearDuplicates(), len(texts))  # keeps all texts: ``prepare`` has already filtered them
    selection.offer([(one.review_id, one.text) for one in texts], lambda keys: dict.fromkeys(keys, "train"))
    unlabelled.write(selection, folder)
    train, _ = unlabelled.load(folder, PretrainConfig().held_out_share)
    tokenizer = TextTokenizer.load(base)
    tokenizer.max_length = MAX_LENGTH
    return int(tokenizer.encode(train).lengths.sum())


def _file(name: str) -> Path:
    """The file in ``SENTI_REAL_DATA``. Raises ``SystemExit`` if the folder or the file is missing."""
    root = os.environ.get("SENTI_REAL_DATA")
    file = Path(root or "") / name
    if not root or not file.is_file():
        raise SystemExit(f"expected a folder with {name} in SENTI_REAL_DATA, found {root or 'nothing'}")
    return file


def _read_labelled() -> list[LabelledReview]:
    """The reviews of ChnSentiCorp in the order of the file, one second apart."""
    with _file("chnsenticorp/train.tsv").open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        LabelledReview(
            f"{position:06}",
            row["text_a"],
            int(row["label"]),
            None,
            _DUE - timedelta(seconds=len(rows) - position),
        )
        for position, row in enumerate(rows)
    ]


def _read_unlabelled() -> list[str]:
    """The unlabelled reviews in random order, because the file is sorted by kind of shop."""
    with gzip.open(_file("unlabelled.txt.gz"), "rt", encoding="utf-8") as opened:
        texts = opened.read().split("\n")
    return [texts[position] for position in np.random.default_rng(SEED).permutation(len(texts)).tolist()]
