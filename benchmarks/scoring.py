"""Measure scoring in reviews per second: this project's engine compared with tutorials and other engines.

All contenders score the same reviews with the same randomly initialised BERT classifier. They alternate round by round.
The input of a contender is texts, its output probabilities. The reviews are read from ``--reviews-long`` and
``--reviews-short``, else from ``$SENTI_REAL_DATA``; otherwise they are synthetic, with the same lengths.

    python -m benchmarks.scoring --mix long --rows 192
    python -m benchmarks.scoring --throughput
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, options
from benchmarks.comparison import Workload, compare
from benchmarks.contenders import Contender, Job
from benchmarks.lineup import lineup
from benchmarks.reviews import SEED, corpus
from benchmarks.tables import number, percent, print_lines, table
from benchmarks.workload import Shape, save_model
from senti_tasks.scoring.devices import device_named, fastest_variants
from senti_tasks.scoring.tokens import TextTokenizer

log = logging.getLogger(__name__)

_ROWS = {"cpu": 256, "cuda": 100_000}
_SLOW_ROWS = {"cpu": 48, "cuda": 2_048}
_CALIBRATION_ROWS = 300
_HEAD = (
    "contender", "reviews/s", "best", "tokens/s", "useful GFLOP/s", "of peak", "× tutorial", "× by CPU time",
    "same labels", "largest ΔP", "cores", "peak MB", "rise MB",
)  # fmt: skip


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures the selected contenders on each mix and returns the figures as JSON values.

    Raises ``SystemExit`` for an unknown contender.
    """
    device = device_named(arguments.device).type
    contenders = _select(arguments.only, device)
    shape = Shape(arguments.layers, arguments.hidden)
    return {
        "device": device,
        "shape": str(shape),
        "preferred_variants": fastest_variants(device),
        "rounds": arguments.rounds,
        "mixes": {
            mix: _measure(mix, arguments, contenders, shape, device) for mix in options.selected_mixes(arguments.mix)
        },
    }


