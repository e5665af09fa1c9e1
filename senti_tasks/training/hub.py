"""Models on the Hugging Face Hub: which commit is meant, so that it can be pinned and recorded, and its files."""

from contextlib import suppress
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import CacheNotFound

from senti_tasks import hub
from senti_tasks.errors import BaseModelError, HubError


def newest_commit(name: str) -> str:
    """The commit that hub model ``name`` is at: 40 hex digits.

    Asked of the hub (``HF_ENDPOINT`` names a mirror). Where it does not answer, or ``HF_HUB_OFFLINE`` is set, it is the
    newest commit in the local cache. Raises ``BaseModelError`` with what was tried and what can be done.
    """
    try:
        return hub.newest_commit(name, "model")
    except hub.UnknownToHubError as error:
        raise BaseModelError(
            f"{hub.endpoint()} knows no model {name!r}, or keeps it private, and there is no such folder: "
            "check the name (OWNER/NAME), set HF_TOKEN, or give a local folder or scratch:small"
        ) from error
    except hub.NoAnswerError as error:
        return _cached_commit(name, error)


def fetch(name: str, commit: str, weights: bool) -> Path:
    """The local folder with the files of ``name`` at ``commit`` that a training needs: never code, never a pickle.

    Without ``weights`` those of the configuration and the tokenizer. Where the hub does not answer, what the cache
    holds; one request finds that out, as the client retries each file for half a minute. Raises ``BaseModelError``.
    """
    try:
        hub.newest_commit(name, "model", commit)
        silent = None
    except HubError as error:
        silent = error
    patterns = ["*.json", "*.txt", "*.model", *(["model*.safetensors"] if weights else [])]
    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                name, revision=commit, allow_patterns=patterns, local_files_only=silent is not None
            )
        )
    except Exception as error:  # see hub.explained
        raise _unreachable(name, silent or hub.explained(error, name)) from error
    if silent and weights and not any(folder.glob("model*.safetensors")):
        raise _unreachable(name, silent) from silent
    return folder


def _cached_commit(name: str, silent: hub.NoAnswerError) -> str:
    with suppress(CacheNotFound):
        for repository in huggingface_hub.scan_cache_dir().repos:
            if (repository.repo_type, repository.repo_id) == ("model", name) and repository.revisions:
                return max(repository.revisions, key=lambda revision: revision.last_modified).commit_hash
    raise _unreachable(name, silent) from silent


def _unreachable(name: str, reason: Exception) -> BaseModelError:
    return BaseModelError(
        f"base model {name!r} cannot be loaded: {reason}, and it is not in the cache; "
        "set HF_ENDPOINT to a mirror that this machine reaches, or give a local folder or scratch:small"
    )
