"""The options that the measurements share."""

import argparse
import logging
import warnings
from pathlib import Path

from transformers.utils import logging as transformers_logging

from benchmarks.reviews import MIXES


def parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """A parser that knows them."""
    own = argparse.ArgumentParser(program, description=(description or "").partition("\n")[0])
    own.add_argument("--json", action="store_true", help="one JSON object in the place of tables")
    own.add_argument("--layers", type=whole, default=12, help="of the BERT; default: %(default)s")
    own.add_argument("--hidden", type=whole, default=768, help="width of the BERT; default: %(default)s")
    own.add_argument("--rows", type=whole, help="reviews; more than there are: combinations of them on top")
    own.add_argument(
        "--rounds", type=whole, default=3, help="times that each contender's turn comes; default: %(default)s"
    )
    own.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    own.add_argument("--reviews-long", type=Path, metavar="FILE", help="ChnSentiCorp's train.tsv, or a file like it")
    own.add_argument("--reviews-short", type=Path, metavar="FILE", help="waimai_10k.csv, or a file like it")
    return own


def whole(value: str) -> int:
    """The number that ``value`` spells, 1 or more."""
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {value}")
    return number


def mixes(chosen: str) -> tuple[str, ...]:
    return MIXES if chosen == "both" else (chosen,)


def quieten() -> None:
    """Progress to standard error; nothing of what libraries have to say but warnings."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("benchmarks").setLevel(logging.INFO)
    warnings.simplefilter("ignore")  # those of exporters, on what they do not see in a model
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
