"""Searches files for secrets and for texts of reviews that were planted, or that are in the sample."""

import base64
from pathlib import Path

from local import sample
from tests.situations import SAMPLE_ROWS

SENTENCE = "青铜座钟敲了十三下，隔壁的鹦鹉背起了账单"
PASSWORD, KEY_PASSWORD, TOKEN = "geheim-Kz7Qv2", "geheim-Xw4Lm9", "hf_geheimRt5Yb8"
WINDOW = 6
"""Characters in a row. Fewer could be found by chance, and more would let a cut sentence pass."""


def windows(sentence: str, length: int = WINDOW) -> set[str]:
    """All pieces of ``sentence`` of so many characters."""
    return {sentence[start : start + length] for start in range(len(sentence) - length + 1)}


def spellings(words: str) -> set[bytes]:
    """The bytes by which ``words`` may stand in a file: UTF-8, UTF-16, JSON's escapes, and base64."""
    plain = words.encode()
    shifted = [base64.b64encode(b"x" * shift + plain)[4 if shift else 0 : -4] for shift in range(3)]
    return {plain, words.encode("utf-16-le"), words.encode("ascii", "backslashreplace"), *shifted}


def leaks(folder: Path) -> dict[str, set[str]]:
    """By file below ``folder``: which of the planted words and of the texts of the sample are in it."""
    texts = {one.review for one in sample.reviews(SAMPLE_ROWS) if len(one.review) >= WINDOW}
    words = [*windows(SENTENCE), PASSWORD, KEY_PASSWORD, TOKEN, *texts]
    wanted = {spelling: word for word in words for spelling in spellings(word)}
    found: dict[str, set[str]] = {}
    for file in (path for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        if hits := {word for spelling, word in wanted.items() if spelling in content}:
            found[str(file.relative_to(folder))] = hits
    return found
