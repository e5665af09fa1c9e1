"""Measure the quality of a classifier that is trained in a few minutes from random weights, compared with TF-IDF.

A BERT with random weights is pretrained on unlabelled reviews for about ``--minutes``, then fine-tuned on ChnSentiCorp.
The baseline is TF-IDF with logistic regression. Both are measured on the same unseen test rows. All steps are functions
of the product: the splits, the selection of unlabelled reviews, both trainings, the scorer and the intervals.

    SENTI_REAL_DATA=FOLDER python -m benchmarks.quality --minutes 3

Preparing the texts takes half a minute and needs no GPU. ``--only-prepare --prepared FOLDER`` does it in advance. For
the files in SENTI_REAL_DATA see benchmarks/quality_texts.py.
"""

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers.utils import logging as transformers_logging

from benchmarks import machine, options, quality_texts
from benchmarks.quality_texts import ENCODER, MAX_LENGTH
from benchmarks.reviews import SEED
from benchmarks.tables import number, percent, print_lines, table
from benchmarks.workload import LONGEST, Shape, save_masked_lm
from senti_tasks.config import GateConfig, PretrainConfig, TrainConfig
from senti_tasks.corpus import snapshot as corpora
from senti_tasks.corpus.unlabelled import UnlabelledText
from senti_tasks.judging import evaluation, intervals
from senti_tasks.judging.baseline import Baseline
from senti_tasks.scoring import loading
from senti_tasks.scoring.devices import device_named
from senti_tasks.training import fine_tuning, pretraining
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer

log = logging.getLogger(__name__)

_PROBE_STEPS = 20
_PRETRAINING: dict[str, Any] = {
    "max_length": MAX_LENGTH,
    "warmup_fraction": 0.1,
    "dropout": 0.0,  # with so few steps the model sees each text only a few times, so it cannot overfit
    "seed": SEED,
}
_FINE_TUNING: dict[str, Any] = {
    "max_length": MAX_LENGTH,
    "batch_size": 32,
    "epochs": 4,
    "patience": 4,
    "dropout": 0.1,
    "seed": SEED,
}

Progress = Callable[[str], object]
"""Writes one line of progress."""


@dataclass(frozen=True)
class _Workspace:
    """The folders and the device of a measurement."""

    folder: Path
    """Temporary files of the measurement."""
    prepared: Path
    """The folder that ``quality_texts.prepare`` fills."""
    device: str
    """``cpu`` or ``cuda``."""
    progress: Progress

    @property
    def base(self) -> Path:
        """Random weights and a tokenizer, in the format of ``save_pretrained``."""
        return self.folder / "base"

    @property
    def corpus(self) -> Path:
        return self.prepared / quality_texts.CORPUS


