"""Labels: their names, their numbers and their spellings in files. Only this module assigns numbers to names."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from senti_tasks.errors import ConfigError, quoted

_SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("negative", "neg", "负", "负面", "差评"),
    ("neutral", "neu", "中", "中性", "中评"),
    ("positive", "pos", "正", "正面", "好评"),
)
"""Groups of synonyms. If one of them is the name of a label, the others mean that label too."""


@dataclass(frozen=True)
class Spellings:
    """The meaning of the cells of a label column."""

    cells: Mapping[str, int | None]
    """Cell, in the form of ``_plain``, to label number; ``None`` means that the review has no label."""
    expected: str
    """The possible values of a cell, for error messages."""

    def parse(self, value: object) -> int | None:
        """The number of the label that ``value`` means, or ``None`` if the review has no label, as for blank text.

        Upper and lower case are the same, and so are 1, 1.0 and True. Raises ``ValueError`` for an unknown spelling.
        """
        spelling = _plain(value)
        if not spelling:
            return None
        if spelling not in self.cells:
            raise ValueError(f"label {quoted(value)} is not one of {self.expected}")
        return self.cells[spelling]


@dataclass(frozen=True)
class LabelSet:
    """The names of two or more labels, from the most negative to the most positive. A label's number is its position.

    The scores of reviews depend on this order. Raises ``ValueError`` if two names are the same when case is ignored, or
    if a name cannot stand in a comma-separated list.
    """

    ordered: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.ordered) < 2:
            raise ValueError(
                f"expected two names or more, from the most negative to the most positive, found {list(self.ordered)}"
            )
        for name in self.ordered:
            if name != name.strip() or not name.isprintable() or not name or set(name) & set(",="):
                raise ValueError(f"expected names without commas, equals signs and blanks around them, found {name!r}")
        if len({_plain(name) for name in self.ordered}) < len(self.ordered):
            raise ValueError(f"expected names that differ, also when case is ignored, found {', '.join(self.ordered)}")

    @classmethod
    def listed(cls, names: str) -> Self:
        """The labels in ``names``, which have commas between them."""
        return cls(tuple(name.strip() for name in names.split(",")))

    def __str__(self) -> str:
        return ",".join(self.ordered)

    @cached_property
    def names(self) -> dict[int, str]:
        """Label number to label name, as written into a checkpoint's ``id2label``."""
        return dict(enumerate(self.ordered))

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Label name to label number, as written into a checkpoint's ``label2id``."""
        return {name: number for number, name in self.names.items()}

    @cached_property
    def spellings(self) -> Spellings:
        """Names, synonyms and numbers. Without numbers if a name holds a digit: 1 could mean label 1 or "1 star"."""
        named: dict[str, int | None] = {_plain(name): number for name, number in self.numbers.items()}
        synonyms: dict[str, int | None] = {}
        for group in _SYNONYMS:
            meant = {named[name] for name in group if name in named}
            if len(meant) == 1:
                synonyms |= dict.fromkeys(group, *meant)
        if any(character.isdigit() for character in str(self)):
            return Spellings(synonyms | named, ", ".join(self.ordered))
        numbered = {str(number): number for number in self.names}
        expected = ", ".join(f"{number} ({name})" for number, name in self.names.items())
        return Spellings(synonyms | numbered | named, expected)

    def parse(self, value: object) -> int | None:
        """``Spellings.parse`` with the usual ``spellings``."""
        return self.spellings.parse(value)

    def mapped(self, label_map: str) -> Spellings:
        """The spellings in ``label_map`` and no others. Example: ``1=negative,2=negative,3=,4=positive``.

        Left of the equals sign is the value of a cell, right of it a label as ``parse`` reads it, or nothing if such
        reviews have no label. Raises ``ConfigError`` with the pair that is wrong.
        """
        cells: dict[str, int | None] = {}
        shown = []
        for pair in label_map.split(","):
            value, equals, label = pair.strip().rpartition("=")
            if not equals or not (spelling := _plain(value)):
                raise ConfigError(
                    f"--label-map holds {pair.strip()!r}: expected VALUE=LABEL with commas between, or VALUE= if such "
                    "reviews have no label; for example 1=negative,3=,5=positive"
                )
            try:
                meaning = self.parse(label)
            except ValueError as error:
                raise ConfigError(f"--label-map holds {pair.strip()!r}: {error}") from error
            if cells.setdefault(spelling, meaning) != meaning:
                raise ConfigError(f"--label-map gives {value.strip()!r} two meanings: leave one of them out")
            shown.append(value.strip())
        return Spellings(cells, f"{', '.join(shown)}, which --label-map names")


def _plain(value: object) -> str:
    """The form in which cells are compared: stripped, case-folded, whole numbers without ".0". Empty stays empty."""
    if value is None or value != value:  # NaN means "empty" in pandas and Parquet files
        return ""
    if isinstance(value, bool | float) and float(value).is_integer():
        value = int(value)
    spelling = str(value).strip().casefold()
    whole = spelling.removesuffix(".0")  # pandas turns whole numbers in a column with gaps into 1.0
    return whole if whole.removeprefix("-").isdecimal() else spelling


DEFAULT = LabelSet(("negative", "positive"))
