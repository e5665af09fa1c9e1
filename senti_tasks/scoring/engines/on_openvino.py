"""Scoring with OpenVINO on a CPU: one inference stream per core, with asynchronous requests."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from senti_tasks.errors import ArtifactError
from senti_tasks.scoring import batches
from senti_tasks.scoring.batches import Batch
from senti_tasks.scoring.engines.attention import Padded, is_token
from senti_tasks.scoring.engines.bert import Bert, is_bert
from senti_tasks.scoring.engines.engine import Logits
from senti_tasks.scoring.engines.on_torch import CPU_BUDGETS, square
from senti_tasks.scoring.tokens import Tokens

# OpenVINO and NNCF send what they convert to Google Analytics, unless this package is missing. A test checks it.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino as ov  # noqa: E402

_FILE = "openvino_model.xml"
_STEP = 8  # widths are rounded up to a multiple: each new shape costs time to prepare its kernels, and memory


@cache
def capabilities() -> frozenset[str]:
    """Which of FP32, BF16 and INT8 this CPU has instructions for (INT8: VNNI or AMX)."""
    found = set(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    if "INT8" in found and not _multiplies_int8():
        found.remove("INT8")  # OpenVINO lists it for every CPU
    return frozenset(found & {"FP32", "BF16", "INT8"})


def _multiplies_int8() -> bool:
    """Whether the CPU has an instruction that multiplies and adds bytes. Without it int8 is no faster than fp32."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text("utf-8").split())
    except OSError:  # not Linux
        return True
    return bool(flags & {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "asimddp"})


def version() -> str:
    found: str = ov.__version__.split("-")[0]
    return found


def convert(model: Any) -> ov.Model:
    """An OpenVINO model of a transformers classifier, in fp32: input_ids (B, T) and lengths (B,) to logits."""
    example = (torch.ones((2, 8), dtype=torch.int32), torch.tensor([8, 5], dtype=torch.int32))
    wrapped = _PaddedBert(Bert(model)) if is_bert(model.config) else _PaddedAny(model)
    with torch.inference_mode():
        converted = ov.convert_model(wrapped.eval(), example_input=example)
    for tensor, name in zip(converted.inputs, ("input_ids", "lengths"), strict=True):
        tensor.get_tensor().set_names({name})
    converted.reshape({"input_ids": [-1, -1], "lengths": [-1]})
    return converted


def save(model: ov.Model, folder: Path) -> None:
    """Writes a converted model into ``folder``, for ``read``; weights keep their precision."""
    ov.save_model(model, folder / _FILE, compress_to_fp16=False)


def read(folder: Path) -> ov.Model:
    """The converted model in ``folder``. Raises ``ArtifactError``."""
    try:
        return ov.Core().read_model(folder / _FILE)
    except RuntimeError as error:
        raise ArtifactError(f"{folder} holds no {_FILE} that OpenVINO can load: {error}") from error


class _PaddedBert(nn.Module):
    """Three products for queries, keys and values: if they are quantised, each of them then writes bytes."""

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        self.bert = bert
        for layer in bert.encoder:
            layer.fused = False

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1])[None]  # (1, T)
        logits: Tensor = self.bert(ids, positions, Padded(self.bert.heads, lengths, ids.shape[1]))
        return logits


class _PaddedAny(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        mask = is_token(lengths, ids.shape[1]).long()  # (B, T)
        logits: Tensor = self.model(input_ids=ids.long(), attention_mask=mask).logits
        return logits


class OpenVino:
    """A converted classifier on the cores of this machine."""

    def __init__(self, model: ov.Model, pad_id: int, threads: int | None = None) -> None:
        """What is not int8 in ``model`` is computed in bf16 if the CPU can, else in fp32.

        ``threads``: the number of cores to use, by default as many as torch uses.
        """
        self._pad_id = pad_id
        streams = threads or torch.get_num_threads()
        compiled = ov.Core().compile_model(
            model,
            "CPU",
            {
                "NUM_STREAMS": str(streams),
                "INFERENCE_NUM_THREADS": streams,
                "INFERENCE_PRECISION_HINT": "bf16" if "BF16" in capabilities() else "f32",
                "ENABLE_CPU_PINNING": False,  # other processes would be pinned to the same cores
                "CPU_RUNTIME_CACHE_CAPACITY": 5000,  # shapes whose kernels are kept
            },
        )
        self._compiled = compiled
        self._idle: list[ov.InferRequest] = []
        self.token_budgets: Sequence[int] = CPU_BUDGETS
        self.at_once = streams

    def release(self) -> None:
        """Does nothing: no memory is kept between batches."""

    def batches(self, lengths: npt.NDArray[np.int64], token_budget: int) -> Iterator[Batch]:
        """Full batches have as many rows as ``token_budget`` allows for their width.

        A smaller last batch is filled to a quarter, a half or three quarters of that by repeating its first row,
        because each other size would be a new shape.
        """
        for batch in batches.padded(lengths, token_budget, _STEP):
            whole = batches.rows_of(int(lengths[batch[0]]), token_budget, _STEP)
            quarters = -(-4 * len(batch) // whole)
            yield batch + batch[:1] * (-(-quarters * whole // 4) - len(batch))

    def start(self, tokens: Tokens, batch: Batch) -> Callable[[], Logits]:
        """Requests beyond the number of streams wait in the queue of OpenVINO."""
        request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
        inputs = square(tokens, batch, self._pad_id, _STEP)
        request.start_async(dict(zip(("input_ids", "lengths"), inputs, strict=True)))

        def wait() -> Logits:
            request.wait()
            logits: Logits = request.get_output_tensor(0).data.copy()
            self._idle.append(request)  # one that failed is dropped
            return logits

        return wait
