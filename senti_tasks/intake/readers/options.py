"""What a user says about a source, so that it is not found out."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """``None``: find it out."""

    format: str | None = None
    """A key of ``intake.FORMATS``."""
    encoding: str | None = None
    """A name of an encoding that Python knows."""
    separator: str | None = None
    """A character, or its name in ``dialects.SEPARATORS``."""
    quoting: str | None = None
    """One of ``dialects.QUOTINGS``."""
    header: bool | None = None
    """Whether the first row holds the names of the columns."""
    sheet: str | None = None
    """The name of a sheet."""
    rows_for_keys: int | None = None
    """Rows of JSON in which keys are looked for: all by default, which takes a second per 200,000 rows."""
