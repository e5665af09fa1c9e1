"""Encodings: which one a text file has. A reading must decode, and must look like Chinese."""

import codecs
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from charset_normalizer import from_bytes

from senti_tasks.errors import InputFileError, quoted
from senti_tasks.intake.readers.compression import Source

BROKEN = "senti-broken-bytes"
"""Error handler of codecs: a byte that is not valid becomes one of the characters U+DC80 to U+DCFF."""

MANY = 10
"""A tenth of the lines may hold broken bytes; with more, the encoding is taken for the wrong one."""

LINE_LENGTH = 2**26
"""Longest line, in characters. The limit bounds the memory; a file of reviews has no longer lines."""

_SAMPLE_BYTES = 2**18
_EAST_ASIAN = re.compile("[\u2e80-\ud7ff\uf900-\U0010ffff]")
_ASCII = bytes(range(0x80))
_BROKEN_BYTE = re.compile("[\udc80-\udcff]")
_ODD = {"\ufffd", *map(chr, range(0x80, 0xA0))}
_SAMPLE_BEFORE = 64
_ENOUGH = 5  # characters that show of which kind a text is
_SEARCHED_BYTES = 2**28  # for the first byte that is not ASCII
_MARKS = {  # the marks of UTF-32 begin with those of UTF-16
    codecs.BOM_UTF32_LE: "utf_32_le",
    codecs.BOM_UTF32_BE: "utf_32_be",
    codecs.BOM_UTF8: "utf_8",
    codecs.BOM_UTF16_LE: "utf_16_le",
    codecs.BOM_UTF16_BE: "utf_16_be",
    b"\x84\x31\x95\x33": "gb18030",
    b"+/v8": "utf_7",
    b"+/v9": "utf_7",
}
_NAMES = {
    "utf_8": "UTF-8",
    "gb18030": "GB18030",
    "cp950": "Big5",
    "big5hkscs": "Big5-HKSCS",
    "utf_16_le": "UTF-16LE",
    "utf_16_be": "UTF-16BE",
    "utf_32_le": "UTF-32LE",
    "utf_32_be": "UTF-32BE",
    "utf_7": "UTF-7",
}
_FREQUENT = frozenset(
    "的一是了不在人有我他这这個个們们中来來上大为為和国國地到以说說时時要就出会會可也你对對生能而子那得于着著下自之年过過发發"
    "后後作里裡裏用道行所然家种種事成方多经經么麼去如都同没沒动動面起看定天分还還进進好小部其些主样樣心她本前开開但因只想实實"
    "很吃店差太味快服务務送餐点點酒房价價买買卖賣书書菜喜欢歡给給让讓客质質量物流觉覺评評错錯谢謝东東西真非常满滿意推荐薦再次"
)
"""About half of the characters of a Chinese text, simplified or traditional. In the wrong encoding, few are."""


@dataclass(frozen=True)
class Encoding:
    """How the bytes of a source become text. A byte order mark is not part of the text: drop U+FEFF at its start."""

    codec: str
    name: str
    fact: str


@dataclass(frozen=True)
class _Reading:
    """A sample as one encoding reads it."""

    codec: str
    text: str
    lines: int
    """Lines that are not ASCII."""
    broken: int
    """Those of them that hold bytes which are not valid."""
    odd: float
    """Share of the characters that no text has: private use, not assigned, replacement, control characters."""
    frequent: float
    """Share of the Chinese characters that are among the most frequent."""

    @property
    def decodes(self) -> bool:
        return not _many(self.broken, self.lines)

    @property
    def plausible(self) -> bool:
        return self.decodes and self.odd < 0.01

    def excerpt(self) -> str:
        return f"{_NAMES[self.codec]} reads {quoted(_beyond_ascii(self.text)[:8])}"


def detect(source: Source, named: str | None = None) -> Encoding:
    """The encoding of ``source``, or the one ``named`` by the user. Raises ``InputFileError`` if none is plausible, or
    two are."""
    head = source.head()
    if named is not None:
        return _named(source, named)
    if (certain := by_first_bytes(head)) is not None:
        return certain
    sample = _sample(source)
    if not sample:
        return Encoding("utf_8", "UTF-8", "encoding: ASCII")
    reading = _best(sample, source)
    return Encoding(reading.codec, _NAMES[reading.codec], f"encoding: {_NAMES[reading.codec]}")


