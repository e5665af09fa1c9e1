"""Compiles character replacements into the binary format of ``normalizers.Precompiled`` of ``tokenizers``.

The format is SentencePiece's character map: the length of a double array in bytes, the double array (a trie over UTF-8
bytes in the layout of darts-clone), then the replacement texts, each terminated by NUL. The alternative, one
``normalizers.Replace`` per character, would scan each text once per character.
"""

import struct
from collections.abc import Mapping
from typing import Any

_LEAF = 1 << 31  # flag of a unit that holds a value
_HAS_VALUE = 1 << 8  # flag of a unit at which a key ends


def compile_charsmap(replacements: Mapping[str, str]) -> bytes:
    """The map for ``replacements`` (single character to text), which must not contain NUL.

    The same ``replacements`` in any order give the same bytes. The library looks up graphemes. A combining accent that
    follows a replaced character is therefore dropped, if both together have at most five bytes.
    """
    texts = bytearray()
    trie: dict[int, Any] = {}
    for character, text in sorted(replacements.items()):
        node = trie
        for byte in character.encode():
            node = node.setdefault(byte, {})
        node[0] = len(texts)  # the offset of the replacement
        texts += text.encode() + b"\0"
    units = _double_array(trie)
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + bytes(texts)


def _double_array(trie: dict[int, Any]) -> list[int]:
    """The units of ``trie`` (byte to node, byte 0 to value). The child for byte b is unit ``position ^ offset ^ b``."""
    units: dict[int, int] = {0: 0}
    # Each node has a different base. With a shared base, a byte could lead to the child of the other node.
    bases: set[int] = set()

    def place(node: dict[int, Any], position: int) -> None:
        first = min(node)
        start = max(1, len(units) - 256)  # gaps further back stay unused: a search for them would take too long
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
    # Unused units have label 0, which is no byte of a key. The last block has all 256 units, so that every lookup stays
    # inside the array.
    return [units.get(position, 0) for position in range((max(units) | 0xFF) + 1)]
