"""The devices of this machine, and the variants of a model that are fast on them."""

import torch

from senti_tasks.errors import ConfigError, DeviceGoneError

VARIANTS = ("fp32", "bf16", "int8")
"""The variants of a model, the most exact first. fp32 is the model as it was trained; the others are built from it."""
CASCADE = "cascade"
"""The variant that is made of several models: see ``cascades``."""


def device_named(name: str) -> torch.device:
    """The device with this name; ``auto`` is CUDA if there is one, else the CPU.

    Raises ``ConfigError`` if ``name`` is unknown, and ``DeviceGoneError`` if this machine lacks the device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"SENTI_DEVICE must be auto, cpu or cuda (CUDA_VISIBLE_DEVICES chooses one), found {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceGoneError(
            "SENTI_DEVICE is cuda, and torch finds no CUDA device here: look at `nvidia-smi`, or set it to auto or cpu "
            "(SENTI_CPU_AFTER_TRIES lets a task that scores do that by itself)"
        )
    return torch.device(name)


def fastest_variants(device: str = "auto") -> list[str]:
    """The variants that ``device`` computes natively, the fastest first. fp32 is always the last.

    A CPU without int8 instructions (VNNI or AMX) has fp32 alone: without them int8 is no faster.
    """
    if device_named(device).type == "cuda":
        return ["bf16", "fp32"] if cuda_has_bf16() else ["fp32"]
    native = cpu_capabilities()
    return [variant for variant in ("int8", "bf16", "fp32") if variant.upper() in native]


def cuda_has_bf16() -> bool:
    """Whether the CUDA device has bf16 instructions, as Ampere and later have; older ones emulate them."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def wanted_variants(setting: str, device: str = "auto") -> list[str]:
    """The variants to try for a value of SENTI_VARIANT, in order: the named one, then each that is more exact.

    ``auto`` stands for the fastest ones on ``device``, and for a cascade of them; and so does ``cascade``.
    """
    if setting in ("auto", CASCADE):
        return [CASCADE, *fastest_variants(device)]
    return list(reversed(VARIANTS[: VARIANTS.index(setting) + 1]))


def cpu_capabilities() -> frozenset[str]:
    """Which of FP32, BF16 and INT8 this CPU has instructions for; FP32 alone where OpenVINO is missing, which uses the
    others."""
    try:
        from senti_tasks.scoring.engines.on_openvino import capabilities
    except ImportError:
        return frozenset({"FP32"})
    return capabilities()


def description(device: torch.device) -> str:
    """The device in words, with everything that its speed depends on. The result of a probe is stored under it."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
