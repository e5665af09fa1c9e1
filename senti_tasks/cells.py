"""Cells: the form in which values of a file are compared, and the spellings of a missing value."""

import re
import unicodedata

_ENGLISH = ("", "nan", "null", "none", "nil", "n/a", "na", "#n/a", "#na", "nat", "<na>", "<null>", "(null)", "#null!")
_WORDS = ("undefined", "missing", "unknown", "unlabelled", "unlabeled")
_MARKS = ("\\n", "-", "--", "---", "–", "—", "―", "/", "?", ".", "...")  # \\N is MySQL's and PostgreSQL's NULL
_CHINESE = ("空", "(空)", "空白", "空值", "无", "(无)", "没有", "暂无", "未知", "缺失", "不详")
_UNLABELLED = ("未标注", "未标记", "未标", "待标注", "无标签", "未评价")
_MISSING = frozenset((*_ENGLISH, *_WORDS, *_MARKS, *_CHINESE, *_UNLABELLED))
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


def is_missing(value: object) -> bool:
    """Whether ``value`` is blank, NaN, or one of the usual spellings of a missing value (NULL, N/A, NaT, -, 空, …)."""
    return plain(value) in _MISSING
