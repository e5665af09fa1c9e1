"""What a training ran on: the commit of this code, the versions of the libraries, and the machine."""

import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from senti_tasks.scoring import devices

LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "safetensors")
COMMIT = "SENTI_COMMIT"
"""The environment variable that names the commit in an image, which has no git."""
_GIT_SECONDS = 10


def describe(device: str) -> dict[str, str]:
    """commit (if it is known), python, machine, and the version of each library. ``device`` is that of the training."""
    found = {"python": platform.python_version(), "machine": devices.description(devices.device_named(device))}
    found |= {library: metadata.version(library) for library in LIBRARIES}
    if (known := commit()) is not None:
        found["commit"] = known
    return found


def commit() -> str | None:
    """The commit of this code: what pip recorded when it installed from git, or the checkout that holds the package, or
    SENTI_COMMIT. A checkout with changes has a + at its end. ``None`` if none of them is there."""
    return _installed() or _checked_out() or os.environ.get(COMMIT) or None


def _installed() -> str | None:
    """By PEP 610, pip records the commit of a package that it installs from git."""
    try:
        recorded = metadata.distribution("senti-tasks").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    found: str | None = json.loads(recorded or "{}").get("vcs_info", {}).get("commit_id")
    return found


def _checked_out() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # another repository around the installed package says nothing
        return None
    try:
        head, changes = (
            subprocess.run(  # noqa: S603  # no shell, and no part of it comes from outside
                ["git", "-C", str(root), *command],  # noqa: S607
                capture_output=True,
                text=True,
                timeout=_GIT_SECONDS,
                check=True,
            ).stdout.strip()
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}+" if changes else head