def _measure(
    mix: str, arguments: argparse.Namespace, contenders: Sequence[Contender], shape: Shape, device: str
) -> dict[str, Any]:
    rows = arguments.rows or _ROWS[device]
    file = getattr(arguments, f"reviews_{mix}")
    source = corpus(mix, file, max(rows, _CALIBRATION_ROWS))
    texts = source.draw(rows)
    with tempfile.TemporaryDirectory(prefix="senti-benchmark-") as folder:
        model, variants = Path(folder) / "model", Path(folder) / "variants"
        variants.mkdir()
        vocabulary = save_model(model, shape, source.texts)
        lengths = TextTokenizer.load(model).encode(texts).lengths
        slow_rows = min(rows, arguments.slow_rows or max(_SLOW_ROWS[device], rows // 8))
        job = Job(model, variants, device, rows, float(lengths.mean()))
        calibration = source.draw(min(_CALIBRATION_ROWS, len(source.texts)), SEED + 1)
        log.info("%s: %d reviews, %s", mix, rows, source.source)
        figures = compare(contenders, job, shape, Workload(texts, lengths, slow_rows), calibration, arguments.rounds)
    quantiles = {f"p{share}": int(np.quantile(lengths, share / 100)) for share in (5, 50, 95)}
    return {
        "source": source.source,
        "vocabulary": vocabulary,
        "rows": rows,
        "slow_rows": slow_rows,
        "tokens": {"all": int(lengths.sum()), "mean": float(lengths.mean()), **quantiles, "max": int(lengths.max())},
        **figures,
    }


def _select(only: str | None, device: str) -> list[Contender]:
    """The contenders named in ``only``, separated by commas; all for ``None``. Raises ``SystemExit`` for others."""
    contenders = lineup(device)
    known = [contender.name for contender in contenders]
    wanted = known if only is None else only.split(",")
    if unknown := sorted(set(wanted) - set(known)):
        raise SystemExit(f"--only: expected contenders on {device} ({', '.join(known)}), found {','.join(unknown)}")
    return [contender for contender in contenders if contender.name in wanted]


def show(results: dict[str, Any]) -> None:
    """Prints the result of ``measure`` as Markdown."""
    print_lines(
        "",
        f"## Scoring on {results['device']}",
        "",
        f"{results['shape']}, random weights; rounds: {results['rounds']}. Variants that are fast on this device, the "
        f"fastest first (the default is the first): {', '.join(results['preferred_variants'])}.",
    )
    for mix, figures in results["mixes"].items():
        _show_mix(mix, figures)


def _show_mix(mix: str, figures: dict[str, Any]) -> None:
    tokens = figures["tokens"]
    lengths = ", ".join(f"{name} {value:.0f}" for name, value in tokens.items() if name != "all")
    peaks = ", ".join(f"{name} {number(peak)}" for name, peak in figures["peaks_gflops"].items())
    skipped = [one for one in figures["contenders"] if one["skipped"]]
    measured = [one for one in figures["contenders"] if not one["skipped"]]
    print_lines(
        "",
        f"### {mix}: {figures['rows']:,} reviews ({figures['source']}; {tokens['all']:,} tokens, per review: "
        f"{lengths}; vocabulary: {figures['vocabulary']})",
        "",
        *table(_HEAD, [_row(one) for one in measured]),
        "",
        *(f"- {one['name']}: skipped: {one['skipped']}" for one in skipped),
        *(f"- {one['name']}: {one['what']}, {one['rows']:,} reviews" for one in measured),
        f"- fastest square matrix product in this run, GFLOP/s (int8: ONNX Runtime's MatMulInteger): {peaks}",
    )
    if figures["bare_products"]:
        head = ("matrix products of the model alone, bf16: tokens per batch", "reviews/s", "tokens/s", "GFLOP/s")
        rows = [
            [
                f"{one['batch_tokens']:,}",
                *(number(one[key]) for key in ("reviews_per_second", "tokens_per_second", "gflops")),
            ]
            for one in figures["bare_products"]
        ]
        print_lines("", *table(head, rows))
    if figures["packed_padded_agreement"] is not None:
        agreement = percent(figures["packed_padded_agreement"])
        print_lines("", f"Texts with the same label packed and padded, both in bf16: {agreement}.")
    print_lines("", *_legend(figures))


def _row(one: dict[str, Any]) -> list[str]:
    per_second = one["reviews_per_second"]
    return [
        one["name"],
        number(per_second["median"]),
        number(per_second["best"]),
        number(one["tokens_per_second"]["median"]),
        number(one["useful_gflops"]["median"]),
        percent(one["share_of_peak"]),
        number(one["times_tutorial"]),
        number(one["times_tutorial_by_cpu_time"]),
        percent(one["agreement"]),
        "–" if one["largest_difference"] is None else f"{one['largest_difference']:.1g}",
        f"{one['cores']:.1f}",
        number(one["peak_memory_mb"]),
        number(one["memory_rise_mb"]),
    ]


def _legend(figures: dict[str, Any]) -> list[str]:
    spread = number(figures["spread"])
    return [
        f"- slow contenders (tutorial, pipeline; on CUDA also sorted-bf16) score a sample of {figures['slow_rows']:,}",
        "  reviews with the same distribution of lengths",
        "- figures are medians over the rounds; best and of peak are from the fastest round",
        "- useful GFLOP/s counts real tokens only, no padding; of peak: share of the fastest square matrix product",
        "- × tutorial: ratio of tokens per second, median over the rounds; × by CPU time: ratio of tokens per second",
        "  of CPU time, more reliable if other programs use the cores (on CUDA: CPU time of the host only)",
        "- cores: CPU seconds per second of wall time",
        "- same labels, largest ΔP: compared with the tutorial, on its sample. With random weights all texts get",
        f"  similar probabilities (standard deviation of P(positive): {spread}), so labels depend on tiny differences",
        "  or are all the same. Use these columns to find errors only: they do not show the effect on a trained model",
        "- peak MB: largest RSS of the contender's process; rise MB: the same without Python and its libraries; on",
        "  CUDA both are the memory that torch takes from the device",
    ]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that ``measure`` reads in addition to the shared ones."""
    parser.add_argument("--mix", choices=("long", "short", "both"), default="both")
    parser.add_argument("--only", metavar="NAME,...", help="measure these contenders only; default: all")
    parser.add_argument(
        "--slow-rows",
        type=options.positive_int,
        help="reviews for the slow contenders (tutorial, pipeline; on CUDA also sorted-bf16), at most --rows",
    )


def main() -> None:
    options.configure_logging()
    parser = options.build_parser("python -m benchmarks.scoring", __doc__)
    add_options(parser)
    parser.add_argument(
        "--throughput",
        action="store_true",
        help="use a tiny model instead, and measure how much of the tokenising runs in parallel with scoring",
    )
    arguments = parser.parse_args()
    description = machine.describe()
    if arguments.throughput:
        from benchmarks import throughput

        key, results, show_results = "throughput", throughput.measure(arguments), throughput.show
    else:
        key, results, show_results = "scoring", measure(arguments), show
    if arguments.json:
        print_lines(json.dumps({**description, key: results}, indent=2))
    else:
        print_lines(*machine.lines(description))
        show_results(results)


if __name__ == "__main__":
    main()
