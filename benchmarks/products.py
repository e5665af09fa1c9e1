"""The speed of matrix products alone on this machine: the upper bound for every contender."""

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
"""Shortest time to repeat a product of one size, in seconds, by device."""


def load_peaks(device: str) -> Callable[[], dict[str, float]]:
    """A function that returns operations per second by precision: the best over several sizes of square matrices.

    fp32 and bf16 are torch's ``matmul``; bf16 only if the device has instructions for it. int8 is ONNX Runtime's
    ``MatMulInteger`` (uint8 times int8), on a CPU with onnx and onnxruntime installed. OpenVINO's int8 product is not
    measured. It is faster on some machines, so a contender can exceed 100 % of the int8 peak there.
    """
    dtypes = {"fp32": torch.float32} | ({"bf16": torch.bfloat16} if native_bf16(device) else {})
    widths = _SIZES[device]
    products = {name: [(2.0 * n**3, _in_torch(n, dtype, device)) for n in widths] for name, dtype in dtypes.items()}
    if device == "cpu" and find_spec("onnx") and find_spec("onnxruntime"):
        products["int8"] = [(2.0 * n**3, _in_onnx(n)) for n in widths]

    def measure() -> dict[str, float]:
        return {
            name: max(flop / _fastest(product, device) for flop, product in sizes) for name, sizes in products.items()
        }

    return measure


def load_chain(shape: Shape, device: str) -> Callable[[], dict[int, float]]:
    """A function that returns tokens per second of a model's products alone, in bf16, by the tokens of a batch.

    Each layer has the four products of the engine: queries, keys and values in one product, output, up and down. There
    is no attention, normalisation, GELU or bias.
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
        rates = {}
        for tokens in _CHAIN_TOKENS:
            x = torch.randn((tokens, h), device=device, dtype=torch.bfloat16)
            inner = torch.randn((tokens, 4 * h), device=device, dtype=torch.bfloat16)
            rates[tokens] = tokens / _fastest(_timer(partial(chain, x, inner), device), device)
        return rates

    return measure


def chain_flop(shape: Shape) -> float:
    """Operations per token of the products in ``load_chain``."""
    return float(shape.layers * 2 * 12 * shape.hidden**2)


def _in_torch(n: int, dtype: torch.dtype, device: str) -> Callable[[], float]:
    """A timer of torch's product of two (n, n) matrices."""
    a, b = (torch.randn((n, n), device=device).to(dtype) for _ in range(2))
    return _timer(lambda: torch.matmul(a, b), device)


def _in_onnx(n: int) -> Callable[[], float]:
    """A timer of ONNX Runtime's product of two (n, n) matrices: uint8 times int8."""
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
    return _timer(lambda: session.run(None, {"a": a}), "cpu")


def _timer(product: Callable[[], Any], device: str) -> Callable[[], float]:
    """A function that calls ``product`` once and returns the wall time in seconds, until the device has finished."""

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
    """The smallest result of ``seconds`` over repeated calls, for about ``_SECONDS[device]``."""
    until = time.perf_counter() + _SECONDS[device]
    fastest = seconds()
    while time.perf_counter() < until:
        fastest = min(fastest, seconds())
    return fastest
