"""The label set: here labels get their numbers, and nowhere else."""

NAMES: dict[int, str] = {0: "negative", 1: "positive"}
"""Label number to label name, as written into every checkpoint's ``id2label``."""

NUMBERS: dict[str, int] = {name: number for number, name in NAMES.items()}

_SPELLINGS: dict[str, int] = {
    **{str(number): number for number in NAMES},
    **NUMBERS,
    "neg": 0,
    "pos": 1,
    "负": 0,
    "正": 1,
    "负面": 0,
    "正面": 1,
    "差评": 0,
    "好评": 1,
}


def parse(value: object) -> int | None:
    """The label that ``value`` spells: a number (1, 1.0, True), a name or a usual abbreviation of it, in any case.

    ``None`` and blank text mean that nobody has labelled the review. Raises ``ValueError`` with what was expected.
    """
    if value is None or value != value:  # NaN is how pandas and Parquet files say "none"
        return None
    if isinstance(value, bool | float) and float(value).is_integer():
        value = int(value)
    spelling = str(value).strip().casefold()
    if not spelling:
        return None
    spelling = spelling.removesuffix(".0")  # a label column with gaps, once through pandas, reads 1.0
    if spelling not in _SPELLINGS:
        expected = ", ".join(f"{number} ({name})" for number, name in NAMES.items())
        raise ValueError(f"label {str(value)[:40]!r} is not one of {expected}")
    return _SPELLINGS[spelling]
