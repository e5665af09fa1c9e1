"""The reviews that measurements are taken on: real ones where they are at hand, else made up to the same lengths.

Real texts belong to their authors: they stay in memory, and go to other processes through pipes.
"""

import csv
import gzip
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from senti_tasks.text import defect, normalise

SEED = 2026
MIXES = ("long", "short")
_FILES = {"long": "chnsenticorp/train.tsv", "short": "waimai_10k.csv"}
_COLUMNS = ("text_a", "review", "text")
# Lognormal lengths in characters: median and spread. Long: mean 113, 95 % under 275, up to 1,500, as ChnSentiCorp has
# them. Short: mean 25, as Waimai has them.
_LENGTHS = {"long": (90, 0.68, 1_500), "short": (20, 0.67, 460)}
_OWN = Path(__file__).parents[1] / "local" / "reviews.csv"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Reviews to draw from."""

    source: str
    """Where they are from, in words; it says ``synthetic`` when they are made up."""
    texts: list[str]
    """Normalised, none blank, all different, in the order of the source."""

    def draw(self, rows: int, seed: int = SEED) -> list[str]:
        """``rows`` different texts in random order. Where there are too few, combinations of two come on top."""
        random = np.random.default_rng(seed)
        drawn = [self.texts[at] for at in random.permutation(len(self.texts))[:rows].tolist()]
        if len(drawn) < rows:
            drawn = _first_different([*drawn, *_combinations(self.texts, random, 2 * rows + 100)], rows)
            drawn = [drawn[at] for at in random.permutation(len(drawn)).tolist()]
        if len(drawn) < rows:
            raise SystemExit(f"{self.source}: {len(self.texts)} different reviews are too few to make {rows} of them")
        return drawn


def corpus(mix: str, file: Path | None = None, rows: int = 1_000) -> Corpus:
    """Reviews of the mix ``long`` or ``short``: of ``file``, else of $SENTI_REAL_DATA, else ``rows`` made-up ones.

    A .tsv file has no quotes, a .csv file has; the texts are in the column text_a, review or text.
    """
    if file is None and (real := os.environ.get("SENTI_REAL_DATA")):
        file = Path(real) / _FILES[mix]
    if file is None:
        return Corpus(f"synthetic, lengths as in {_FILES[mix]}", synthetic(mix, rows))
    return Corpus(f"real, {file.name}", _first_different(_column_of(file)))


def unlabelled(rows: int) -> Corpus:
    """The mixed reviews of $SENTI_REAL_DATA/unlabelled.txt.gz (mean 45 characters), else ``rows`` made-up ones."""
    if real := os.environ.get("SENTI_REAL_DATA"):
        with gzip.open(Path(real) / "unlabelled.txt.gz", "rt", encoding="utf-8") as file:
            return Corpus("real, unlabelled.txt.gz", _first_different(file))
    half = rows // 2
    return Corpus("synthetic, half long and half short", [*synthetic("short", rows - half), *synthetic("long", half)])


def synthetic(mix: str, rows: int, seed: int = SEED) -> list[str]:
    """``rows`` different strings with the lengths of ``mix``, of the characters of local/reviews.csv at random."""
    with _OWN.open(encoding="utf-8", newline="") as file:
        characters = np.array(list("".join(row["review"] for row in csv.DictReader(file))))
    median, spread, longest = _LENGTHS[mix]
    random = np.random.default_rng([seed, MIXES.index(mix)])

    def made() -> Iterator[str]:
        while True:
            length = int(np.clip(median * np.exp(spread * random.standard_normal()), 4, longest))
            yield "".join(random.choice(characters, length))

    return _first_different(made(), rows)


def thinned(lengths: npt.NDArray[np.int64], rows: int, seed: int = SEED) -> npt.NDArray[np.int64]:
    """Positions of ``rows`` texts, in order, whose lengths are distributed as those of all.

    A systematic sample: sorted by length, one at random out of each of ``rows`` neighbourhoods of like size.
    """
    borders = np.arange(rows + 1) * len(lengths) // rows
    chosen = np.random.default_rng(seed).integers(borders[:-1], borders[1:])
    return np.sort(np.argsort(lengths, kind="stable")[chosen])


def _column_of(file: Path) -> Iterator[str]:
    tabs = file.suffix == ".tsv"
    with file.open(encoding="utf-8-sig", newline="") as opened:
        rows = csv.DictReader(
            opened, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
        )
        column = next((name for name in _COLUMNS if name in (rows.fieldnames or ())), None)
        if column is None:
            raise SystemExit(f"{file} has the columns {rows.fieldnames}: expected one of {', '.join(_COLUMNS)}")
        for row in rows:
            yield row[column] or ""


def _first_different(texts: Iterable[str], most: int | None = None) -> list[str]:
    """Normalised, without blank ones and those that differ from one before in upper and lower case alone."""
    kept: dict[str, str] = {}
    for text in texts:
        if most is not None and len(kept) == most:
            break
        if defect(text) is None:
            clean = normalise(text)
            kept.setdefault(clean.lower(), clean)
    return list(kept.values())


def _combinations(texts: Sequence[str], random: np.random.Generator, count: int) -> Iterator[str]:
    """The first half of one text and the second half of another: lengths are distributed much as before."""
    for one, other in random.integers(len(texts), size=(count, 2)).tolist():
        first, second = texts[one], texts[other]
        yield first[: (len(first) + 1) // 2] + second[len(second) // 2 :]
