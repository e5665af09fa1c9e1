"""Cells: the form in which values of a file are compared, and the spellings of a missing value."""

import math
import re
import unicodedata
from functools import lru_cache

_ENGLISH = ("", "nan", "null", "none", "nil", "n/a", "na", "#n/a", "#na", "nat", "<na>", "<null>", "(null)", "#null!")
_WORDS = ("undefined", "missing", "unknown", "unlabelled", "unlabeled")
_MARKS = ("\\n", "-", "--", "---", "–", "—", "―", "/", "?", ".", "...")  # \\N is MySQL's and PostgreSQL's NULL
_CHINESE = ("空", "(空)", "空白", "空值", "无", "(无)", "没有", "暂无", "未知", "缺失", "不详")
_UNLABELLED = ("未标注", "未标记", "未标", "待标注", "无标签", "未评价")
_MISSING = frozenset((*_ENGLISH, *_WORDS, *_MARKS, *_CHINESE, *_UNLABELLED))
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_WHOLE = re.compile(r"([+-]?)0*(\d+)(\.0*)?", re.ASCII)  # pandas turns whole numbers in a column with gaps into 1.0
_SHOWN_EXACTLY = 64  # characters; longer cells are no codes, and are not normalised


def plain(value: object) -> str:
    """``value`` as cells are compared: NFKC, stripped, case-folded; 1, 1.00, +1 and a full-width 1 are all "1".

    True and False are "true" and "false". ``None`` and NaN are "".
    """
    if value is None or value != value:  # NaN differs from itself
        return ""
    spelling = str(value).strip()
    if len(spelling) > _SHOWN_EXACTLY:
        return spelling
    spelling = unicodedata.normalize("NFKC", spelling).replace("\N{MINUS SIGN}", "-").strip().casefold()
    if whole := _WHOLE.fullmatch(spelling):
        sign, digits, _ = whole.groups()
        return "-" + digits if sign == "-" and digits != "0" else digits
    return spelling


def as_json(value: object) -> object:
    """``value`` as both databases can store it in JSON: text, number, truth, list or object.

    Returns ``None`` if it is missing. Times and other values are spelled. Raises ``ValueError`` for bytes, and for text
    that no database stores.
    """
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None if value != value else str(value)
        case str():
            if is_missing(value):
                return None
            if "\0" in value or _SURROGATE.search(value):
                raise ValueError("it holds a character that no database stores (NUL or half of a pair)")
            return value
        case bytes():
            raise ValueError(f"it is {len(value):,} bytes and not text")
        case list() | tuple():
            return [as_json(one) for one in value]
        case dict():
            return {str(as_json(str(key))): as_json(one) for key, one in value.items()}
    return as_json(value.item()) if hasattr(value, "item") else as_json(str(value))


def is_missing(value: object) -> bool:
    """Whether ``value`` is blank, NaN, or one of the usual spellings of a missing value (NULL, N/A, NaT, -, 空, …)."""
    if type(value) is str and len(value) <= _SHOWN_EXACTLY:
        return _is_missing_text(value)
    return plain(value) in _MISSING


@lru_cache(maxsize=65_536)  # a column repeats its products, its cities and its days
def _is_missing_text(spelling: str) -> bool:
    return plain(spelling) in _MISSING
