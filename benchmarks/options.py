"""Command-line options and logging that all measurements share."""

import argparse
import logging
import warnings
from pathlib import Path

from transformers.utils import logging as transformers_logging

from benchmarks.reviews import MIXES


def build_parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the shared options. The help text shows the first line of ``description``."""
    parser = argparse.ArgumentParser(program, description=(description or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--layers", type=positive_int, default=12, help="layers of the BERT; default: %(default)s")
    parser.add_argument("--hidden", type=positive_int, default=768, help="width of the BERT; default: %(default)s")
    parser.add_argument(
        "--rows",
        type=positive_int,
        help="number of reviews; if the source has fewer, the rest are combinations of two; default: by device",
    )
    parser.add_argument(
        "--rounds", type=positive_int, default=3, help="times that each contender is measured; default: %(default)s"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--reviews-long", type=Path, metavar="FILE", help="long reviews: ChnSentiCorp's train.tsv, or the same format"
    )
    parser.add_argument(
        "--reviews-short", type=Path, metavar="FILE", help="short reviews: waimai_10k.csv, or the same format"
    )
    return parser


def positive_int(value: str) -> int:
    """``value`` as an integer, for argparse. Raises ``argparse.ArgumentTypeError`` below 1."""
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {value}")
    return number


def selected_mixes(choice: str) -> tuple[str, ...]:
    """The mixes that a value of ``--mix`` stands for: ``long``, ``short`` or ``both``."""
    return MIXES if choice == "both" else (choice,)


def configure_logging() -> None:
    """Logs progress of the benchmarks to standard error, and only warnings of other libraries."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("benchmarks").setLevel(logging.INFO)
    warnings.simplefilter("ignore")  # model exporters warn about each operation that they cannot trace
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
