"""How fast the machine multiplies matrices and does nothing else: what every engine is a share of."""

import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from benchmarks.contenders import native_bf16
from benchmarks.workload import Shape

_SIZES = {"cpu": (1024, 2048, 4096), "cuda": (1024, 2048, 4096, 8192)}
_CHAIN_TOKENS = (8_192, 16_384, 32_768, 65_536)
_SECONDS = {"cpu": 0.4, "cuda": 0.1}
"""At least, for each size."""


def load_peaks(device: str) -> Callable[[], dict[str, float]]:
    """A function that gives operations a second, the best of several square products, by precision.

    fp32 and bf16 are torch's ``matmul``, bf16 where the machine has it. int8 is ONNX Runtime's ``MatMulInteger`` of
    unsigned and signed bytes, on a CPU with that library. OpenVINO's own int8 product is not measured, and is faster on
    some machines: a share of the int8 peak can then exceed 100 %.
    """
    dtypes = {"fp32": torch.float32} | ({"bf16": torch.bfloat16} if native_bf16(device) else {})
    sizes = _SIZES[device]
    products = {name: [(2.0 * n**3, _in_torch(n, dtype, device)) for n in sizes] for name, dtype in dtypes.items()}
    if device == "cpu" and find_spec("onnx") and find_spec("onnxruntime"):
        products["int8"] = [(2.0 * n**3, _in_onnx(n)) for n in sizes]

    def measure() -> dict[str, float]:
        return {name: max(flop / _fastest(product, device) for flop, product in of) for name, of in products.items()}

    return measure


def load_chain(shape: Shape, device: str) -> Callable[[], dict[int, float]]:
    """A function that gives tokens a second of a model's bare products, by the tokens of a batch, in bf16.

    Four products a layer, as the engine has them: queries, keys and values in one, output, up and down. No attention,
    no normalisation, no GELU, no biases.
    """
    h = shape.hidden
    widths = ((h, 3 * h), (h, h), (h, 4 * h), (4 * h, h))
    weights = [[torch.randn(size, device=device, dtype=torch.bfloat16) for size in widths] for _ in range(shape.layers)]

    @torch.inference_mode()
    def chain(x: torch.Tensor, inner: torch.Tensor) -> None:
        for qkv, out, up, down in weights:
            for left, right in ((x, qkv), (x, out), (x, up), (inner, down)):
                torch.matmul(left, right)

    def measure() -> dict[int, float]:
        found = {}
        for tokens in _CHAIN_TOKENS:
            x = torch.randn((tokens, h), device=device, dtype=torch.bfloat16)
            inner = torch.randn((tokens, 4 * h), device=device, dtype=torch.bfloat16)
            found[tokens] = tokens / _fastest(_timed(partial(chain, x, inner), device), device)
        return found

    return measure


def chain_flop(shape: Shape) -> float:
    """Operations of those products, a token."""
    return float(shape.layers * 2 * 12 * shape.hidden**2)


def _in_torch(n: int, dtype: torch.dtype, device: str) -> Callable[[], float]:
    a, b = (torch.randn((n, n), device=device).to(dtype) for _ in range(2))
    return _timed(lambda: torch.matmul(a, b), device)


def _in_onnx(n: int) -> Callable[[], float]:
    import onnx
    import onnxruntime  # type: ignore[import-untyped]

    random = np.random.default_rng(n)
    weights = onnx.numpy_helper.from_array(random.integers(-127, 128, (n, n)).astype(np.int8), "b")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "product",
        [onnx.helper.make_tensor_value_info("a", onnx.TensorProto.UINT8, [n, n])],
        [onnx.helper.make_tensor_value_info("c", onnx.TensorProto.INT32, [n, n])],
        [weights],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    a = random.integers(0, 256, (n, n)).astype(np.uint8)
    return _timed(lambda: session.run(None, {"a": a}), "cpu")


def _timed(product: Callable[[], Any], device: str) -> Callable[[], float]:
    """A function that gives the seconds of one call."""

    def seconds() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        product()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    return seconds


def _fastest(seconds: Callable[[], float], device: str) -> float:
    until = time.perf_counter() + _SECONDS[device]
    fastest = seconds()
    while time.perf_counter() < until:
        fastest = min(fastest, seconds())
    return fastest
