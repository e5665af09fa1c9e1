"""Slices: parts of the test rows in which a candidate is also compared on its own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

_LENGTHS = (30, 100, 300)  # upper ends of the length bands, in characters of the normalised text

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class HeldOut:
    """The test rows, column by column, in one order."""

    labels: npt.NDArray[np.int64]
    """(n,)"""
    products: Sequence[str | None]
    lengths: npt.NDArray[np.int64]
    """(n,), in characters."""
    created_at: Sequence[datetime]
    due: datetime
    """The time of the corpus snapshot."""

    def __len__(self) -> int:
        return len(self.labels)


def slices(rows: HeldOut, *, min_rows: int, recent_days: int) -> dict[str, Mask]:
    """Slice name to mask (n,): products by name, length bands, the last ``recent_days`` days before ``rows.due``.

    Slices of fewer than ``min_rows`` rows are left out, and so is a slice that has all rows.
    """
    found: dict[str, Mask] = {}
    counts = Counter(product for product in rows.products if product is not None)
    for product in sorted(name for name, n in counts.items() if n >= min_rows):
        found[f"product {product}"] = np.array([one == product for one in rows.products], dtype=bool)
    first = 0
    for last in _LENGTHS:
        found[f"{first} to {last} characters"] = (rows.lengths >= first) & (rows.lengths <= last)
        first = last + 1
    found[f"{first} characters and more"] = rows.lengths >= first
    since = rows.due - timedelta(days=recent_days)
    found[f"last {recent_days} days"] = np.array([created_at > since for created_at in rows.created_at], dtype=bool)
    return {name: mask for name, mask in found.items() if min_rows <= mask.sum() < len(rows)}
