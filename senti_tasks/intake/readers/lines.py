"""Lines: the text of a source, line by line."""

import codecs
import io
from collections.abc import Iterator

from senti_tasks.errors import InputFileError
from senti_tasks.intake.readers import encodings
from senti_tasks.intake.readers.compression import Source
from senti_tasks.intake.readers.encodings import LINE_LENGTH, Encoding

_BLOCK_BYTES = 2**18
SAMPLE_LENGTH = 2**16


class Lines:
    """The lines of ``source`` with their ends, in constant memory.

    A byte that is not valid in ``encoding`` is one of the characters U+DC80 to U+DCFF. Lines end at ``end`` only, which
    is a line feed, or a carriage return for files as old Macs wrote them. Raises ``InputFileError`` for a line that is
    too long, and if too many lines hold such bytes.
    """

    def __init__(self, source: Source, encoding: Encoding, end: str = "\n") -> None:
        self._source, self._encoding, self._end = source, encoding, end
        self.broken = 0
        """Number of the last line so far with a byte that is not valid; 0 before the first."""

    def __iter__(self) -> Iterator[str]:
        number, count = 0, 0
        for text in self._pieces():
            lines = split_lines(text, self._end)
            if _is_sound(text):
                yield from lines
            else:
                for ahead, line in enumerate(lines, start=1):
                    if not _is_sound(line):
                        count += 1
                        self.broken = number + ahead
                        if count > 20 and count * encodings.MANY > self.broken:
                            raise encodings.too_many(self._source, self._encoding, count, self.broken)
                    yield line
            number += len(lines)

    def _pieces(self) -> Iterator[str]:
        """The text in pieces of whole lines."""
        parts: list[str] = []
        length = 0
        for text in blocks(self._source, self._encoding):
            end = text.rfind(self._end) + 1
            if end:
                yield "".join((*parts, text[:end]))
                parts, length = [], 0
            parts.append(text[end:])
            length += len(text) - end
            if length > LINE_LENGTH:
                raise InputFileError(
                    f"{self._source.name}: a line is longer than {LINE_LENGTH:,} characters; expected one row per line"
                )
        yield "".join(parts)


def blocks(source: Source, encoding: Encoding) -> Iterator[str]:
    """The text of ``source`` in blocks that end anywhere, without byte order mark."""
    is_first = True
    with source.reading(), source.open() as file:
        decoder = codecs.getincrementaldecoder(encoding.codec)(encodings.BROKEN)
        while block := file.read(_BLOCK_BYTES):
            text = decoder.decode(block)
            if is_first and text:
                text, is_first = text.removeprefix("\ufeff"), False
            yield text
        yield decoder.decode(b"", True)


def split_lines(text: str, end: str) -> list[str]:
    """The lines of ``text`` with their ends. ``str.splitlines`` splits at other characters, too."""
    if end == "\n":
        return io.StringIO(text, newline="\n").readlines()
    *whole, rest = text.split(end)
    return [line + end for line in whole] + ([rest] if rest else [])


def sample(source: Source, encoding: Encoding, length: int = SAMPLE_LENGTH) -> tuple[str, bool]:
    """About ``length`` characters from the start of ``source``, and whether that is all."""
    found = blocks(source, encoding)
    text = ""
    for block in found:
        text += block
        if len(text) >= length:
            return text, not any(found)
    return text, True


def _is_sound(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
