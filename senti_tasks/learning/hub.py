"""Models on the Hugging Face Hub: which commit is meant, so that it can be pinned and recorded, and its files."""

import os
from contextlib import suppress
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import CacheNotFound, HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError

from senti_tasks.errors import BaseModelError

_TIMEOUT = 10.0  # seconds


def newest_commit(name: str) -> str:
    """The commit that hub model ``name`` is at: 40 hex digits.

    Asked of the hub (``HF_ENDPOINT`` names a mirror). Where it does not answer, or ``HF_HUB_OFFLINE`` is set, it is the
    newest commit in the local cache. Raises ``BaseModelError`` with what was tried and what can be done.
    """
    try:
        found = huggingface_hub.HfApi().model_info(name, timeout=_TIMEOUT).sha
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise BaseModelError(
            f"{endpoint()} knows no model {name!r}, or keeps it private, and there is no such folder: "
            "check the name (OWNER/NAME), set HF_TOKEN, or give a local folder or scratch:small"
        ) from error
    except OfflineModeIsEnabled as error:
        return _cached_commit(name, "HF_HUB_OFFLINE is set", error)
    except Exception as error:  # httpx, requests and the hub's client each have errors of their own for "no answer"
        return _cached_commit(name, f"{endpoint()} did not answer ({type(error).__name__})", error)
    if not found:
        raise BaseModelError(f"{endpoint()} names no commit of {name!r}: give a local folder instead")
    return found


def fetch(name: str, commit: str, weights: bool) -> Path:
    """The local folder with the files of ``name`` at ``commit`` that a training needs: never code, never a pickle.

    Without ``weights`` those of the configuration and the tokenizer. Where the hub does not answer, what the cache
    holds; one request finds that out, as the client retries each file for half a minute. Raises ``BaseModelError``.
    """
    try:
        huggingface_hub.HfApi().model_info(name, revision=commit, timeout=_TIMEOUT)
        silent = None
    except Exception as error:  # as above
        silent = error
    patterns = ["*.json", "*.txt", "*.model", *(["model*.safetensors"] if weights else [])]
    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                name, revision=commit, allow_patterns=patterns, local_files_only=silent is not None
            )
        )
    except Exception as error:
        raise _unreachable(name, f"{endpoint()} did not answer ({type(silent or error).__name__})") from error
    if silent and weights and not any(folder.glob("model*.safetensors")):
        raise _unreachable(name, f"{endpoint()} did not answer ({type(silent).__name__})") from silent
    return folder


def _cached_commit(name: str, reason: str, error: Exception) -> str:
    with suppress(CacheNotFound):
        for repository in huggingface_hub.scan_cache_dir().repos:
            if (repository.repo_type, repository.repo_id) == ("model", name) and repository.revisions:
                return max(repository.revisions, key=lambda revision: revision.last_modified).commit_hash
    raise _unreachable(name, reason) from error


def _unreachable(name: str, reason: str) -> BaseModelError:
    return BaseModelError(
        f"base model {name!r} cannot be loaded: {reason}, and it is not in the cache; "
        "set HF_ENDPOINT to a mirror that this machine reaches, or give a local folder or scratch:small"
    )


def endpoint() -> str:
    """The address that models are asked of."""
    return os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT
