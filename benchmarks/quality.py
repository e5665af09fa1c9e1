"""How good a classifier this machine trains in a few minutes from random weights and real reviews, beside TF-IDF.

A BERT with random weights is pretrained on unlabelled reviews for about the minutes given, fine-tuned on ChnSentiCorp,
and compared with TF-IDF and logistic regression on the same unseen test rows. All of it by the product's own functions:
which rows are test rows, which unlabelled reviews may be read, both trainings, the scorer, the intervals.

    SENTI_REAL_DATA=FOLDER python -m benchmarks.quality --minutes 3

Choosing the texts takes half a minute and needs no GPU: ``--only-prepare --prepared FOLDER`` does that before.

The folder holds unlabelled.txt.gz (a review a line) and chnsenticorp/train.tsv (label and text_a, without quotes).
"""

import argparse
import csv
import gzip
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from transformers import BertConfig, BertForMaskedLM
from transformers.utils import logging as transformers_logging

from benchmarks import machine, options
from benchmarks.reviews import SEED
from benchmarks.tables import number, percent, say, table
from benchmarks.workload import LONGEST, Shape
from senti_tasks.config import GateConfig, PretrainConfig, TrainConfig
from senti_tasks.corpus import leak_check, unlabelled
from senti_tasks.corpus import snapshot as corpora
from senti_tasks.corpus.near_duplicates import NearDuplicates, shingles
from senti_tasks.corpus.snapshot import LabelledReview
from senti_tasks.corpus.splits import decide
from senti_tasks.corpus.unlabelled import Selection, UnlabelledText
from senti_tasks.judging import intervals
from senti_tasks.judging.baseline import Baseline
from senti_tasks.judging.evaluation import measure as figures_of
from senti_tasks.scoring import loading
from senti_tasks.scoring.devices import device_named
from senti_tasks.scoring.tokens import TextTokenizer
from senti_tasks.training import fine_tuning, pretraining
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer

log = logging.getLogger(__name__)

_DUE = datetime(2026, 1, 1, tzinfo=UTC)
_ENCODER = "pretrained:benchmark"
_PROBE_STEPS = 20
_ROWS = "rows.json"
_READ = 256  # tokens of a review: 5 % of ChnSentiCorp are longer
# Steps this few never see a text often enough to learn it by heart, so no dropout.
_PRETRAINING: dict[str, Any] = {
    "max_length": _READ,
    "warmup_fraction": 0.1,
    "dropout": 0.0,
    "seed": SEED,
}
_FINE_TUNING: dict[str, Any] = {
    "max_length": _READ,
    "batch_size": 32,
    "epochs": 4,
    "patience": 4,
    "dropout": 0.1,
    "seed": SEED,
}

Tell = Callable[[str], object]


@dataclass(frozen=True)
class _Work:
    """What every stage needs."""

    folder: Path
    prepared: Path
    """Where the texts lie that ``prepare`` chose."""
    device: str
    tell: Tell

    @property
    def base(self) -> Path:
        """Random weights and a tokenizer, as ``save_pretrained`` writes them."""
        return self.folder / "base"

    @property
    def corpus(self) -> Path:
        return self.prepared / "corpus"


def measure(arguments: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    """All figures. ``tell`` gets a line whenever there is one to tell. Raises ``SystemExit`` without the data."""
    with tempfile.TemporaryDirectory(prefix="senti-benchmark-") as name:
        work = _Work(Path(name), arguments.prepared or Path(name), device_named(arguments.device).type, tell)
        shape = Shape(arguments.layers, arguments.hidden)
        kept, rows = _prepared(work)
        _write_base(work.base, shape, build_tokenizer([one.text for one in kept], LONGEST))
        pretrained = _pretrain(
            work, kept, 60 * arguments.minutes, arguments.pretraining_rate, arguments.pretraining_batch
        )
        bases: dict[str, tuple[str, Path | None]] = {"pretrained": (_ENCODER, work.folder / "encoder")}
        if arguments.control:
            bases["random"] = (str(work.base), None)
        tuned = {
            name: _fine_tune(work, name, base, encoder, arguments.fine_tuning_rate)
            for name, (base, encoder) in bases.items()
        }
        return {
            "device": work.device,
            "shape": f"BERT: layers {shape.layers}, width {shape.hidden}, heads {shape.heads}",
            "rows": rows,
            "pretraining": pretrained,
            "fine_tuning": tuned,
            **_judge(work, list(tuned)),
        }


def _file(name: str) -> Path:
    root = os.environ.get("SENTI_REAL_DATA")
    file = Path(root or "") / name
    if not root or not file.is_file():
        raise SystemExit(f"expected a folder with {name} in SENTI_REAL_DATA, found {root or 'nothing'}")
    return file


def _labelled() -> list[LabelledReview]:
    with _file("chnsenticorp/train.tsv").open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        LabelledReview(f"{at:06}", row["text_a"], int(row["label"]), None, _DUE - timedelta(seconds=len(rows) - at))
        for at, row in enumerate(rows)
    ]


