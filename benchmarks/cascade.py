"""Measure a cascade of TF-IDF and a model: what it answers, how often its labels differ from fp32, and how fast it is.

    python -m benchmarks.cascade MODEL_FOLDER --texts FILE --labelled FILE

``--texts`` has a review in each line (.txt or .gz). They are drawn at random into three sets: to compare, to choose
thresholds, and to learn from. ``--labelled`` (CSV or TSV with the columns label and review) has the reviews for
calibration (one half) and for the quality (the other half); the model must not have been trained on them. The TF-IDF
of the table learns from ``--trained-on``, in the same format. All steps are functions of the product.
"""

import argparse
import csv
import json
import logging
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from benchmarks import machine, options
from benchmarks.tables import number, percent, print_lines, table
from senti_tasks.config import VariantConfig
from senti_tasks.judging import evaluation, intervals
from senti_tasks.judging.baseline import Baseline
from senti_tasks.labels import LabelSet
from senti_tasks.scoring import devices, loading
from senti_tasks.scoring.cascades.layout import Stage
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.scoring.scorer import Scorer
from senti_tasks.text import defect, normalise
from senti_tasks.training import cascades, variants

log = logging.getLogger(__name__)

SEED = 2026
Rows = tuple[list[str], np.ndarray]


def read_texts(path: Path) -> list[str]:
    """The usable reviews in a file with one a line, in random order, always the same."""
    with fsspec.open(str(path), "rt", encoding="utf-8", compression="infer") as lines:
        texts = [normalise(line) for line in lines if defect(line) is None]
    random.Random(SEED).shuffle(texts)  # noqa: S311 - a sample
    return texts


