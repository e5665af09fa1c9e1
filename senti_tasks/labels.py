"""Labels: their names, their numbers and their spellings in files. Only this module assigns numbers to names."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from senti_tasks.cells import is_missing, plain
from senti_tasks.errors import ConfigError, quoted

_SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("negative", "neg", "负", "负面", "负向", "消极", "贬义", "差评"),
    ("neutral", "neu", "中", "中性", "中立", "中评"),
    ("positive", "pos", "正", "正面", "正向", "积极", "褒义", "好评"),
)
"""Groups of synonyms. If one of them is the name of a label, the others mean that label too."""


@dataclass(frozen=True)
class Spellings:
    """The meaning of the cells of a label column."""

    cells: Mapping[str, int | None]
    """Cell, in the form of ``cells.plain``, to label number; ``None`` means that the review has no label."""
    expected: str
    """The possible values of a cell, for error messages."""

    def parse(self, value: object) -> int | None:
        """The number of the label that ``value`` means, or ``None`` if the review has no label, as for blank text and
        the usual spellings of a missing value.

        Upper and lower case are the same, and so are 1 and 1.0. Raises ``ValueError`` for an unknown spelling.
        """
        spelling = plain(value)
        if spelling in self.cells:
            return self.cells[spelling]
        if is_missing(value):
            return None
        raise ValueError(f"label {quoted(value)} is not one of {self.expected}")


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
        if len({plain(name) for name in self.ordered}) < len(self.ordered):
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
    def words(self) -> dict[str, int]:
        """Names and their usual synonyms, in the form of ``cells.plain``, to label number."""
        named = {plain(name): number for name, number in self.numbers.items()}
        synonyms: dict[str, int] = {}
        for group in _SYNONYMS:
            meant = {named[name] for name in group if name in named}
            if len(meant) == 1:
                synonyms |= dict.fromkeys(group, *meant)
        return synonyms | named

    @cached_property
    def truths(self) -> dict[str, int]:
        """The numbers of true and false, if there are two labels: those of 1 and 0."""
        return {"true": 1, "t": 1, "false": 0, "f": 0} if len(self.ordered) == 2 and not self.has_digits else {}

    @cached_property
    def has_digits(self) -> bool:
        """Whether a name holds a digit. If so, numbers mean no label: 1 could mean label 1 or "1 star"."""
        return any(character.isdigit() for character in str(self))

    @cached_property
    def spellings(self) -> Spellings:
        """Names, synonyms, and the labels' own numbers, which begin with 0, unless a name holds a digit."""
        if self.has_digits:
            return Spellings(self.words, ", ".join(self.ordered))
        numbered = {str(number): number for number in self.names}
        expected = ", ".join(f"{number} ({name})" for number, name in self.names.items())
        return Spellings(self.truths | numbered | self.words, expected)

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
            if not equals or not (spelling := plain(value)):
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


DEFAULT = LabelSet(("negative", "positive"))
