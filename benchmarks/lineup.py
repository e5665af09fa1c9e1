"""The contenders of a comparison, on a CPU and on CUDA."""

from benchmarks import with_engine, with_int8, with_transformers
from benchmarks.contenders import Contender

REFERENCE = "tutorial"
"""The contender that the others are compared with."""
PACKED, PADDED = "engine-bf16", "sorted-bf16"
"""The contenders that compute in bf16 without padding and with padding."""


def lineup(device: str) -> list[Contender]:
    """The contenders on ``device``, in the order of the table. The first one is the reference."""
    return _on_cuda() if device == "cuda" else _on_cpu()


def _unsorted(precision: str) -> list[Contender]:
    batches = f"batches of {with_transformers.ROWS} in input order, padded to the longest text of the batch"
    library = f"transformers' pipeline(), {precision}, {batches}"
    return [
        Contender(REFERENCE, f"transformers, fp32, {batches}", "fp32", with_transformers.load_tutorial, slow=True),
        Contender("pipeline", library, precision, with_transformers.load_pipeline, slow=True),
    ]


def _sorted(tokens: int) -> str:
    return f"sorted by length, batches of {tokens:,} tokens with padding, one batch at a time"


def _on_cuda() -> list[Contender]:
    padded = f"transformers, bf16, {_sorted(with_transformers.SORTED_TOKENS['cuda'])}"
    return [
        *_unsorted("bf16"),
        Contender(PADDED, padded, "bf16", with_transformers.load_sorted, slow=True),
        Contender(PACKED, "this engine, bf16, packed (no padding)", "bf16", with_engine.load_bf16),
    ]


def _on_cpu() -> list[Contender]:
    padded = f"transformers, bf16, {_sorted(with_transformers.SORTED_TOKENS['cpu'])}"
    onnx = f"ONNX Runtime, dynamic int8 (quantize_dynamic), {_sorted(with_int8.ONNX_TOKENS)}"
    openvino = f"OpenVINO, static int8 (NNCF) of transformers' model, one stream, {_sorted(with_int8.OPENVINO_TOKENS)}"
    return [
        *_unsorted("fp32"),
        Contender(PADDED, padded, "bf16", with_transformers.load_sorted),
        Contender(
            "onnxruntime-int8", onnx, "int8", with_int8.load_onnx, with_int8.prepare_onnx, ("onnx", "onnxruntime")
        ),
        Contender(
            "openvino-int8", openvino, "int8", with_int8.load_openvino, with_int8.prepare_openvino, ("openvino", "nncf")
        ),
        Contender("engine-fp32", "this engine, fp32", "fp32", with_engine.load_fp32),
        Contender(PACKED, "this engine, bf16", "bf16", with_engine.load_bf16, needs=("openvino",)),
        Contender(
            "engine-int8",
            "this engine, int8",
            "int8",
            with_engine.load_int8,
            with_engine.prepare_int8,
            ("openvino", "nncf"),
        ),
    ]
