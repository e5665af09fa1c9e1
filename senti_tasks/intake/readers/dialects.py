"""Dialects of delimited text: separator, quoting, line ends and header, found in a sample or named by the user."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from senti_tasks.errors import ConfigError, InputFileError, quoted
from senti_tasks.intake.columns import is_usual
from senti_tasks.intake.readers.lines import split_lines
from senti_tasks.intake.readers.options import Options

SEPARATORS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "none": ""}
QUOTINGS = ("standard", "backslash", "none")
MAY_HAVE_NO_QUOTING = ("\t", "")
"""Separators of tables in which a quote is often an ordinary character. In others, one not closed is a fault."""

_CELL_CHARACTERS = 16 * 2**20
"""The default limit of the csv module, 131,072, is too short for some reviews. An unclosed quote ends at the limit."""

_NO_SEPARATOR = "\x1f"  # the csv module needs one
_HINT = re.compile(r'"?sep=(.)"?\r?\n')  # as Excel understands it
_IN_QUOTES = re.compile(r'"[^"]*"')
_RETURN = "\udc0d"  # stands for a carriage return inside a line while the csv module, which refuses them, reads it
_NUMBER = re.compile(r"\s*[-+]?\d[\d.,:/\- ]*\s*")
_SENTENCE = re.compile(r"[。！？!?，\n]|[^\x00-\x7f]{20}|(\S+\s+){5}")


@dataclass(frozen=True)
class Dialect:
    """How lines become fields."""

    separator: str
    """Empty: a line is one field."""
    quoting: str
    """standard: as in RFC 4180, quotes inside quotes are doubled; backslash: they have a backslash before them; none: a
    quote is an ordinary character, and a field holds no line break."""
    end: str = "\n"
    has_header: bool = True
    skipped: int = 0
    """Lines before the table."""

    @property
    def name(self) -> str:
        return next((name for name, character in SEPARATORS.items() if character == self.separator), self.separator)

    @property
    def options(self) -> str:
        return f"--separator {self.name} --quoting {self.quoting}"

    def fields(self, lines: Iterable[str]) -> Iterator[tuple[int, int, list[str]]]:
        """First line, last line and fields of each row. Empty lines are no rows. Raises ``csv.Error``."""
        lines = islice(lines, self.skipped, None)
        if self.quoting == "none":
            for number, line in enumerate(lines, start=1 + self.skipped):
                if stripped := line.removesuffix(self.end).removesuffix("\r"):
                    yield number, number, stripped.split(self.separator) if self.separator else [stripped]
            return
        csv.field_size_limit(max(_CELL_CHARACTERS, csv.field_size_limit()))
        guarded = _Returns(lines)
        reader = csv.reader(
            guarded,
            delimiter=self.separator or _NO_SEPARATOR,
            escapechar="\\" if self.quoting == "backslash" else None,
            doublequote=True,  # without it, strict does not refuse text after a closing quote
            strict=True,
        )
        start = 1 + self.skipped
        for fields in reader:
            if guarded.found:
                fields = [field.replace(_RETURN, "\r") for field in fields]
            if fields:
                yield start, reader.line_num + self.skipped, fields
            start = reader.line_num + self.skipped + 1


class _Returns:
    """``lines`` with ``_RETURN`` in place of each carriage return inside one. ``found``: whether there was any."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self.found = False

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            if "\r" in line and "\r" in (body := line[:-2]):
                self.found = True
                yield body.replace("\r", _RETURN) + line[-2:]
            else:
                yield line


