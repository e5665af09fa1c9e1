"""Contenders that score in int8 by the usual recipe of other libraries, which are imported only where they are used."""

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
    """Exports the classifier and quantises its weights; ranges of activations are found anew in each batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    exported = job.variants / "fp32.onnx"
    axes = {name: {0: "texts", 1: "tokens"} for name in _NAMES}
    torch.onnx.export(  # by tracing: the exporter by torch.export gives the same products, and takes 10 times as long
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
    """Sorted by length, batches of 2,048 tokens, padding included, one after the other on all cores."""
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(job.variants / _ONNX, providers=["CPUExecutionProvider"])
    tokenizer = _tokenizer(job)

    def score(rows: list[list[int]]) -> npt.NDArray[np.float32]:
        return _positive(session.run(None, _square(rows, tokenizer.pad_token_id))[0])

    return in_sorted_batches(tokenizer, ONNX_TOKENS, score)


def prepare_openvino(job: Job, calibration: Sequence[str]) -> None:
    """Converts transformers' classifier as it is and quantises it with ranges that ``calibration`` shows."""
    openvino = _openvino()
    os.environ["NNCF_CI"] = "1"  # NNCF reports nothing
    import nncf

    tokenizer = _tokenizer(job)
    rows = tokenizer(list(calibration), truncation=True, max_length=LONGEST)["input_ids"]
    quantised = nncf.quantize(
        openvino.convert_model(_Logits(job), example_input=_example()),
        nncf.Dataset([tuple(_square([row], tokenizer.pad_token_id).values()) for row in rows]),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
    )
    openvino.save_model(quantised, job.variants / _OPENVINO, compress_to_fp16=False)


def load_openvino(job: Job) -> Predict:
    """Sorted by length, batches of 1,024 tokens, padding included, one after the other in one stream on all cores."""
    compiled = _openvino().Core().compile_model(job.variants / _OPENVINO, "CPU", {"NUM_STREAMS": "1"})
    tokenizer = _tokenizer(job)

    def score(rows: list[list[int]]) -> npt.NDArray[np.float32]:
        return _positive(compiled(list(_square(rows, tokenizer.pad_token_id).values()))[0])

    return in_sorted_batches(tokenizer, OPENVINO_TOKENS, score)


class _Logits(nn.Module):
    """The classifier of ``job``, from two tensors to one: what exporters understand."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.model = AutoModelForSequenceClassification.from_pretrained(job.model, local_files_only=True).eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def _example() -> tuple[Tensor, Tensor]:
    return torch.ones((2, 8), dtype=torch.int64), torch.tensor([8 * [1], 5 * [1] + 3 * [0]])


def _square(rows: list[list[int]], pad_id: int) -> Inputs:
    """The two inputs, (B, T), padded to the longest row."""
    lengths = np.array([len(row) for row in rows])
    read = np.arange(lengths.max())[None] < lengths[:, None]
    ids = np.full(read.shape, pad_id, dtype=np.int64)
    ids[read] = np.concatenate(rows)
    return dict(zip(_NAMES, (ids, read.astype(np.int64)), strict=True))


def _positive(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return torch.from_numpy(logits).softmax(-1)[:, 1].numpy()


def _tokenizer(job: Job) -> Any:
    return AutoTokenizer.from_pretrained(job.model, local_files_only=True)


def _openvino() -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it reports nothing without
    import openvino

    return openvino