def _unlabelled() -> list[str]:
    """In random order: the file has one kind of shop after the other."""
    with gzip.open(_file("unlabelled.txt.gz"), "rt", encoding="utf-8") as opened:
        texts = opened.read().split("\n")
    return [texts[at] for at in np.random.default_rng(SEED).permutation(len(texts)).tolist()]


def _prepared(work: _Work) -> tuple[list[UnlabelledText], dict[str, Any]]:
    """The texts to pretrain on, and how many rows of each kind there are; chosen now, unless they were before."""
    if not (work.prepared / _ROWS).is_file():
        prepare(work.prepared, work.tell)
    kept = pq.read_table(work.prepared / "chosen" / unlabelled.FILE).to_pylist()
    return [UnlabelledText(**row) for row in kept], json.loads((work.prepared / _ROWS).read_text("utf-8"))


def prepare(folder: Path, tell: Tell) -> None:
    """Writes into ``folder`` the corpus to fine-tune on and the texts to pretrain on. Needs no GPU.

    As the jobs do it: splits by hash, near-duplicates together; no text to pretrain on that is, or resembles, one of
    validation or test.
    """
    started = time.perf_counter()
    labelled, texts = _labelled(), _unlabelled()
    examples, dropped = corpora.clean(labelled)
    of_key = {
        one.content_hash: shingles(one.text)
        for one in sorted(examples, key=lambda one: (one.created_at, one.content_hash))
    }
    splits = decide(of_key, [])
    examples, apart = leak_check.keep_apart(examples, splits, of_key)
    judging = NearDuplicates()
    for key, split in splits.items():
        if split != "train":
            judging.add(key, of_key[key])
    selection = Selection(judging, len(texts))
    selection.offer([(f"{at:06}", text) for at, text in enumerate(texts)], lambda keys: splits)
    found = unlabelled.write(selection, folder / "chosen")
    kept = pq.read_table(folder / "chosen" / unlabelled.FILE).column("text").to_pylist()
    tokenizer = build_tokenizer(kept, LONGEST)
    both = (tokenizer, tokenizer)
    summary = corpora.write(
        examples, splits, dropped | apart, _DUE, _ENCODER, both, folder / "corpus", max_length=_READ
    )
    rows = {"labelled": summary["rows"], "unlabelled": found}
    (folder / _ROWS).write_text(json.dumps(rows), "utf-8")
    tell(f"texts: {rows}, vocabulary {len(tokenizer):,}, {time.perf_counter() - started:.0f} s")