@dataclass(frozen=True)
class _Reading:
    """A sample as one dialect reads it."""

    dialect: Dialect
    rows: list[list[str]]
    fails: bool

    @property
    def width(self) -> int:
        return len(self.rows[0]) if self.rows else 0

    @property
    def share(self) -> float:
        """Share of the rows that have as many fields as the first, or 0 if there are no rows."""
        return sum(len(row) == self.width for row in self.rows) / max(1, len(self.rows))

    @property
    def shown(self) -> str:
        if not self.rows:
            return f"{self.dialect.options} finds a quote in row 1 that is not closed"
        row = self.rows[min(1, len(self.rows) - 1)]
        cells = ", ".join(quoted(cell) for cell in row[:4]) + (", …" if len(row) > 4 else "")
        return f"{self.dialect.options} gives {len(row)} field{'s' * (len(row) > 1)} in row 2: {cells}"


@dataclass(frozen=True)
class Sample:
    """The start of a text. ``is_all``: the text ends with it."""

    text: str
    is_all: bool
    source: str
    """For messages."""

    @property
    def end(self) -> str:
        outside = _IN_QUOTES.sub("", self.text)
        return "\r" if "\r" in outside and "\n" not in outside else "\n"

    def lines(self) -> list[str]:
        lines = split_lines(self.text, self.end)
        return lines if self.is_all or len(lines) < 2 else lines[:-1]


def sniff(sample: Sample, options: Options) -> tuple[Dialect, tuple[str, ...]]:
    """The dialect of ``sample``, and what was taken and why. Raises ``InputFileError`` if two readings are plausible,
    and ``ConfigError`` for a separator or quoting that there is not."""
    if (hint := _HINT.match(sample.text)) is not None and options.separator is None:
        rest = replace(sample, text=sample.text[hint.end() :])
        dialect, facts = sniff(rest, replace(options, separator=hint[1]))
        return replace(dialect, skipped=1), facts
    separators, quotings = _named(options)
    if not sample.text.strip("\r\n\t ,;|"):
        raise InputFileError(f"{sample.source} holds separators only: expected reviews")
    readings = [_quoting(sample, separator, quotings) for separator in separators]
    reading = readings[0] if options.separator is not None else _separator(readings, sample)
    _refuse_ambiguous_quotes(reading, sample, quotings)
    why = "the first line holds values" if options.header is None else "--no-header says so"
    is_header = has_header(reading.rows) if options.header is None else options.header
    dialect = replace(reading.dialect, has_header=is_header)
    facts = (
        f"separator: {dialect.name}",
        f"quoting: {dialect.quoting}" + ("" if '"' in sample.text else " (no quotes in the sample)"),
        *(() if is_header else (f"no header: {why}",)),
    )
    return dialect, facts


def _named(options: Options) -> tuple[list[str], tuple[str, ...]]:
    separators = list(SEPARATORS.values())
    if options.separator is not None:
        separators = [SEPARATORS.get(options.separator, options.separator)]
        if len(separators[0]) > 1 or separators[0] in ('"', "\r", "\n"):
            raise ConfigError(
                f"--separator {quoted(options.separator)} is no separator: expected one character, or "
                f"{', '.join(SEPARATORS)}"
            )
    if options.quoting is not None and options.quoting not in QUOTINGS:
        raise ConfigError(f"there is no quoting {options.quoting!r}: --quoting takes one of {', '.join(QUOTINGS)}")
    return separators, QUOTINGS if options.quoting is None else (options.quoting,)


def _read(sample: Sample, separator: str, quoting: str) -> _Reading:
    dialect = Dialect(separator, quoting, sample.end)
    rows, lines, last = [], sample.lines(), 0
    try:
        for _, end, fields in dialect.fields(lines):
            rows.append(fields)
            last = end
    except csv.Error as error:
        is_cut = not sample.is_all and "unexpected end" in str(error) and last > len(lines) // 2
        return _Reading(dialect, rows, fails=not is_cut)
    return _Reading(dialect, rows, fails=False)