def read_labelled(path: Path) -> Rows:
    """The reviews and labels in a CSV or TSV file with the columns label and review, or label and text_a."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t" if path.suffix == ".tsv" else ","))
    usable = [(row.get("review") or row.get("text_a") or "", int(row["label"])) for row in rows]
    kept = [(normalise(text), label) for text, label in usable if defect(text) is None]
    random.Random(SEED).shuffle(kept)  # noqa: S311
    return [text for text, _ in kept], np.array([label for _, label in kept], dtype=np.int64)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs the measurement and returns the figures as JSON values."""
    limits = VariantConfig(max_disagreement=arguments.limit)
    texts = read_texts(arguments.texts)
    rows = min(limits.agreement_rows, len(texts) // 4)
    compared, chosen_on, learnt = texts[:rows], texts[rows : 2 * rows], texts[2 * rows :][: arguments.learn]
    labelled, truth = read_labelled(arguments.labelled)
    half = len(labelled) // 2
    names = json.loads((arguments.model / "config.json").read_text("utf-8"))["id2label"]
    label_set = LabelSet(tuple(names[str(label)] for label in range(len(names))))
    with tempfile.TemporaryDirectory(prefix="senti-benchmark-") as name:
        built = _built(arguments, Path(name), learnt[: limits.calibration_rows])
        load = {variant: partial(loading.load, folder, variant, arguments.device) for variant, folder in built.items()}
        found, speeds = {}, {}
        for variant, loaded in load.items():
            found[variant], speeds[variant] = _timed(loaded, compared, arguments.rounds)
        fastest = max(speeds, key=lambda variant: speeds[variant])
        fp32, last = load["fp32"](), load[fastest]()
        teacher = cascades.Teacher(
            Stage(cascades.TEACHER, arguments.model.name, fastest, 1.0), built[fastest], last, fp32
        )
        folder = Path(name) / "cascade"
        folder.mkdir()
        log.info("labelling %d reviews with %s", len(learnt), fastest)
        sets = (compared, found[fastest], found["fp32"])
        made = cascades.make(
            folder, teacher, learnt, chosen_on, sets, (labelled[:half], truth[:half]), label_set, limits
        )
        if made.cascade is not None:
            load["cascade"] = partial(loading.load, folder, "cascade", arguments.device)
            found["cascade"], speeds["cascade"] = _timed(load["cascade"], compared, arguments.rounds)
        judges = {variant: loaded() for variant, loaded in load.items()}
        if made.has_student:
            judges["student alone"] = loading.load(folder / cascades.STUDENT)
        unseen = labelled[half:]
        probabilities = {name: scorer.predict(unseen).probabilities for name, scorer in judges.items()}
    if arguments.trained_on is not None:
        known, labels = read_labelled(arguments.trained_on)
        probabilities["TF-IDF of people's labels"] = Baseline(len(names)).fit(known, labels).predict(unseen)
    return {
        "reviews": {"compared": rows, "chosen_on": len(chosen_on), "learnt_from": len(learnt)},
        "variants": [_figures(variant, found, speeds, limits) for variant in found],
        "limit": limits.max_disagreement,
        "last_stage": fastest,
        "quality": {"rows": len(unseen)}
        | {name: evaluation.measure(truth[half:], given)["macro_f1"] for name, given in probabilities.items()},
    }


def _built(arguments: argparse.Namespace, folder: Path, calibration: Sequence[str]) -> dict[str, Path]:
    """The folders of the variants of the model that this machine computes fast, fp32 among them."""
    built = {"fp32": arguments.model}
    for variant in devices.fastest_variants(arguments.device):
        if variant != "fp32":
            log.info("building %s", variant)
            builder = variants.builders(arguments.model, calibration, [], np.zeros(0, dtype=np.int64), 1.0)[variant][0]
            builder(folder / variant)
            built[variant] = folder / variant
    return built


def _timed(load: Callable[[], Scorer], texts: Sequence[str], rounds: int) -> tuple[Predictions, float]:
    """The predictions, and the median speed in reviews a second. Each round begins without remembered texts."""
    speeds = []
    for _ in range(rounds):
        scorer = load()
        scorer.predict(texts[:50])
        started = time.perf_counter()
        found = scorer.predict(texts)
        speeds.append(len(texts) / (time.perf_counter() - started))
    return found, float(np.median(speeds))


def _figures(
    variant: str, found: dict[str, Predictions], speeds: dict[str, float], limits: VariantConfig
) -> dict[str, Any]:
    stages = found[variant].stages
    differing, rows = variants.count_differing(found["fp32"], found[variant]), len(found["fp32"].labels)
    return {
        "variant": variant,
        "escalated_share": None if stages is None else float((stages > 0).mean()),
        "labels_differing": differing,
        "disagreement": differing / rows,
        "bound": intervals.share_upper_bound(differing, rows, limits.confidence),
        "reviews_per_second": speeds[variant],
    }


def show(results: dict[str, Any]) -> None:
    """Prints the figures as tables."""
    first = next(row for row in results["variants"] if row["variant"] == results["last_stage"])["reviews_per_second"]
    rows = [
        [
            row["variant"],
            percent(row["escalated_share"]),
            f"{100 * row['disagreement']:.2f} %",
            f"{100 * row['bound']:.2f} %",
            number(row["reviews_per_second"]),
            number(row["reviews_per_second"] / first),
        ]
        for row in results["variants"]
    ]
    head = ["variant", "escalated", "differing", "at most", "reviews/s", f"× {results['last_stage']}"]
    quality = [[name, f"{100 * value:.2f} %"] for name, value in results["quality"].items() if name != "rows"]
    print_lines(
        f"{results['reviews']['compared']:,} reviews compared; the limit is {100 * results['limit']:.2f} %; the first "
        f"stage learnt from {results['reviews']['learnt_from']:,}.",
        "",
        *table(head, rows),
        "",
        *table([f"macro-F1 on {results['quality']['rows']:,} reviews", ""], quality),
    )


def main() -> None:
    options.configure_logging()
    parser = argparse.ArgumentParser("python -m benchmarks.cascade", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="a classifier as save_pretrained writes it")
    parser.add_argument("--texts", type=Path, required=True, metavar="FILE", help="a review a line, .txt or .gz")
    parser.add_argument("--labelled", type=Path, required=True, metavar="FILE", help="unseen reviews with labels")
    parser.add_argument("--trained-on", type=Path, metavar="FILE", help="reviews with labels, for TF-IDF")
    parser.add_argument("--learn", type=options.positive_int, default=50_000, help="reviews to learn from, at most")
    parser.add_argument("--limit", type=float, default=VariantConfig().max_disagreement, help="default: %(default)s")
    parser.add_argument("--rounds", type=options.positive_int, default=3, help="default: %(default)s")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    arguments = parser.parse_args()
    description = machine.describe()
    results = measure(arguments)
    if arguments.json:
        print_lines(json.dumps({**description, "cascade": results}, indent=2))
        return
    print_lines(*machine.lines(description), "")
    show(results)


if __name__ == "__main__":
    main()
