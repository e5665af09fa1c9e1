"""The machine and library versions of a measurement. Every output begins with them: figures depend on both."""

import os
import platform
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

_FLAGS = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
    "bf16",
)
"""CPU features that decide the speed of fp32, bf16 and int8 products."""
_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "openvino", "nncf", "onnxruntime")


def describe() -> dict[str, Any]:
    """The machine, the versions of Python and the libraries, and the time, as JSON values.

    The version of a library that is not installed is ``None``. ``load`` is the load average of 1, 5 and 15 minutes.
    """
    return {
        "machine": {
            "cpu": _cpu_field("model name") or platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "threads": torch.get_num_threads(),
            "flags": sorted(set(_FLAGS) & set((_cpu_field("flags") or _cpu_field("Features") or "").split())),
            "load": [round(load, 2) for load in os.getloadavg()],
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def lines(description: dict[str, Any]) -> list[str]:
    """The result of ``describe`` as the items of a Markdown list."""
    machine = description["machine"]
    versions = [f"{name} {version or 'not installed'}" for name, version in description["versions"].items()]
    cpu = f"{machine['cpu']}, {machine['cores']} cores ({', '.join(machine['flags']) or 'features unknown'})"
    return [
        f"- machine: {cpu}, GPU: {machine['gpu'] or 'none'}; load average before the measurement: {machine['load'][0]}",
        f"- versions: {', '.join(versions)}",
        f"- date: {description['date']}",
    ]


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _cpu_field(name: str) -> str | None:
    """The first value of ``name`` in /proc/cpuinfo; ``None`` without that field or file (only Linux has it)."""
    try:
        fields = (line.partition(":") for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines())
        return next((value.strip() for key, _, value in fields if key.strip() == name), None)
    except OSError:
        return None