def _quoting(sample: Sample, separator: str, quotings: tuple[str, ...]) -> _Reading:
    """The reading with ``separator`` in the likeliest of ``quotings``."""
    if len(quotings) == 1:
        return _read(sample, separator, quotings[0])
    standard, plain = _read(sample, separator, "standard"), _read(sample, separator, "none")
    if not standard.fails and standard.share >= plain.share:
        return standard
    if '\\"' in sample.text:
        backslash = _read(sample, separator, "backslash")
        if not backslash.fails and backslash.share >= plain.share:
            return backslash
    return plain if separator in MAY_HAVE_NO_QUOTING and plain.share >= 0.9 else standard


def _separator(readings: list[_Reading], sample: Sample) -> _Reading:
    *separated, single = readings
    found = sorted((r for r in separated if r.width > 1), key=lambda r: (not r.fails, r.share), reverse=True)
    if not found:
        for reading in separated:
            plain = _read(sample, reading.dialect.separator, "none")
            if reading.fails and plain.width > 1:
                raise _ambiguous(sample, plain, single)
            widths = {len(row) for row in reading.rows[1:]}
            if not reading.fails and len(widths) == 1 and widths != {1}:
                raise _ambiguous(sample, reading, single)
        return single
    best = found[0]
    rivals = [r for r in found[1:] if r.share > best.share - 0.1]
    if rivals:
        raise _ambiguous(sample, best, rivals[0])
    is_named = any(is_usual(cell) for cell in best.rows[0])
    if best.share < 0.5 and not is_named and any(_SENTENCE.search(cell) for cell in best.rows[0]):
        raise _ambiguous(sample, best, single)
    return best


def _refuse_ambiguous_quotes(reading: _Reading, sample: Sample, quotings: tuple[str, ...]) -> None:
    """Raises ``InputFileError`` if quotes may belong to the cells: without commas, who wrote them is not known.

    A program quotes all cells of a column, or those that need it. Cells quoted without need in a table with tabs, or of
    one column, may be quotations.
    """
    dialect = reading.dialect
    if len(quotings) == 1:
        return
    if dialect.quoting == "standard" and '\\"' in sample.text:
        backslash = _read(sample, dialect.separator, "backslash")
        if not backslash.fails and backslash.share >= reading.share and backslash.rows != reading.rows:
            raise _ambiguous(sample, reading, backslash)
    if dialect.quoting != "standard" or dialect.separator not in MAY_HAVE_NO_QUOTING:
        return
    plain = _read(sample, dialect.separator, "none")
    if len(plain.rows) != len(reading.rows):
        broken = sum("\n" in cell for row in reading.rows for cell in row)
        if plain.share == 1 and (dialect.separator or (broken < 3 and '""' not in sample.text)):
            raise _ambiguous(sample, reading, plain)
        return
    for column in range(reading.width):
        cells = [row[column] for row in plain.rows[1:] or plain.rows if len(row) == reading.width and row[column]]
        in_quotes = [cell for cell in cells if cell.startswith('"')]
        if (
            in_quotes
            and len(in_quotes) < len(cells)
            and not any(re.search(r'""|[,;|\t]', cell[1:-1]) for cell in in_quotes)
        ):
            raise _ambiguous(sample, reading, plain)


def _ambiguous(sample: Sample, first: _Reading, second: _Reading) -> InputFileError:
    return InputFileError(
        f"{sample.source} can be read in two ways. {first.shown}; {second.shown}. Pass the options of the right one"
    )


def has_header(rows: list[list[str]]) -> bool:
    """Whether the first row holds names rather than values."""
    first, others = rows[0] if rows else [], rows[1:]
    if not first or any(is_usual(cell) for cell in first):
        return True
    if all(_NUMBER.fullmatch(cell) for cell in first):  # pandas numbers the columns that have no names
        return [cell.strip() for cell in first] == [str(i) for i in range(len(first))]
    for column, cell in enumerate(first):
        values = [row[column] for row in others if len(row) > column]
        if cell and (_NUMBER.fullmatch(cell) or _SENTENCE.search(cell) or cell in values):
            return False
    return True
