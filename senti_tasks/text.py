"""Everything that is computed from the text of a review: normal form, hashes and defects."""

import hashlib
import re
import unicodedata

NORMALISER_VERSION = 1
"""Version of ``normalise``, recorded with every model. A model must read texts normalised as in its training."""

_CONTROL = re.compile(r"[\u0000-\u0008\u000e-\u001f\u007f-\u0084\u0086-\u009f\u200b\u2060\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_STRAY_BYTE = re.compile(r"[\udc80-\udcff]")  # bytes that are not UTF-8, as "surrogateescape" decodes them
_SPACE = re.compile(r"\s+")


def normalise(text: str) -> str:
    """``text`` without control and zero-width characters, with each run of white space as one blank, and stripped.

    Everything else stays, because Han characters, emoji (with their joiners) and punctuation carry sentiment. How case
    and compatibility forms are folded depends on the vocabulary; the tokenizer saved with the model does that.
    """
    if _is_plain(text):
        return text.strip(" ")
    return _SPACE.sub(" ", _CONTROL.sub("", text)).strip()


def _is_plain(text: str) -> bool:
    """Whether ``normalise`` only needs to strip blanks from ``text``. Such a text is blank or has no defect.

    The blank is the only printable white space, and no control character, zero-width character or surrogate is
    printable. Most reviews are plain, and this check takes a tenth of the time of the three searches.
    """
    return text.isprintable() and "  " not in text


def text_hash(text: str) -> str:
    """The first 32 hex digits of SHA-256 over the UTF-8 bytes of the raw text, as it is in the database.

    The text is not normalised, so that other teams can fill ``review_annotations.text_hash`` in SQL. In PostgreSQL:
    ``left(encode(sha256(convert_to(review_text, 'UTF8')), 'hex'), 32)``.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def folded(text: str) -> str:
    """The form in which texts are compared: letters and digits only, NFKC and case-folded.

    Returns a text without letters and digits (for example, only emoji) unchanged.
    """
    compatible = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(character for character in compatible if unicodedata.category(character)[0] in "LN")
    return kept or text


def content_hash(text: str) -> str:
    """SHA-256 over ``folded(text)``, 64 hex digits. It decides the split of a text.

    Texts that differ only in punctuation, spacing, width or case have the same hash.
    """
    return hashlib.sha256(folded(text).encode("utf-8", "surrogatepass")).hexdigest()


def defect(text: str | None) -> str | None:
    """The reason why ``text`` cannot be stored or scored, for a person to read; ``None`` if it can."""
    if text is None or not normalise(text):
        return "the text is blank"
    if _is_plain(text):
        return None
    if "\0" in text:
        return "the text holds a NUL character, which PostgreSQL cannot store"
    if stray := _STRAY_BYTE.search(text):
        byte = stray[0].encode("utf-8", "surrogateescape").hex()
        return f"the text is not UTF-8: its byte 0x{byte} is part of no character"
    if _SURROGATE.search(text):
        return "the text holds half of a surrogate pair, which is no character"
    return None
