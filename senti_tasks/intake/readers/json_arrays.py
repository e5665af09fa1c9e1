"""JSON arrays: one list of objects, as ``DataFrame.to_json(orient="records")`` and many web interfaces write it."""

import json
import re
from collections.abc import Iterator
from itertools import islice

from senti_tasks.errors import InputFileError, quoted
from senti_tasks.intake.readers import encodings
from senti_tasks.intake.readers.compression import Source
from senti_tasks.intake.readers.encodings import LINE_LENGTH, Encoding
from senti_tasks.intake.readers.lines import blocks
from senti_tasks.intake.readers.options import Options
from senti_tasks.intake.tables import Record, Table

_SPACE = re.compile(r"[ \t\r\n]*")
_BLOCK_LENGTH = 2**16
_DECODER = json.JSONDecoder()


def open_array(source: Source, options: Options) -> Table:
    """A file with one JSON array. An object may lack any key: the columns are the keys of all objects.

    The file is read once for the keys. The standard library parses it piece by piece: ijson 3.6 replaces half of a
    surrogate pair by a question mark, and refuses the NaN that Python and pandas write.
    """
    encoding = encodings.detect(source, options.encoding)
    items = islice(_items(source, encoding), options.rows_for_keys)
    header = tuple(dict.fromkeys(key for _, row in items if isinstance(row, dict) for key in row))
    return Table(header, lambda: _records(source, encoding, header), facts=(*source.facts, encoding.fact))


def _records(source: Source, encoding: Encoding, header: tuple[str, ...]) -> Iterator[Record]:
    for line, found in _items(source, encoding):
        if isinstance(found, str):
            yield line, found
        else:
            yield line, tuple(found.get(name) for name in header)


def _items(source: Source, encoding: Encoding) -> Iterator[tuple[int, dict[str, object] | str]]:
    """The line and the object of each item, or the reason why it is none."""
    text = _Text(source, encoding)
    if text.next() != "[":
        raise InputFileError(f"{source.name}: expected a JSON array, which begins with [")
    text.at += 1
    if text.next() == "]":
        return
    while True:
        text.next()
        line, found, broken = text.value()
        if broken is not None:
            yield line, f"it holds bytes that are not {encoding.name}: {broken}"
        elif isinstance(found, dict):
            yield line, found
        else:
            yield line, f"expected a JSON object, found {quoted(json.dumps(found, ensure_ascii=False))}"
        mark = text.next()
        text.at += 1
        if mark == "]" and not text.next():
            return
        if mark != ",":
            raise text.error("expected a comma and another object, or ] and the end of the file")


class _Text:
    """The text of a source, of which only the present piece is in memory."""

    def __init__(self, source: Source, encoding: Encoding) -> None:
        self._name, self._blocks = source.name, blocks(source, encoding)
        self._piece, self._line, self.at = "", 1, 0

    def error(self, reason: str) -> InputFileError:
        return InputFileError(f"{self._name}, line {self._line}: broken JSON: {reason}")

    def next(self) -> str:
        """The next character that is no white space, at which the text then stands; empty at the end."""
        while True:
            end = _SPACE.match(self._piece, self.at).end()  # type: ignore[union-attr]  # it matches everywhere
            self._line += self._piece.count("\n", self.at, end)
            self.at = end
            if end < len(self._piece):
                return self._piece[end]
            if not self._more(_BLOCK_LENGTH):
                return ""

    def value(self) -> tuple[int, object, str | None]:
        """Line and value of the JSON that begins here, and the bytes in it that are not valid, if any."""
        wanted = _BLOCK_LENGTH
        while True:
            try:
                value, end = _DECODER.raw_decode(self._piece, self.at)
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError) or not self._more(wanted):
                    where = f"{error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
                    raise self.error(f"{where}, in the object that begins here") from error
                wanted *= 2
                continue
            if end == len(self._piece) and self._more(wanted):  # a number may go on
                continue
            line, broken = self._line, encodings.broken_bytes(self._piece[self.at : end])
            self._line += self._piece.count("\n", self.at, end)
            self.at = end
            return line, value, broken

    def _more(self, length: int) -> bool:
        """Appends about ``length`` characters. Returns whether there were any."""
        pieces, count = [self._piece[self.at :]], 0
        for block in self._blocks:
            pieces.append(block)
            count += len(block)
            if count >= length:
                break
        self._piece, self.at = "".join(pieces), 0
        if len(self._piece) > LINE_LENGTH:
            raise self.error(f"the object that begins here is longer than {LINE_LENGTH:,} characters")
        return count > 0