def by_first_bytes(head: bytes) -> Encoding | None:
    """The encoding that a byte order mark or the zero bytes of UTF-16 and UTF-32 show."""
    for mark, codec in _MARKS.items():
        if head.startswith(mark):
            return Encoding(codec, _NAMES[codec], f"encoding: {_NAMES[codec]}, by its byte order mark")
    if (wide := _by_zero_bytes(head)) is not None:
        return Encoding(wide, _NAMES[wide], f"encoding: {_NAMES[wide]}, by its zero bytes")
    return None


def broken_bytes(line: str) -> str | None:
    """The first bytes of ``line`` that were not valid, as hexadecimal numbers; ``None`` if all are."""
    found = bytes(ord(character) & 0xFF for character in _BROKEN_BYTE.findall(line))
    return found[:4].hex(" ") or None


def too_many(source: Source, encoding: Encoding, broken: int, lines: int) -> InputFileError:
    return InputFileError(
        f"{source.name}: {broken:,} of the first {lines:,} lines hold bytes that are not {encoding.name}: pass "
        "--encoding with the one it has, or convert it: iconv -f ITS_ENCODING -t UTF-8"
    )


def _best(sample: bytes, source: Source) -> _Reading:
    utf8 = _read(sample, "utf_8")
    if utf8.decodes and not _EAST_ASIAN.search(utf8.text) and (before := _misread(utf8.text)) is not None:
        raise _damaged(source, f"{quoted(_beyond_ascii(utf8.text)[:8])} was {quoted(before[:8])} before")
    # Characters of three bytes are hardly ever valid by chance. Those of two bytes are often, in GB18030.
    if utf8.decodes and not utf8.broken and re.search("[\u0800-\ud7ff\ue000-\U0010ffff]", utf8.text):
        if utf8.odd > 0.1:
            raise _damaged(source, f"{utf8.odd:.0%} of its characters are replacement or private-use characters")
        return utf8
    gb18030 = _read(sample, "gb18030")
    if utf8.decodes:
        return _utf8_or_gb18030(utf8, gb18030, source)
    big5 = _read(sample, "cp950")
    if big5.broken and (hong_kong := _read(sample, "big5hkscs")).broken < big5.broken:
        big5 = hong_kong
    likely = sorted((r for r in (gb18030, big5) if r.plausible), key=lambda r: r.frequent, reverse=True)
    if likely and likely[0].frequent >= 0.05:
        if len(likely) == 1 or likely[0].frequent >= 3 * likely[1].frequent:
            return likely[0]
        raise _ambiguous(source, *likely)
    guess = from_bytes(sample[:65536]).best()
    counts = ", ".join(f"{_NAMES[r.codec]} ({r.broken:,} of {r.lines:,} lines)" for r in (utf8, gb18030, big5))
    raise InputFileError(
        f"{source.name}: its encoding cannot be found out. Tried, with lines not valid in it: {counts}; none looks "
        f"like Chinese{f'; it may be {guess.encoding}' if guess else ''}. Pass --encoding with the one it has"
    )


def _utf8_or_gb18030(utf8: _Reading, gb18030: _Reading, source: Source) -> _Reading:
    if not gb18030.plausible or gb18030.broken > utf8.broken or (utf8.broken and gb18030.broken == utf8.broken):
        return utf8
    if utf8.frequent >= max(0.05, 3 * gb18030.frequent) or (not utf8.broken and _is_latin(gb18030)):
        return utf8
    if gb18030.frequent >= max(0.1, 3 * utf8.frequent):
        return gb18030
    raise _ambiguous(source, utf8, gb18030)


def _ambiguous(source: Source, *readings: _Reading) -> InputFileError:
    shown = "; ".join(reading.excerpt() for reading in readings)
    codecs_ = " or ".join(f"--encoding {_NAMES[reading.codec]}" for reading in readings)
    return InputFileError(f"{source.name} can be read in two encodings: {shown}. Pass {codecs_}")


def _damaged(source: Source, what: str) -> InputFileError:
    return InputFileError(
        f"{source.name} is UTF-8, but an earlier conversion damaged it: {what}; export it again, as UTF-8"
    )


def _misread(text: str) -> str | None:
    """What ``text`` was before it was taken for Windows-1252 or Latin-1, if it was; ``None`` otherwise."""
    found = _beyond_ascii(text)
    for wrong in ("cp1252", "latin-1"):
        try:
            raw = found.encode(wrong)
        except UnicodeEncodeError:
            continue
        for right in ("utf_8", "gb18030"):
            before = raw.decode(right, "ignore")
            if len(before) * 6 > len(found) and sum(c in _FREQUENT for c in before) * 5 > len(before):
                return before
    return None


