"""The definition of a contender: one way to compute P(positive) from texts. All contenders use the same weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from senti_tasks.scoring import devices

Predict = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""From texts to P(positive) of each text, in the same order: (n,), float32."""


@dataclass(frozen=True, slots=True)
class Job:
    """The input of a contender's ``prepare`` and ``load``."""

    model: Path
    """The folder of the fp32 model and its tokenizer."""
    variants: Path
    """The folder where ``prepare`` writes variants of the model."""
    device: str
    """``cpu`` or ``cuda``."""
    rows: int
    """Number of texts in one round."""
    mean_tokens: float
    """Mean number of tokens of a text."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to score texts."""

    name: str
    what: str
    """A description for the legend of the table."""
    precision: str
    """Precision of its matrix products: fp32, bf16 or int8. "of peak" compares with the peak of this precision."""
    load: Callable[[Job], Predict]
    """Loads the model and returns the function to measure."""
    prepare: Callable[[Job, Sequence[str]], None] | None = None
    """Writes a variant of the model into ``Job.variants``. The texts are for calibration. Runs in a separate process.
    ``None`` if the contender uses the fp32 model."""
    needs: tuple[str, ...] = ()
    """Required packages other than torch, transformers and numpy."""
    slow: bool = False
    """Whether it scores a sample of the texts instead of all of them."""

    def reason_to_skip(self, device: str) -> str | None:
        """Why it cannot run on ``device``; ``None`` if it can."""
        if missing := [name for name in self.needs if find_spec(name) is None]:
            return f"{' and '.join(missing)} not installed"
        if self.precision == "bf16" and not native_bf16(device):
            return f"no bf16 instructions found on this {device}"
        return None


def native_bf16(device: str) -> bool:
    """Whether ``device`` has instructions for bf16 products."""
    return devices.cuda_has_bf16() if device == "cuda" else "BF16" in devices.cpu_capabilities()
