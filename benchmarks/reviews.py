"""The reviews of a measurement: real ones if a file is given, else synthetic ones with the same lengths.

Real texts belong to their authors: this module keeps them in memory only, and workers get them through pipes.
"""

import csv
import gzip
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from local import sample
from senti_tasks.text import defect, normalise

SEED = 2026
MIXES = ("long", "short")
_FILES = {"long": "chnsenticorp/train.tsv", "short": "waimai_10k.csv"}
_COLUMNS = ("text_a", "review", "text")
# Log-normal lengths in characters: median, sigma and maximum. Long is fitted to ChnSentiCorp (mean 113, 95 % below 275,
# up to 1,500), short to waimai_10k (mean 25).
_LENGTHS = {"long": (90, 0.68, 1_500), "short": (20, 0.67, 460)}


@dataclass(frozen=True, slots=True)
class Corpus:
    """A source of reviews."""

    source: str
    """A description of the source. It starts with ``real`` or ``synthetic``."""
    texts: list[str]
    """Normalised, not blank, all different, in the order of the source."""

    def draw(self, rows: int, seed: int = SEED) -> list[str]:
        """``rows`` different texts in random order.

        If the source has fewer, the rest are combinations of two texts. Raises ``SystemExit`` if that is not enough.
        """
        random = np.random.default_rng(seed)
        drawn = [self.texts[at] for at in random.permutation(len(self.texts))[:rows].tolist()]
        if len(drawn) < rows:
            drawn = _first_different([*drawn, *_combinations(self.texts, random, 2 * rows + 100)], rows)
            drawn = [drawn[at] for at in random.permutation(len(drawn)).tolist()]
        if len(drawn) < rows:
            raise SystemExit(
                f"{self.source}: expected enough reviews to combine into {rows}, found {len(self.texts)}: lower --rows"
            )
        return drawn


def corpus(mix: str, file: Path | None = None, rows: int = 1_000) -> Corpus:
    """The reviews of a mix (``long`` or ``short``).

    They are read from ``file``, else from $SENTI_REAL_DATA; without either they are ``rows`` synthetic reviews. A .tsv
    file is read without quotes, a .csv file with quotes. The texts are in the column text_a, review or text.
    """
    if file is None and (real := os.environ.get("SENTI_REAL_DATA")):
        file = Path(real) / _FILES[mix]
    if file is None:
        return Corpus(f"synthetic, lengths as in {_FILES[mix]}", synthetic(mix, rows))
    return Corpus(f"real, {file.name}", _first_different(_column_of(file)))


def unlabelled(rows: int) -> Corpus:
    """All reviews of $SENTI_REAL_DATA/unlabelled.txt.gz (mean 45 characters), else ``rows`` synthetic ones."""
    if real := os.environ.get("SENTI_REAL_DATA"):
        with gzip.open(Path(real) / "unlabelled.txt.gz", "rt", encoding="utf-8") as file:
            return Corpus("real, unlabelled.txt.gz", _first_different(file))
    half = rows // 2
    return Corpus("synthetic, half long and half short", [*synthetic("short", rows - half), *synthetic("long", half)])


def synthetic(mix: str, rows: int, seed: int = SEED) -> list[str]:
    """``rows`` different strings of random characters from local/sample.py, with the lengths of ``mix``."""
    characters = np.array(list("".join(one.review for one in sample.reviews(600))))
    median, sigma, longest = _LENGTHS[mix]
    random = np.random.default_rng([seed, MIXES.index(mix)])

    def strings() -> Iterator[str]:
        while True:
            length = int(np.clip(median * np.exp(sigma * random.standard_normal()), 4, longest))
            yield "".join(random.choice(characters, length))

    return _first_different(strings(), rows)


def sample_by_length(lengths: npt.NDArray[np.int64], rows: int, seed: int = SEED) -> npt.NDArray[np.int64]:
    """Positions of a sample of ``rows`` texts with the same distribution of lengths: (rows,), int64, ascending.

    ``lengths`` are those of all texts: (n,), int64, n at least ``rows``. The texts are sorted by length and divided
    into ``rows`` groups of equal size; one text is drawn at random from each group.
    """
    borders = np.arange(rows + 1) * len(lengths) // rows
    chosen = np.random.default_rng(seed).integers(borders[:-1], borders[1:])
    return np.sort(np.argsort(lengths, kind="stable")[chosen])


def _column_of(file: Path) -> Iterator[str]:
    """The texts of ``file``, in order. Raises ``SystemExit`` if no column has one of the expected names."""
    tabs = file.suffix == ".tsv"
    with file.open(encoding="utf-8-sig", newline="") as opened:
        rows = csv.DictReader(
            opened, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
        )
        column = next((name for name in _COLUMNS if name in (rows.fieldnames or ())), None)
        if column is None:
            raise SystemExit(f"{file}: expected a column {' or '.join(_COLUMNS)}, found {rows.fieldnames}")
        for row in rows:
            yield row[column] or ""


def _first_different(texts: Iterable[str], most: int | None = None) -> list[str]:
    """The first ``most`` different texts (all for ``None``), normalised, in order.

    Blank or unusable texts are left out. Texts that differ only in upper and lower case count as the same.
    """
    kept: dict[str, str] = {}
    for text in texts:
        if most is not None and len(kept) == most:
            break
        if defect(text) is None:
            clean = normalise(text)
            kept.setdefault(clean.lower(), clean)
    return list(kept.values())


def _combinations(texts: Sequence[str], random: np.random.Generator, count: int) -> Iterator[str]:
    """``count`` random combinations: the first half of one text and the second half of another.

    The distribution of lengths stays about the same.
    """
    for one, other in random.integers(len(texts), size=(count, 2)).tolist():
        first, second = texts[one], texts[other]
        yield first[: (len(first) + 1) // 2] + second[len(second) // 2 :]
