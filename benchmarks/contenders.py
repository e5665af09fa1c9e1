"""What a contender is: a way of scoring the same texts with the same weights, from the texts to P(positive)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from senti_tasks.scoring import devices

Predict = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""Texts to P(positive) of each, in the order given: (n,), float32."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a contender is told."""

    model: Path
    """The folder of the fp32 model, with its tokenizer."""
    variants: Path
    """A folder for what is made of it."""
    device: str
    """``cpu`` or ``cuda``."""
    rows: int
    """Texts that it is going to be asked for at once."""
    mean_tokens: float
    """Tokens of a text, on average."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A way of scoring."""

    name: str
    what: str
    """What it does, for the legend of the table."""
    precision: str
    """In which it multiplies: fp32, bf16 or int8. Its share of the peak is of this one's."""
    load: Callable[[Job], Predict]
    prepare: Callable[[Job, Sequence[str]], None] | None = None
    """Makes its variant of the model below ``variants``, given texts to calibrate with; in a process of its own."""
    needs: tuple[str, ...] = ()
    """Packages beyond torch, transformers and numpy."""
    slow: bool = False
    """It gets a sample of the texts."""

    def unable(self, device: str) -> str | None:
        """Why it cannot run here; ``None`` when it can."""
        if missing := [name for name in self.needs if find_spec(name) is None]:
            return f"{' and '.join(missing)} not installed"
        if self.precision == "bf16" and not native_bf16(device):
            return "no native bf16 here"
        return None


def native_bf16(device: str) -> bool:
    """Whether ``device`` multiplies bf16 itself."""
    return devices.cuda_has_bf16() if device == "cuda" else "BF16" in devices.cpu_capabilities()
