"""Labels: what they are called, and how files spell them. Here they get their numbers, and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from senti_tasks.errors import ConfigError

_ALIKE: tuple[tuple[str, ...], ...] = (
    ("negative", "neg", "负", "负面", "差评"),
    ("neutral", "neu", "中", "中性", "中评"),
    ("positive", "pos", "正", "正面", "好评"),
)
"""Spellings of one thing: where one of them is a label's name, the others mean that label too."""


@dataclass(frozen=True)
class Spellings:
    """What the cells of a label column mean."""

    cells: Mapping[str, int | None]
    """Cell, as ``_plain`` has it, to label number; ``None``: it says that nobody has labelled the review."""
    expected: str
    """What a cell may hold, for messages."""

    def parse(self, value: object) -> int | None:
        """The label that ``value`` spells, in any case; of numbers, 1, 1.0 and True are the same.

        ``None`` and blank text mean that nobody has labelled the review. Raises ``ValueError`` with what was expected.
        """
        spelling = _plain(value)
        if not spelling:
            return None
        if spelling not in self.cells:
            raise ValueError(f"label {str(value)[:40]!r} is not one of {self.expected}")
        return self.cells[spelling]


@dataclass(frozen=True)
class LabelSet:
    """Names of labels, two or more, from the most negative to the most positive: a label's number is its place.

    ``score`` rests on that order. Raises ``ValueError`` when the names cannot be told apart or written in a list.
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
        """The set that ``names``, with commas between them, list."""
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
        """Names, numbers and usual abbreviations. Where a name holds a digit (1 star) no numbers: 1 could be either."""
        named: dict[str, int | None] = {_plain(name): number for name, number in self.numbers.items()}
        alike: dict[str, int | None] = {}
        for group in _ALIKE:
            meant = {named[name] for name in group if name in named}
            if len(meant) == 1:
                alike |= dict.fromkeys(group, *meant)
        if any(character.isdigit() for character in str(self)):
            return Spellings(alike | named, ", ".join(self.ordered))
        numbered = {str(number): number for number in self.names}
        expected = ", ".join(f"{number} ({name})" for number, name in self.names.items())
        return Spellings(alike | numbered | named, expected)

    def parse(self, value: object) -> int | None:
        """The label that ``value`` spells in the usual way: see ``spellings``, and ``Spellings.parse``."""
        return self.spellings.parse(value)

    def mapped(self, label_map: str) -> Spellings:
        """The spellings that ``label_map`` states, and no others: ``1=negative,2=negative,3=,4=positive``.

        On the left what a cell holds, on the right a label as ``parse`` reads it, or nothing: those reviews have no
        label. Raises ``ConfigError`` naming the pair that cannot be meant.
        """
        cells: dict[str, int | None] = {}
        shown = []
        for pair in label_map.split(","):
            value, equals, label = pair.strip().rpartition("=")
            if not equals or not (spelling := _plain(value)):
                raise ConfigError(
                    f"--label-map holds {pair.strip()!r}: expected VALUE=LABEL with commas between, or VALUE= where "
                    "such reviews have no label; for instance 1=negative,3=,5=positive"
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
    """A cell as spellings are compared; empty where it holds nothing."""
    if value is None or value != value:  # NaN is how pandas and Parquet files say "none"
        return ""
    if isinstance(value, bool | float) and float(value).is_integer():
        value = int(value)
    spelling = str(value).strip().casefold()
    whole = spelling.removesuffix(".0")  # a column with gaps, once through pandas, reads 1.0
    return whole if whole.removeprefix("-").isdecimal() else spelling


DEFAULT = LabelSet(("negative", "positive"))
