"""What this machine computes on, and which variant of a model it computes fastest."""

import torch

from senti_tasks.errors import ConfigError

VARIANTS = ("fp32", "bf16", "int8")
"""The variants a model can have. fp32 is the model as it was trained; the others are made from it, and proven."""


def device_named(name: str) -> torch.device:
    """``auto`` is CUDA where there is one and the CPU elsewhere. Raises ``ConfigError`` when ``name`` is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"SENTI_DEVICE must be auto, cpu or cuda (CUDA_VISIBLE_DEVICES chooses one), found {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("SENTI_DEVICE is cuda, and torch finds no CUDA device here: set it to auto or cpu")
    return torch.device(name)


def fastest_variants(device: str = "auto") -> list[str]:
    """The variants worth having on ``device``, the fastest first; fp32 is always among them."""
    if device_named(device).type == "cuda":
        return ["bf16", "fp32"] if cuda_has_bf16() else ["fp32"]
    native = cpu_capabilities()
    int8 = "INT8" in native or has_fbgemm()
    return [variant for variant, pays in (("int8", int8), ("bf16", "BF16" in native)) if pays] + ["fp32"]


def cuda_has_bf16() -> bool:
    """Whether the CUDA device multiplies bf16 itself, as Ampere and later do; others emulate it."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def wanted_variants(setting: str, device: str = "auto") -> list[str]:
    """The variants to try, in order, for what SENTI_VARIANT says: ``auto``, or a variant and the more exact ones after
    it."""
    return fastest_variants(device) if setting == "auto" else list(reversed(VARIANTS[: VARIANTS.index(setting) + 1]))


def has_fbgemm() -> bool:
    """Whether torch multiplies bytes on this CPU by instructions that every x86 of the last ten years has (AVX2)."""
    return "fbgemm" in torch.backends.quantized.supported_engines and torch.cpu._is_avx2_supported()


def cpu_capabilities() -> frozenset[str]:
    """What this CPU computes natively, of FP32, BF16 and INT8; without OpenVINO, which uses the others, FP32."""
    try:
        from senti_tasks.scoring.on_openvino import capabilities
    except ImportError:
        return frozenset({"FP32"})
    return capabilities()


def description(device: torch.device) -> str:
    """The device in words, with what decides its speed: a probe's result is kept under it."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
