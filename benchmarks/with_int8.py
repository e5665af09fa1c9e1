"""Contenders that score in int8 with ONNX Runtime and OpenVINO, each by its usual recipe.

Both are optional, so each is imported inside the function that uses it.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.contenders import Job, Predict
from benchmarks.with_transformers import in_sorted_batches
from benchmarks.workload import LONGEST

ONNX_TOKENS, OPENVINO_TOKENS = 2_048, 1_024
_NAMES = ["input_ids", "attention_mask"]
_ONNX, _OPENVINO = "dynamic-int8.onnx", "static-int8.xml"

Inputs = dict[str, npt.NDArray[np.int64]]


def prepare_onnx(job: Job, calibration: Sequence[str]) -> None:
    """Exports the classifier to ONNX and quantises its weights to int8.

    ``calibration`` is not used: dynamic quantisation computes the ranges of the activations for each batch.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    exported = job.variants / "fp32.onnx"
    axes = {name: {0: "texts", 1: "tokens"} for name in _NAMES}
    torch.onnx.export(  # dynamo=False: the torch.export exporter gives the same products and takes 10 times as long
        _Logits(job),
        _example(),
        str(exported),
        input_names=_NAMES,
        output_names=["logits"],
        dynamic_axes={**axes, "logits": {0: "texts"}},
        opset_version=18,
        dynamo=False,
    )
    quantize_dynamic(exported, job.variants / _ONNX, weight_type=QuantType.QInt8)


def load_onnx(job: Job) -> Predict:
    """Sorted by length, batches of 2,048 tokens with padding, one batch at a time on all cores."""
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(job.variants / _ONNX, providers=["CPUExecutionProvider"])
    tokenizer = _tokenizer(job)

    def score(rows: list[list[int]]) -> npt.NDArray[np.float32]:
        return _positive(session.run(None, _pad(rows, tokenizer.pad_token_id))[0])

    return in_sorted_batches(tokenizer, ONNX_TOKENS, score)


def prepare_openvino(job: Job, calibration: Sequence[str]) -> None:
    """Converts transformers' classifier to OpenVINO without changes, then quantises it to int8.

    The ranges of the activations are measured on the texts of ``calibration``.
    """
    openvino = _openvino()
    os.environ["NNCF_CI"] = "1"  # turns off the telemetry of NNCF
    import nncf

    tokenizer = _tokenizer(job)
    rows = tokenizer(list(calibration), truncation=True, max_length=LONGEST)["input_ids"]
    quantised = nncf.quantize(
        openvino.convert_model(_Logits(job), example_input=_example()),
        nncf.Dataset([tuple(_pad([row], tokenizer.pad_token_id).values()) for row in rows]),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
    )
    openvino.save_model(quantised, job.variants / _OPENVINO, compress_to_fp16=False)


def load_openvino(job: Job) -> Predict:
    """Sorted by length, batches of 1,024 tokens with padding, one batch at a time in one stream on all cores."""
    compiled = _openvino().Core().compile_model(job.variants / _OPENVINO, "CPU", {"NUM_STREAMS": "1"})
    tokenizer = _tokenizer(job)

    def score(rows: list[list[int]]) -> npt.NDArray[np.float32]:
        return _positive(compiled(list(_pad(rows, tokenizer.pad_token_id).values()))[0])

    return in_sorted_batches(tokenizer, OPENVINO_TOKENS, score)


class _Logits(nn.Module):
    """The classifier of ``job`` with tensors as input and output, which the exporters need.

    Two inputs (B, T), int64; output: logits (B, n_labels).
    """

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.model = AutoModelForSequenceClassification.from_pretrained(
            job.model, local_files_only=True, trust_remote_code=False
        ).eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def _example() -> tuple[Tensor, Tensor]:
    """Token ids and attention mask of two rows, the second padded: (2, 8), int64."""
    return torch.ones((2, 8), dtype=torch.int64), torch.tensor([8 * [1], 5 * [1] + 3 * [0]])


def _pad(rows: list[list[int]], pad_id: int) -> Inputs:
    """Token ids and attention mask by input name, padded to the longest row: (B, T), int64."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max())[None] < lengths[:, None]  # (B, T)
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate(rows)
    return dict(zip(_NAMES, (ids, mask.astype(np.int64)), strict=True))


def _positive(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """P(positive) of each row: (B,), float32."""
    return torch.from_numpy(logits).softmax(-1)[:, 1].numpy()


def _tokenizer(job: Job) -> Any:
    return AutoTokenizer.from_pretrained(job.model, local_files_only=True, trust_remote_code=False)


def _openvino() -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # turns off the telemetry of OpenVINO
    import openvino

    return openvino
