"""Requests to the Hugging Face Hub: its address, commits of models and data sets, and the search for data sets.

``HF_ENDPOINT`` is the address of a mirror. The client reads it when it is imported, so load the settings before.
"""

import os
from typing import Any, Literal

import huggingface_hub
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from senti_tasks.errors import HubError

TIMEOUT = 10.0  # seconds


class UnknownToHubError(HubError):
    """The hub answered that there is no such model or data set, or that this token may not read it."""

    retry_can_help = False


class NoAnswerError(HubError):
    """The hub did not answer. The local cache may still have the files."""

    retry_can_help = True


class OfflineError(NoAnswerError):
    """HF_HUB_OFFLINE forbids requests to the hub. The local cache may still have the files."""

    retry_can_help = False


def newest_commit(name: str, kind: Literal["model", "dataset"], revision: str | None = None) -> str:
    """The commit, 40 hex digits, of ``revision`` (branch, tag or commit; ``None``: the main branch) of ``name``.

    Raises ``UnknownToHubError`` and ``NoAnswerError``.
    """
    api = huggingface_hub.HfApi()
    ask: Any = api.model_info if kind == "model" else api.dataset_info
    try:
        found: str | None = ask(name, revision=revision, timeout=TIMEOUT).sha
    except Exception as error:  # see explained
        raise explained(error, name, revision) from error
    if not found:
        raise UnknownToHubError(f"{endpoint()} names no commit of {name!r}")
    return found


def explained(error: Exception, name: str, revision: str | None = None) -> UnknownToHubError | NoAnswerError:
    """The error of ours for an ``error`` that the hub's client raised about ``name``.

    httpx, requests and the client have many errors for "no answer", so every error that is not listed here becomes
    ``NoAnswerError``.
    """
    match error:
        case GatedRepoError():
            return UnknownToHubError(gated(name))
        case RevisionNotFoundError():
            return UnknownToHubError(f"{name!r} has no branch, tag or commit {revision!r} on {endpoint()}")
        case RepositoryNotFoundError() | HFValidationError():
            return UnknownToHubError(f"{endpoint()} knows no {name!r}, or keeps it private")
        case OfflineModeIsEnabled():
            return OfflineError("HF_HUB_OFFLINE is set")
        case _:
            return NoAnswerError(f"{endpoint()} did not answer ({type(error).__name__})")


def gated(name: str) -> str:
    """The message for a model or data set whose owner grants access on request."""
    return f"{name!r} is gated, and this token may not read it: ask its owner for access at {endpoint()}"


def search_datasets(text: str, limit: int) -> list[dict[str, Any]]:
    """Up to ``limit`` data sets that the hub finds for ``text``, the most downloaded first.

    Rows: id, downloads (of the last month), likes, last_modified, description (one line; empty where there is none),
    tags, gated. Raises ``HubError``.
    """
    fields: Any = ["downloads", "likes", "lastModified", "description", "tags", "gated"]
    try:
        # The search retries six times if the hub does not answer; this request finds that out faster.
        huggingface_hub.get_session().head(endpoint(), timeout=TIMEOUT)
        found = list(huggingface_hub.HfApi().list_datasets(search=text, sort="downloads", limit=limit, expand=fields))
    except Exception as error:  # see explained
        reason = explained(error, text)
        raise type(reason)(f"cannot search data sets: {reason}; set HF_ENDPOINT to a mirror that answers") from error
    return [
        {
            **{name: getattr(one, name) for name in ("id", "downloads", "likes", "last_modified")},
            "description": " ".join((one.description or "").split()),
            "tags": list(one.tags or []),
            "gated": bool(one.gated),
        }
        for one in found
    ]


def endpoint() -> str:
    """The address of the hub or of its mirror."""
    return os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT
