"""Codings: what the values of a label column mean, decided on the whole column and not cell by cell.

A column of 1 and 2 codes two labels from 1, and one of 0 and 1 from 0: no single cell says which. Therefore all values
are gathered first, and a reading is taken only if it is the only one that fits them all.

A column that holds nothing but 1 fits two codings of two labels: from 0, all of its reviews are positive, and from 1,
all are negative. It is read from 0, as nearly every data set of two labels is coded; the name of the coding says so,
and what to type if it is wrong. If -1 is the only number, it means no label: data sets write it for "nobody labelled
this".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from senti_tasks.cells import is_missing, plain
from senti_tasks.errors import InputFileError, quoted
from senti_tasks.labels import LabelSet, Spellings

MOST_VALUES = 1_000
"""A column with more different values is no column of labels."""
_SHOWN = 20  # values in a message
_FEW = 100  # a value is odd if it is in at most every 100th labelled cell, or is a single cell of 10 and more


@dataclass(slots=True)
class Value:
    """One value of the label column."""

    cell: object
    """As it stands in the file the first time."""
    count: int
    line: int
    """The first line with it."""
    text: object
    """The text of the review in that line."""


@dataclass(frozen=True)
class Coding:
    """The reading that was taken for a label column."""

    name: str
    """For people; for example ``numbers from 1``."""
    spellings: Spellings
    values: Mapping[str, Value]
    """All values, missing ones included, by their form in ``cells.plain``."""

    def meanings(self) -> list[tuple[Value, int | None, bool]]:
        """Each value, its label (``None``: no label), and whether it could be read; the most frequent first."""
        found = []
        for spelling, value in self.values.items():
            readable = spelling in self.spellings.cells or is_missing(spelling)
            found.append((value, self.spellings.cells.get(spelling), readable))
        return sorted(found, key=lambda each: -each[0].count)


def gather(cells: Iterable[tuple[int, object, object]], column: str, source: object) -> dict[str, Value]:
    """The different values of ``cells`` (line, label and text of each row). Memory does not grow with the rows.

    Raises ``InputFileError`` if there are more than ``MOST_VALUES``.
    """
    seen: dict[object, Value] = {}
    for line, cell, text in cells:
        key = cell if type(cell) is str else (type(cell), str(cell))  # 1 and True are equal, and are different cells
        value = seen.get(key)
        if value is not None:
            value.count += 1
        elif len(seen) < MOST_VALUES:
            seen[key] = Value(cell, 1, line, text)
        else:
            raise InputFileError(
                f"{source}: column {column!r} has more than {MOST_VALUES:,} different values, so it holds no labels. "
                "Nothing was imported: pass --no-label-column, or --label-column with another name"
            )
    values: dict[str, Value] = {}
    for value in seen.values():
        if earlier := values.get(spelling := plain(value.cell)):
            earlier.count += value.count
        else:
            values[spelling] = value
    return values


def decide(
    values: Mapping[str, Value], labels: LabelSet, column: str, source: object, label_map: str | None = None
) -> Coding:
    """The only coding that fits ``values``. Raises ``InputFileError`` if two fit or none.

    Missing values have no label. A value that no coding has is left without a label if it is rare and is no sign of
    another coding: a 2 beside 0 and 1 is one, because the column may have three labels. ``label_map`` decides alone.
    """
    if label_map is not None:
        return _mapped(values, labels, column, source, label_map)
    present = {key: value for key, value in values.items() if key in labels.words or not is_missing(key)}
    readings = _readings(labels)
    if [key for key in present if _is_number(key)] == ["-1"]:
        readings = {name: cells for name, cells in readings.items() if "-1" not in cells}
    fitting = _distinct({name: cells for name, cells in readings.items() if not present.keys() - cells}, present)
    if not fitting:
        fitting = _distinct({name: cells for name, cells in readings.items() if _almost(cells, present)}, present)
    if list(fitting)[:1] == ["numbers from 0"] and present.keys() == {"1"} and len(labels.ordered) == 2:
        first = labels.ordered[0]
        only = (
            f"numbers from 0 (only 1 occurs: if it means {first}, pass --label-column {column} --label-map 1={first})"
        )
        fitting = {only: fitting["numbers from 0"]}
    if len(fitting) != 1:
        raise InputFileError(_refusal(present, fitting, readings, labels, column, source))
    [(name, cells)] = fitting.items()
    if not present:
        name = "no labels"
    elif not any(_is_number(key) for key in present):
        name = "names"
    expected = ", ".join(f"{number} ({label})" for number, label in labels.names.items())
    return Coding(name, Spellings(cells, expected), values)


def _readings(labels: LabelSet) -> dict[str, dict[str, int | None]]:
    """Name of a reading to the meaning of each value. Words mean the same in all of them."""
    words: dict[str, int | None] = dict(labels.words)
    if labels.has_digits:
        return {"names": words}
    n = len(labels.ordered)
    found = {
        "numbers from 0": labels.truths | {str(number): number for number in range(n)} | words,
        "numbers from 1": {str(number + 1): number for number in range(n)} | words,
    }
    if n == 2:
        found["numbers -1 and 1"] = words | {"-1": 0, "1": 1}
    if n == 3:
        found["numbers from -1"] = words | {"-1": 0, "0": 1, "1": 2}
    return found


def _distinct(
    readings: Mapping[str, dict[str, int | None]], present: Mapping[str, Value]
) -> dict[str, dict[str, int | None]]:
    """``readings`` without those that give all values the meaning that an earlier one gives them."""
    found: dict[str, dict[str, int | None]] = {}
    for name, cells in readings.items():
        if not any(all(cells.get(key) == other.get(key) for key in present) for other in found.values()):
            found[name] = cells
    return found


def _almost(cells: Mapping[str, int | None], present: Mapping[str, Value]) -> bool:
    strange = [key for key in present if key not in cells]
    odd, all_labelled = sum(present[key].count for key in strange), sum(value.count for value in present.values())
    if not (odd * _FEW <= all_labelled or (odd == 1 and all_labelled >= 10)):
        return False
    words = {cells[key] for key in present if key in cells and not _is_number(key)}
    if len(words) > 1:  # names of two labels show that the column has these labels and no others
        return True
    numbers = [int(key) for key in cells if _is_number(key)]
    return not any(
        _is_number(key) and (not numbers or min(numbers) - 1 <= float(key) <= max(numbers) + 1) for key in strange
    )


def _is_number(spelling: str) -> bool:
    try:
        float(spelling)
    except ValueError:
        return False
    return True


def _mapped(values: Mapping[str, Value], labels: LabelSet, column: str, source: object, label_map: str) -> Coding:
    spellings = labels.mapped(label_map)
    present = {key: value for key, value in values.items() if not is_missing(key)}
    if present and not present.keys() & spellings.cells.keys():
        raise InputFileError(
            f"{source}: no value of column {column!r} is one of {spellings.expected}. Found {_listed(present)}. "
            "Nothing was imported: name the values of this column"
        )
    return Coding("--label-map", spellings, values)


def _refusal(
    present: Mapping[str, Value],
    fitting: Mapping[str, Mapping[str, int | None]],
    readings: Mapping[str, Mapping[str, int | None]],
    labels: LabelSet,
    column: str,
    source: object,
) -> str:
    maps = {name: {key: cells.get(key) for key in present} for name, cells in fitting.items()}
    problem = f"can be read in {len(maps)} ways"
    if not maps:
        problem = f"are not those of the labels {labels}"
        maps = {"for example": _example(present, readings, labels)}
    typed = "; or ".join(
        f"--label-column {column!r} --label-map {_typed(meanings, present, labels)!r} ({name})"
        for name, meanings in maps.items()
    )
    return (
        f"{source}: the values of column {column!r} {problem}. Found {_listed(present)}. Nothing was imported: pass "
        f"{typed}; or --no-label-column"
    )


def _example(
    present: Mapping[str, Value], readings: Mapping[str, Mapping[str, int | None]], labels: LabelSet
) -> dict[str, int | None]:
    """A meaning for each value of a column that no reading fits: numbers in order, and the words that are known."""
    n = len(labels.ordered)
    numbers = sorted((key for key in present if _is_number(key)), key=float)
    found: dict[str, int | None] = {}
    if len(numbers) < n or labels.has_digits:
        numbers = []
    for place, key in enumerate(numbers):
        middle = 2 * place + 1 == len(numbers) and n == 2
        found[key] = None if middle else place * n // len(numbers)
    best = max(readings.values(), key=lambda cells: sum(key in cells for key in present))
    return {key: found.get(key, best.get(key)) for key in [*numbers, *(key for key in present if key not in found)]}


def _typed(meanings: Mapping[str, int | None], present: Mapping[str, Value], labels: LabelSet) -> str:
    pairs = [
        f"{str(present[key].cell).strip()}={'' if label is None else labels.names[label]}"
        for key, label in list(meanings.items())[:_SHOWN]
        if quoted(key).startswith(("'", '"'))  # short enough to show
    ]
    return ",".join(pairs) + (",…" if len(meanings) > len(pairs) else "")


def _listed(present: Mapping[str, Value]) -> str:
    found: Sequence[Value] = sorted(present.values(), key=lambda value: -value.count)
    shown = [
        f"{quoted(value.cell)} ({value.count:,} times, first in line {value.line}: {quoted(value.text)})"
        for value in found[:_SHOWN]
    ]
    return ", ".join(shown) + (f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else "")