def _write_base(folder: Path, shape: Shape, tokenizer: Any) -> None:
    torch.manual_seed(SEED)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            num_hidden_layers=shape.layers,
            hidden_size=shape.hidden,
            num_attention_heads=shape.heads,
            intermediate_size=4 * shape.hidden,
            max_position_embeddings=LONGEST,
            pad_token_id=tokenizer.pad_token_id,
            attention_probs_dropout_prob=0.0,  # it would shut out faster kernels
        )
    )
    with torch.no_grad():
        # Each layer begins close to the identity. As BERT is made, twelve layers learn nothing but how frequent tokens
        # are for thousands of steps, and there are not that many.
        for name, weight in model.named_parameters():
            if name.endswith("output.dense.weight"):
                weight.mul_((2 * shape.layers) ** -0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _pretrain(work: _Work, kept: Sequence[UnlabelledText], seconds: float, rate: float, batch: int) -> dict[str, Any]:
    """Pretrains for about ``seconds``: whole epochs, as many as fit; where none does, one of fewer texts."""
    config = {**_PRETRAINING, "learning_rate": rate, "batch_size": batch}
    few = kept[: _PROBE_STEPS * batch]
    for _ in range(2):  # the first one also starts the device
        own, outside = _probe(work, few, PretrainConfig.from_json({**config, "epochs": 1}))
    whole = own * len(kept) / len(few) + outside  # seconds of an epoch
    epochs = max(1, int(seconds / whole))
    texts = kept if whole <= seconds else kept[: max(len(few), int(len(few) * (seconds - outside) / own))]
    expected = epochs * whole * len(texts) / len(kept)
    work.tell(f"pretraining: {epochs} epochs of {len(texts):,} texts, {expected:.0f} s expected")
    folder = work.folder / "texts"
    tokens = _write_texts(folder, texts, work.base)
    last = time.perf_counter()

    def report(row: dict[str, Any]) -> None:
        nonlocal last
        since, last = time.perf_counter() - last, time.perf_counter()
        speed = f", {since:.1f} s, {tokens / since:,.0f} tokens/s" if row["epoch"] else ""
        found = f"loss {row['loss']:.3f}, {percent(row['accuracy'])} of masked tokens"
        work.tell(f"pretraining, epoch {row['epoch']}: {found}{speed}")

    settled = PretrainConfig.from_json({**config, "epochs": epochs})
    checkpoints, encoder = work.folder / "checkpoints", work.folder / "encoder"
    result = pretraining.pretrain(folder, str(work.base), settled, checkpoints, encoder, report, work.device)
    taken = result["seconds"]
    work.tell(f"pretraining: {taken:.0f} s, {epochs * tokens / taken:,.0f} tokens/s, all in")
    return {
        "config": settled.to_json(),
        "texts": result["texts"],
        "tokens_an_epoch": tokens,
        "steps": result["steps"],
        "seconds": taken,
        "history": result["history"],
    }


def _probe(work: _Work, texts: Sequence[UnlabelledText], config: PretrainConfig) -> tuple[float, float]:
    """Seconds of an epoch of ``texts``, its evaluation included, and of what comes after it: a checkpoint for one."""
    stamps: list[float] = []
    with tempfile.TemporaryDirectory(dir=work.folder) as name:
        folder = Path(name)
        _write_texts(folder / "texts", texts, work.base)
        places = (folder / "checkpoints", folder / "encoder")
        pretraining.pretrain(
            folder / "texts",
            str(work.base),
            config,
            *places,
            report=lambda row: stamps.append(time.perf_counter()),
            device=work.device,
        )
        ended = time.perf_counter()
    before, after = stamps
    return after - before, ended - after


def _write_texts(folder: Path, texts: Sequence[UnlabelledText], base: Path) -> int:
    """Writes ``texts``, which are chosen already, into ``folder``; gives the tokens that an epoch reads."""
    chosen = Selection(NearDuplicates(), len(texts))
    chosen.offer([(one.review_id, one.text) for one in texts], lambda keys: dict.fromkeys(keys, "train"))
    unlabelled.write(chosen, folder)
    train, _ = unlabelled.load(folder, PretrainConfig().held_out_share)
    tokenizer = TextTokenizer.load(base)
    tokenizer.max_length = _READ
    return int(tokenizer.encode(train).lengths.sum())


def _fine_tune(work: _Work, name: str, base: str, encoder: Path | None, rate: float) -> dict[str, Any]:
    def report(row: dict[str, Any]) -> None:
        work.tell(
            f"fine-tuning, {name}, epoch {row['epoch']}: training loss {row['train_loss']:.3f}, validation accuracy "
            f"{percent(row['accuracy'])}, macro-F1 {percent(row['macro_f1'])}"
        )

    config = TrainConfig.from_json({**_FINE_TUNING, "learning_rate": rate})
    result = fine_tuning.train(
        work.corpus,
        base,
        config,
        work.folder / "checkpoints",
        work.folder / name,
        report,
        work.device,
        base_folder=encoder,
    )
    work.tell(f"fine-tuning, {name}: {result['steps']} steps, {result['seconds']:.0f} s, evaluations included")
    return {field: result[field] for field in ("config", "steps", "seconds", "best_epoch", "history")}


def _judge(work: _Work, tuned: Sequence[str]) -> dict[str, Any]:
    """Figures of each model on the test rows, and what it is better by than TF-IDF, with both bounds."""
    data = corpora.load(work.corpus)
    texts, labels = list(data["test"]["text"]), np.asarray(data["test"]["label"])
    found = {name: loading.load(work.folder / name, device=work.device).predict(texts).complete for name in tuned}
    started = time.perf_counter()
    simple = Baseline().fit(list(data["train"]["text"]), list(data["train"]["label"]))
    work.tell(f"TF-IDF and logistic regression: {time.perf_counter() - started:.0f} s")
    found["tf-idf"] = simple.predict(texts)
    figures = {name: figures_of(labels, probabilities) for name, probabilities in found.items()}
    answers = {name: probabilities.argmax(axis=1) for name, probabilities in found.items()}
    return {
        "test": {
            name: {kind: of[kind] for kind in ("accuracy", "macro_f1", "log_loss")} for name, of in figures.items()
        },
        "against_tf_idf": {name: _difference(labels, answers[name], answers["tf-idf"]) for name in tuned},
    }


def _difference(
    labels: npt.NDArray[np.int64], own: npt.NDArray[np.int64], other: npt.NDArray[np.int64]
) -> dict[str, list[float]]:
    """[difference, lower bound, upper bound] of accuracy and of macro-F1; the bounds as the gate's, one-sided each."""
    confidence, n = GateConfig().confidence, len(labels)
    only_own = int(((own == labels) & (other != labels)).sum())
    only_other = int(((own != labels) & (other == labels)).sum())
    bounds = [bound(only_own, only_other, n, confidence) for bound in (intervals.lower_bound, intervals.upper_bound)]
    difference, lower, _ = intervals.macro_f1_difference(labels, own, other, 2, confidence)
    _, lower_of_other, _ = intervals.macro_f1_difference(labels, other, own, 2, confidence)
    return {"accuracy": [(only_own - only_other) / n, *bounds], "macro_f1": [difference, lower, -lower_of_other]}


def show(found: dict[str, Any]) -> None:
    """Writes the figures of the test rows as Markdown."""
    head = ("model", "accuracy", "macro-F1", "log loss", "accuracy − TF-IDF", "macro-F1 − TF-IDF")
    rows = []
    for name, of in found["test"].items():
        differences = found["against_tf_idf"].get(name)
        cells = [_points(differences[kind]) for kind in ("accuracy", "macro_f1")] if differences else ["–", "–"]
        rows.append([name, percent(of["accuracy"]), percent(of["macro_f1"]), number(of["log_loss"]), *cells])
    rate = GateConfig().confidence
    say(
        "",
        f"## Quality after {found['pretraining']['seconds']:.0f} s of pretraining on {found['device']}",
        "",
        f"{found['shape']}; {found['rows']['labelled']['test']:,} unseen reviews of ChnSentiCorp. In brackets: bounds "
        f"of the difference in points, each one-sided at {rate:.0%}.",
        "",
        *table(head, rows),
    )


def _points(values: Sequence[float]) -> str:
    middle, low, high = (f"{100 * value:+.1f}" for value in values)
    return f"{middle} [{low}, {high}]"


def main() -> None:
    options.quieten()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # heads that start random are no news
    parser = options.parser("python -m benchmarks.quality", __doc__)
    parser.add_argument("--minutes", type=float, default=3, help="of pretraining, about; default: %(default)s")
    parser.add_argument("--pretraining-rate", type=float, default=4e-4, help="peak learning rate; default: %(default)s")
    parser.add_argument("--pretraining-batch", type=options.whole, default=128, help="texts; default: %(default)s")
    parser.add_argument("--fine-tuning-rate", type=float, default=7e-5, help="peak learning rate; default: %(default)s")
    parser.add_argument("--control", action="store_true", help="fine-tunes the random weights too, for comparison")
    parser.add_argument(
        "--prepared", type=Path, metavar="FOLDER", help="the texts chosen there; chosen now if it is new"
    )
    parser.add_argument("--only-prepare", action="store_true", help="choose the texts for --prepared, and no more")
    arguments = parser.parse_args()
    if arguments.only_prepare:
        prepare(arguments.prepared, say)
        return
    described = machine.describe()
    if not arguments.json:
        say(*machine.lines(described), "")
    found = measure(arguments, log.info if arguments.json else say)
    if arguments.json:
        say(json.dumps({**described, "quality": found}, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
