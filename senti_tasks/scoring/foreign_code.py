"""Finds out whether a model folder names code that a loader would run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FIELDS = ("auto_map", "custom_generate", "custom_pipelines")
"""The fields by which a JSON file of transformers names Python code in the folder, or on the Hugging Face Hub."""
KERNELS = ("attn_implementation", "experts_implementation", "use_kernels")
"""Fields by which a config.json names compiled code on the Hugging Face Hub; with a leading underscore too."""


def named_in(folder: Path) -> str | None:
    """The first place where a JSON file of ``folder`` names code, as "FILE: FIELD"; ``None`` if no file does.

    Loaders read JSON files beside the weights only, so sub-folders are not searched. A file that cannot be read as JSON
    names nothing: no loader can read it.
    """
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        for name, value in _fields(content):
            if _names_code(name, value):
                return f"{path.name}: {name}"
    return None


def _fields(content: Any) -> Iterator[tuple[str, Any]]:
    """Every field at any depth of ``content``."""
    waiting = [content]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield from found.items()
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _names_code(name: str, value: Any) -> bool:
    if name in FIELDS:
        # In a vocabulary (vocab.json, added_tokens.json) a field is a token, and its value is the id of the token.
        return bool(value) and not isinstance(value, int)
    # "sdpa" and "eager" are part of transformers; OWNER/NAME is a repository of kernels on the Hub.
    return name.lstrip("_") in KERNELS and (value is True or "/" in str(value))
