"""A table of character replacements in the one form that the ``tokenizers`` library looks up without a search.

``normalizers.Precompiled`` takes SentencePiece's character map: the length of a double array in bytes, the double array
(a trie over UTF-8 bytes in the layout of darts-clone), then the replacements, each ended by NUL. A ``Replace`` per
character would pass over every text once per character.
"""

import struct
from collections.abc import Mapping
from typing import Any

_LEAF = 1 << 31  # marks a unit that holds a value
_HAS_VALUE = 1 << 8  # marks a unit at which a key ends


def compile_charsmap(replacements: Mapping[str, str]) -> bytes:
    """The map that replaces each single character by its text. No character may be NUL, no text hold one.

    The same ``replacements`` give the same bytes. The library looks up graphemes: an accent that follows a replaced
    character within five bytes goes with it.
    """
    texts = bytearray()
    trie: dict[int, Any] = {}
    for character, text in sorted(replacements.items()):
        node = trie
        for byte in character.encode():
            node = node.setdefault(byte, {})
        node[0] = len(texts)  # where the replacement starts
        texts += text.encode() + b"\0"
    units = _double_array(trie)
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + bytes(texts)


def _double_array(trie: dict[int, Any]) -> list[int]:
    """``trie`` (byte -> node; byte 0 -> value) as units: a node's child for byte b stands at position ^ offset ^ b."""
    units: dict[int, int] = {0: 0}
    bases: set[int] = set()  # no two nodes share one, or a byte would lead to the other's child

    def place(node: dict[int, Any], position: int) -> None:
        first = min(node)
        start = max(1, len(units) - 256)  # gaps further back stay: looking for them costs more than they are worth
        while start ^ first in bases or any(start ^ first ^ byte in units for byte in node):
            start += 1
        base = start ^ first
        bases.add(base)
        units[position] |= (position ^ base) << 10 | (_HAS_VALUE if 0 in node else 0)
        for byte, child in node.items():
            units[base ^ byte] = _LEAF | child if byte == 0 else byte
        for byte, child in node.items():
            if byte:
                place(child, base ^ byte)

    place(trie, 0)
    # An unused unit has label 0, which no byte of a key has. The last block of 256 is whole: no lookup leaves it.
    return [units.get(position, 0) for position in range((max(units) | 0xFF) + 1)]