def _beyond_ascii(text: str) -> str:
    return "".join(character for character in text if character > "\x7f" and not _is_broken(character))


def _many(broken: int, lines: int) -> bool:
    return broken * MANY > lines and not (broken == 1 < lines)


def _read(sample: bytes, codec: str) -> _Reading:
    text = codecs.getincrementaldecoder(codec)(BROKEN).decode(sample)  # without a character that was cut
    counts = Counter(text)
    beyond_ascii = {character: n for character, n in counts.items() if character > "\x7f" and not _is_broken(character)}
    chinese = {character: n for character, n in counts.items() if "\u3400" <= character <= "\u9fff"}
    odd = sum(n for c, n in beyond_ascii.items() if unicodedata.category(c) in ("Co", "Cn", "Cs") or c in _ODD)
    frequent = sum(n for character, n in chinese.items() if character in _FREQUENT)
    lines = [line for line in text.split("\n") if not line.isascii()]
    return _Reading(
        codec,
        text,
        len(lines),
        sum(_BROKEN_BYTE.search(line) is not None for line in lines) if any(map(_is_broken, counts)) else 0,
        odd / max(1, sum(beyond_ascii.values())),
        frequent / max(1, sum(chinese.values())),
    )


def _is_broken(character: str) -> bool:
    return "\udc80" <= character <= "\udcff"


def _is_latin(gb18030: _Reading) -> bool:
    """Whether its Chinese characters are what UTF-8 for é or ° reads as: rare, and beside Latin letters."""
    text = gb18030.text
    chinese = [i for i, character in enumerate(text) if "\u4e00" <= character <= "\u9fff"]
    beside_latin = sum(any(c.isascii() and c.isalnum() for c in text[max(0, i - 1) : i + 2]) for i in chinese)
    return len(chinese) >= _ENOUGH and gb18030.frequent < 0.05 and beside_latin * 2 > len(chinese)


def _named(source: Source, named: str) -> Encoding:
    try:
        info = codecs.lookup(named)
        "".encode(info.name)  # raises LookupError for a codec that is no encoding of text
    except (LookupError, ValueError) as error:
        raise InputFileError(
            f"there is no encoding {named!r}: --encoding takes utf-8, gb18030, big5, utf-16 and others of Python"
        ) from error
    codec = info.name
    head = source.head()
    if codec in ("utf-16", "utf-32"):
        codec = next((found for mark, found in _MARKS.items() if head.startswith(mark)), f"{codec}-le")
    return Encoding(codec, named, f"encoding: {named}, as --encoding says")


def _by_zero_bytes(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: line breaks and digits have zero bytes, which other encodings do not use."""
    if head.count(0) * 20 < len(head) and not (head.count(0) and _is_broken_utf8(head)):
        return None
    found = []
    for codec, width in (("utf_32_le", 4), ("utf_32_be", 4), ("utf_16_le", 2), ("utf_16_be", 2)):
        try:
            text = head[: len(head) // width * width].decode(codec)
        except UnicodeDecodeError as error:
            if error.end < len(head) - width:
                continue
            text = head[: error.start].decode(codec)
        if text and not any(
            unicodedata.category(c) in ("Co", "Cn", "Cs") or (c < " " and c not in "\t\r\n") for c in text
        ):
            usual = sum(c.isascii() or "\u3000" <= c <= "\u9fff" or c >= "\uff00" for c in text)
            found.append((usual / len(text), sum(map(str.isascii, text)), codec))
    return max(found)[2] if found else None


def _is_broken_utf8(head: bytes) -> bool:
    try:
        head.decode("utf_8")
    except UnicodeDecodeError as error:
        return error.start < len(head) - 4
    return False


def _sample(source: Source) -> bytes:
    """A part around the first byte that is not ASCII; empty for an ASCII file."""
    with source.reading(), source.open() as file:
        for _ in range(_SEARCHED_BYTES // _SAMPLE_BYTES):
            block = file.read(_SAMPLE_BYTES)
            if not block:
                break
            if not block.isascii():
                start = len(block) - len(block.lstrip(_ASCII))
                return block[max(0, start - _SAMPLE_BEFORE) :] + file.read(start)
    return b""


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 | byte | 0x80) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(BROKEN, _escape)
