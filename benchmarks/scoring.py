"""How many reviews a second this machine scores: this project's engine beside what tutorials and other engines do.

All contenders score the same reviews with the same randomly initialised BERT classifier, in turns, round by round; each
starts at the texts and ends at probabilities. Files: ``--reviews-long`` and ``--reviews-short``, else those below
``$SENTI_REAL_DATA``, else synthetic reviews with the same lengths.

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
from benchmarks.tables import number, percent, say, table
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
    """The figures of each mix that is asked for."""
    device = device_named(arguments.device).type
    contenders = _chosen(arguments.only, device)
    shape = Shape(arguments.layers, arguments.hidden)
    return {
        "device": device,
        "shape": str(shape),
        "preferred_forms": fastest_variants(device),
        "rounds": arguments.rounds,
        "mixes": {mix: _measure(mix, arguments, contenders, shape, device) for mix in options.mixes(arguments.mix)},
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
        found = compare(contenders, job, shape, Workload(texts, lengths, slow_rows), calibration, arguments.rounds)
    quantiles = {f"p{share}": int(np.quantile(lengths, share / 100)) for share in (5, 50, 95)}
    return {
        "source": source.source,
        "vocabulary": vocabulary,
        "rows": rows,
        "slow_rows": slow_rows,
        "tokens": {"all": int(lengths.sum()), "mean": float(lengths.mean()), **quantiles, "max": int(lengths.max())},
        **found,
    }


def _chosen(only: str | None, device: str) -> list[Contender]:
    contenders = lineup(device)
    known = [contender.name for contender in contenders]
    wanted = known if only is None else only.split(",")
    if unknown := sorted(set(wanted) - set(known)):
        raise SystemExit(f"--only {','.join(unknown)}: on {device} the contenders are {', '.join(known)}")
    return [contender for contender in contenders if contender.name in wanted]


def show(found: dict[str, Any]) -> None:
    """Writes the figures as Markdown."""
    say(
        "",
        f"## Scoring on {found['device']}",
        "",
        f"{found['shape']}, random weights; rounds: {found['rounds']}. Left to choose, this engine takes the first of: "
        f"{', '.join(found['preferred_forms'])}.",
    )
    for mix, of in found["mixes"].items():
        tokens = of["tokens"]
        lengths = ", ".join(f"{name} {value:.0f}" for name, value in tokens.items() if name != "all")
        peaks = ", ".join(f"{name} {number(peak)}" for name, peak in of["peaks_gflops"].items())
        say(
            "",
            f"### {mix}: {of['rows']:,} reviews ({of['source']}; {tokens['all']:,} tokens: {lengths}; "
            f"vocabulary {of['vocabulary']})",
            "",
            *table(_HEAD, [_row(one) for one in of["contenders"] if not one["skipped"]]),
            "",
            *(f"- {one['name']}: skipped: {one['skipped']}" for one in of["contenders"] if one["skipped"]),
            *(
                f"- {one['name']}: {one['what']}, {one['rows']:,} reviews"
                for one in of["contenders"]
                if not one["skipped"]
            ),
            f"- best square matrix product of the same run, GFLOP/s (int8: ONNX Runtime's MatMulInteger): {peaks}",
        )
        if of["bare_products"]:
            head = ("bare products in bf16, tokens a batch", "reviews/s", "tokens/s", "GFLOP/s")
            rows = [
                [
                    f"{one['batch_tokens']:,}",
                    *(number(one[key]) for key in ("reviews_per_second", "tokens_per_second", "gflops")),
                ]
                for one in of["bare_products"]
            ]
            say("", *table(head, rows))
        if of["packed_padded_agreement"] is not None:
            say("", f"Same label packed and padded, both in bf16: {percent(of['packed_padded_agreement'])}.")
        say("", *_legend(of))


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


def _legend(of: dict[str, Any]) -> list[str]:
    spread = number(of["spread"])
    return [
        f"- tutorial and pipeline score a sample of {of['slow_rows']:,} of the reviews, drawn evenly over their length",
        "- figures are medians of the rounds; best and of peak are of the best round; useful counts real tokens only",
        "- × tutorial: tokens a second, round by round; × by CPU time: tokens a CPU second, which says more where",
        "  others use the cores too (on CUDA it is the host's alone); cores: CPU seconds a second",
        "- same labels and ΔP: against the tutorial, on its sample. With random weights all texts look alike",
        f"  (P(positive) has a standard deviation of {spread}): labels hang on tiny differences or are all the same:",
        "  agreement says that nothing is broken, and nothing about a trained model",
        "- MB: of the contender's own process (RSS), rise without Python and its libraries; on CUDA, torch's there",
    ]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What ``measure`` reads beside the shared options."""
    parser.add_argument("--mix", choices=("long", "short", "both"), default="both")
    parser.add_argument("--only", metavar="NAME,...", help="these contenders alone")
    parser.add_argument(
        "--slow-rows", type=options.whole, help="reviews that tutorial and pipeline get, at most --rows"
    )


def main() -> None:
    options.quieten()
    parser = options.parser("python -m benchmarks.scoring", __doc__)
    add_options(parser)
    parser.add_argument("--throughput", action="store_true", help="a tiny model: how well tokenising is hidden")
    arguments = parser.parse_args()
    described = machine.describe()
    if arguments.throughput:
        from benchmarks import throughput

        key, found, show_it = "throughput", throughput.measure(arguments), throughput.show
    else:
        key, found, show_it = "scoring", measure(arguments), show
    if arguments.json:
        say(json.dumps({**described, key: found}, indent=2))
    else:
        say(*machine.lines(described))
        show_it(found)


if __name__ == "__main__":
    main()
