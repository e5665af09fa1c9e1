"""Base models on the Hugging Face Hub: their newest commit, which is pinned and recorded, and their files."""

from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import CacheNotFound

from senti_tasks import hub
from senti_tasks.errors import BaseModelError, BaseModelUnreachableError, HubError


def newest_commit(name: str) -> str:
    """The newest commit of the hub model ``name``: 40 hex digits.

    If the hub (or the mirror in ``HF_ENDPOINT``) does not answer, or ``HF_HUB_OFFLINE`` is set, it is the newest commit
    in the local cache. Raises ``BaseModelError`` if neither has it.
    """
    try:
        return hub.newest_commit(name, "model")
    except hub.UnknownToHubError as error:
        raise BaseModelError(
            f"{hub.endpoint()} knows no model {name!r}, or keeps it private, and there is no such folder: "
            "check the name (OWNER/NAME), set HF_TOKEN, or give a local folder or scratch:small"
        ) from error
    except hub.NoAnswerError as error:
        try:
            repositories = huggingface_hub.scan_cache_dir().repos
        except CacheNotFound:
            repositories = frozenset()
        for repository in repositories:
            if (repository.repo_type, repository.repo_id) == ("model", name) and repository.revisions:
                return max(repository.revisions, key=lambda revision: revision.last_modified).commit_hash
        raise _unreachable(name, error) from error


def fetch(name: str, commit: str, weights: bool) -> Path:
    """The local folder with the files of ``name`` at ``commit`` that a training needs: no code, no pickles.

    Without ``weights``: only the files of the configuration and the tokenizer. If the hub does not answer, the files
    come from the local cache. One request checks that first, because the client retries each file for half a minute.
    Raises ``BaseModelError``.
    """
    no_answer: HubError | None = None
    try:
        hub.newest_commit(name, "model", commit)
    except HubError as error:
        no_answer = error
    patterns = ["*.json", "*.txt", "*.model", *(["model*.safetensors"] if weights else [])]
    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                name, revision=commit, allow_patterns=patterns, local_files_only=no_answer is not None
            )
        )
    except Exception as error:  # hub.explained lists the errors that the client may raise
        raise _unreachable(name, no_answer or hub.explained(error, name)) from error
    if no_answer and weights and not any(folder.glob("model*.safetensors")):
        raise _unreachable(name, no_answer) from no_answer
    return folder


def _unreachable(name: str, reason: HubError) -> BaseModelError:
    kind = BaseModelUnreachableError if reason.retry_can_help else BaseModelError
    return kind(
        f"base model {name!r} cannot be loaded: {reason}, and it is not in the cache; "
        "set HF_ENDPOINT to a mirror that this machine reaches, or give a local folder or scratch:small"
    )