def measure(arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Runs the measurement and returns the figures as JSON values. Raises ``SystemExit`` if the data is missing."""
    with tempfile.TemporaryDirectory(prefix="senti-benchmark-") as name:
        device = device_named(arguments.device).type
        space = _Workspace(Path(name), arguments.prepared or Path(name), device, progress)
        shape = Shape(arguments.layers, arguments.hidden)
        if not quality_texts.is_prepared(space.prepared):
            quality_texts.prepare(space.prepared, progress)
        texts, rows = quality_texts.load(space.prepared)
        save_masked_lm(space.base, shape, build_tokenizer([one.text for one in texts], LONGEST))
        pretrained = _pretrain(
            space, texts, 60 * arguments.minutes, arguments.pretraining_rate, arguments.pretraining_batch
        )
        bases: dict[str, tuple[str, Path | None]] = {"pretrained": (ENCODER, space.folder / "encoder")}
        if arguments.control:
            bases["random"] = (str(space.base), None)
        tuned = {
            name: _fine_tune(space, name, base, encoder, arguments.fine_tuning_rate)
            for name, (base, encoder) in bases.items()
        }
        return {
            "device": device,
            "shape": f"BERT: layers {shape.layers}, width {shape.hidden}, heads {shape.heads}",
            "rows": rows,
            "pretraining": pretrained,
            "fine_tuning": tuned,
            **_evaluate(space, list(tuned)),
        }


def _pretrain(
    space: _Workspace, texts: Sequence[UnlabelledText], seconds: float, rate: float, batch: int
) -> dict[str, Any]:
    """Pretrains for about ``seconds``: as many whole epochs as fit, or one epoch on fewer texts if none fits.

    ``rate`` is the peak learning rate and ``batch`` the number of texts per step.
    """
    config = {**_PRETRAINING, "learning_rate": rate, "batch_size": batch}
    probe = texts[: _PROBE_STEPS * batch]
    probe_epoch, overhead = _probe(space, probe, PretrainConfig.from_json({**config, "epochs": 2}))
    full_epoch = probe_epoch * len(texts) / len(probe) + overhead  # seconds of an epoch of all texts
    epochs = max(1, int(seconds / full_epoch))
    used = texts
    if full_epoch > seconds:
        used = texts[: max(len(probe), int(len(probe) * (seconds - overhead) / probe_epoch))]
    expected = epochs * full_epoch * len(used) / len(texts)
    space.progress(f"pretraining: {epochs} epochs of {len(used):,} texts, {expected:.0f} s expected")
    folder = space.folder / "texts"
    tokens = quality_texts.write(folder, used, space.base)
    last = time.perf_counter()

    def report(row: dict[str, Any]) -> None:
        nonlocal last
        epoch_seconds, last = time.perf_counter() - last, time.perf_counter()
        speed = f", {epoch_seconds:.1f} s, {tokens / epoch_seconds:,.0f} tokens/s" if row["epoch"] else ""
        figures = f"loss {row['loss']:.3f}, accuracy on masked tokens {percent(row['accuracy'])}"
        space.progress(f"pretraining, epoch {row['epoch']}: {figures}{speed}")

    final = PretrainConfig.from_json({**config, "epochs": epochs})
    checkpoints, encoder = space.folder / "checkpoints", space.folder / "encoder"
    result = pretraining.pretrain(folder, str(space.base), final, checkpoints, encoder, report, space.device)
    total = result["seconds"]
    space.progress(f"pretraining: {total:.0f} s, {epochs * tokens / total:,.0f} tokens/s, evaluations included")
    return {
        "config": final.to_json(),
        "texts": result["texts"],
        "tokens_per_epoch": tokens,
        "steps": result["steps"],
        "seconds": total,
        "history": result["history"],
    }


def _probe(space: _Workspace, texts: Sequence[UnlabelledText], config: PretrainConfig) -> tuple[float, float]:
    """Seconds of the second epoch of ``texts`` with its evaluation, and of the work after it, such as a checkpoint.

    The first epoch includes the start of the device and the recording of the graphs.
    """
    timestamps: list[float] = []
    with tempfile.TemporaryDirectory(dir=space.folder) as name:
        folder = Path(name)
        quality_texts.write(folder / "texts", texts, space.base)
        pretraining.pretrain(
            folder / "texts",
            str(space.base),
            config,
            folder / "checkpoints",
            folder / "encoder",
            report=lambda row: timestamps.append(time.perf_counter()),
            device=space.device,
        )
        ended = time.perf_counter()
    _, before_epoch, after_epoch = timestamps
    overhead = ended - after_epoch  # after the first epoch too
    return after_epoch - before_epoch - overhead, overhead


def _fine_tune(space: _Workspace, name: str, base: str, encoder: Path | None, rate: float) -> dict[str, Any]:
    """Fine-tunes ``base`` and writes the classifier into ``space.folder / name``.

    If ``encoder`` is given, it is the folder of the pretrained weights, and ``base`` is their name.
    """

    def report(row: dict[str, Any]) -> None:
        space.progress(
            f"fine-tuning, {name}, epoch {row['epoch']}: training loss {row['train_loss']:.3f}, validation accuracy "
            f"{percent(row['accuracy'])}, macro-F1 {percent(row['macro_f1'])}"
        )

    config = TrainConfig.from_json({**_FINE_TUNING, "learning_rate": rate})
    checkpoints, output = space.folder / "checkpoints", space.folder / name
    result = fine_tuning.train(
        space.corpus, base, config, checkpoints, output, report, space.device, base_folder=encoder
    )
    space.progress(f"fine-tuning, {name}: {result['steps']} steps, {result['seconds']:.0f} s, evaluations included")
    return {field: result[field] for field in ("config", "steps", "seconds", "best_epoch", "history")}


def _evaluate(space: _Workspace, tuned: Sequence[str]) -> dict[str, Any]:
    """The figures of each model and of TF-IDF on the test rows, and each model's difference from TF-IDF."""
    data = corpora.load(space.corpus)
    texts, labels = list(data["test"]["text"]), np.asarray(data["test"]["label"])
    probabilities = {
        name: loading.load(space.folder / name, device=space.device).predict(texts).complete for name in tuned
    }
    started = time.perf_counter()
    baseline = Baseline().fit(list(data["train"]["text"]), list(data["train"]["label"]))
    space.progress(f"TF-IDF and logistic regression: {time.perf_counter() - started:.0f} s")
    probabilities["tf-idf"] = baseline.predict(texts)
    figures = {name: evaluation.measure(labels, array) for name, array in probabilities.items()}
    predicted = {name: array.argmax(axis=1) for name, array in probabilities.items()}
    return {
        "test": {
            name: {kind: of[kind] for kind in ("accuracy", "macro_f1", "log_loss")} for name, of in figures.items()
        },
        "against_tf_idf": {name: _difference(labels, predicted[name], predicted["tf-idf"]) for name in tuned},
    }


def _difference(
    labels: npt.NDArray[np.int64], own: npt.NDArray[np.int64], other: npt.NDArray[np.int64]
) -> dict[str, list[float]]:
    """How much better ``own`` is than ``other``: [difference, lower bound, upper bound] of accuracy and macro-F1.

    The three arrays are labels of the same rows: (n,), int64. The bounds are one-sided, at the gate's confidence.
    """
    confidence, n = GateConfig().confidence, len(labels)
    only_own = int(((own == labels) & (other != labels)).sum())
    only_other = int(((own != labels) & (other == labels)).sum())
    bounds = [bound(only_own, only_other, n, confidence) for bound in (intervals.lower_bound, intervals.upper_bound)]
    difference, lower, _ = intervals.macro_f1_difference(labels, own, other, 2, confidence)
    # The upper bound is the negative of the lower bound of the reversed difference.
    _, reversed_lower, _ = intervals.macro_f1_difference(labels, other, own, 2, confidence)
    return {"accuracy": [(only_own - only_other) / n, *bounds], "macro_f1": [difference, lower, -reversed_lower]}


def show(results: dict[str, Any]) -> None:
    """Prints the figures on the test rows as Markdown."""
    head = ("model", "accuracy", "macro-F1", "log loss", "accuracy − TF-IDF", "macro-F1 − TF-IDF")
    rows = []
    for name, of in results["test"].items():
        differences = results["against_tf_idf"].get(name)
        cells = [_points(differences[kind]) for kind in ("accuracy", "macro_f1")] if differences else ["–", "–"]
        rows.append([name, percent(of["accuracy"]), percent(of["macro_f1"]), number(of["log_loss"]), *cells])
    print_lines(
        "",
        f"## Quality after {results['pretraining']['seconds']:.0f} s of pretraining on {results['device']}",
        "",
        f"{results['shape']}; {results['rows']['labelled']['test']:,} unseen reviews of ChnSentiCorp. Differences are "
        f"in percentage points, in brackets their bounds, each one-sided at {GateConfig().confidence:.0%}.",
        "",
        *table(head, rows),
    )


def _points(values: Sequence[float]) -> str:
    """[difference, lower bound, upper bound], as shares, in percentage points."""
    middle, low, high = (f"{100 * value:+.1f}" for value in values)
    return f"{middle} [{low}, {high}]"


def main() -> None:
    options.configure_logging()
    # transformers warns that the classifier's head starts with random weights, which is intended.
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    parser = options.build_parser("python -m benchmarks.quality", __doc__)
    parser.add_argument(
        "--minutes", type=float, default=3, help="approximate time of pretraining; default: %(default)s"
    )
    parser.add_argument("--pretraining-rate", type=float, default=4e-4, help="peak learning rate; default: %(default)s")
    parser.add_argument(
        "--pretraining-batch", type=options.positive_int, default=128, help="texts per step; default: %(default)s"
    )
    parser.add_argument("--fine-tuning-rate", type=float, default=7e-5, help="peak learning rate; default: %(default)s")
    parser.add_argument("--control", action="store_true", help="also fine-tune the random weights, for comparison")
    parser.add_argument(
        "--prepared", type=Path, metavar="FOLDER", help="folder of prepared texts; filled now if it has none"
    )
    parser.add_argument("--only-prepare", action="store_true", help="prepare the texts in --prepared, then stop")
    arguments = parser.parse_args()
    if arguments.only_prepare:
        quality_texts.prepare(arguments.prepared, print_lines)
        return
    description = machine.describe()
    if not arguments.json:
        print_lines(*machine.lines(description), "")
    results = measure(arguments, log.info if arguments.json else print_lines)
    if arguments.json:
        print_lines(json.dumps({**description, "quality": results}, indent=2))
    else:
        show(results)


if __name__ == "__main__":
    main()
