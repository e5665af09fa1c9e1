"""Parts of the test rows that a model must not fail in, however good it is on the whole."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

LENGTHS = (30, 100, 300)
"""Ends of the length bands, in characters of the normalised text."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class HeldOut:
    """What is known of the test rows, in one order."""

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


def slices(rows: HeldOut, *, at_least: int, recent_days: int) -> dict[str, Mask]:
    """Name to the rows (n,) of each slice of ``at_least`` rows: products, length bands, the last ``recent_days``.

    A slice that holds every row says nothing of its own and is left out. Products come in the order of their names.
    """
    found: dict[str, Mask] = {}
    counts = Counter(product for product in rows.products if product is not None)
    for product in sorted(name for name, n in counts.items() if n >= at_least):
        found[f"product {product}"] = np.array([one == product for one in rows.products], dtype=bool)
    first = 0
    for last in (*LENGTHS, None):
        within = rows.lengths >= first if last is None else (rows.lengths >= first) & (rows.lengths <= last)
        found[f"{first} characters and more" if last is None else f"{first} to {last} characters"] = within
        first = (last or 0) + 1
    since = rows.due - timedelta(days=recent_days)
    found[f"last {recent_days} days"] = np.array([created_at > since for created_at in rows.created_at], dtype=bool)
    return {name: mask for name, mask in found.items() if at_least <= mask.sum() < len(rows)}
