"""What is done to a review's text, in one place: its identity, its clean form and its fitness to be scored."""

import hashlib
import re
import unicodedata

NORMALISER_VERSION = 1
"""Recorded with every model: a model must be fed texts cleaned by the rule it was trained with."""

_CONTROL = re.compile(r"[\u0000-\u0008\u000e-\u001f\u007f-\u0084\u0086-\u009f\u200b\u2060\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_STRAY_BYTE = re.compile(r"[\udc80-\udcff]")  # as "surrogateescape" reads what is not UTF-8
_SPACE = re.compile(r"\s+")


def normalise(text: str) -> str:
    """``text`` without control and zero-width characters, each run of white space as one blank, ends stripped.

    Everything else stays: Han characters, emoji (their joiners too) and punctuation carry sentiment. Case and
    compatibility forms depend on the vocabulary, so the tokenizer saved with the model folds those.
    """
    if _is_plain(text):
        return text.strip(" ")
    return _SPACE.sub(" ", _CONTROL.sub("", text)).strip()


def _is_plain(text: str) -> bool:
    """Whether ``text`` holds nothing to normalise between its ends; such a text has no defect but being blank.

    Blanks are the only printable white space, and no control character, zero-width character or surrogate is printable.
    Most reviews are plain, and this takes a tenth of the time of searching them for each of those.
    """
    return text.isprintable() and "  " not in text


def text_hash(text: str) -> str:
    """Which text this is: the first 32 hex digits of SHA-256 over its UTF-8 bytes, as it stands in the database.

    Over the raw text, so that other people's SQL can fill ``review_annotations.text_hash`` without us; PostgreSQL:
    ``left(encode(sha256(convert_to(review_text, 'UTF8')), 'hex'), 32)``.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def folded(text: str) -> str:
    """``text`` as it is compared with others: its letters and digits, NFKC and case-folded.

    A text with no letter and no digit (emoji only) is compared as it is.
    """
    compatible = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(character for character in compatible if unicodedata.category(character)[0] in "LN")
    return kept or text


def content_hash(text: str) -> str:
    """What decides a text's split: SHA-256 over ``folded(text)``, 64 hex digits.

    Reviews that differ in punctuation, spacing, width or case alone share a key.
    """
    return hashlib.sha256(folded(text).encode("utf-8", "surrogatepass")).hexdigest()


def defect(text: str | None) -> str | None:
    """Why ``text`` cannot be stored or scored, in words for a person; ``None`` when it can."""
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
