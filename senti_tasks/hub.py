"""The Hugging Face Hub as everything here asks it: where it is, which commit is meant, how long it may take to answer.

``HF_ENDPOINT`` names a mirror; the client reads it when it is imported, so the settings are loaded first.
"""

import os
from datetime import datetime
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
    """It answered: there is no such thing, or this token may not see it."""


class NoAnswerError(HubError):
    """It did not answer, or may not be asked; the cache may still know."""


def newest_commit(name: str, kind: Literal["model", "dataset"], revision: str | None = None) -> str:
    """The commit that ``revision`` (branch, tag or commit; ``None``: the main branch) of ``name`` is at: 40 hex digits.

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
    """What the client raised about ``name``, as one of the two errors that matter: known not to be there, or unknown.

    httpx, requests and the client each have errors of their own for "no answer", so that is what all others mean.
    """
    match error:
        case GatedRepoError():
            return UnknownToHubError(gated(name))
        case RevisionNotFoundError():
            return UnknownToHubError(f"{name!r} has no branch, tag or commit {revision!r} on {endpoint()}")
        case RepositoryNotFoundError() | HFValidationError():
            return UnknownToHubError(f"{endpoint()} knows no {name!r}, or keeps it private")
        case OfflineModeIsEnabled():
            return NoAnswerError("HF_HUB_OFFLINE is set")
        case _:
            return NoAnswerError(f"{endpoint()} did not answer ({type(error).__name__})")


def gated(name: str) -> str:
    """What to say of something that its owner shows to some people only."""
    return f"{name!r} is gated, and this token may not read it: ask its owner for access at {endpoint()}"


def search_datasets(text: str, limit: int) -> list[dict[str, Any]]:
    """Data sets that the hub finds for ``text``, the most downloaded first, ``limit`` at most.

    Rows: id, downloads (of the last month), likes, last_modified, description (one line; empty where there is none),
    tags, gated. Raises ``HubError``.
    """
    fields: Any = ["downloads", "likes", "lastModified", "description", "tags", "gated"]
    try:
        # Searching tries six times before it says that nobody answers.
        huggingface_hub.get_session().head(endpoint(), timeout=TIMEOUT)
        found = list(huggingface_hub.HfApi().list_datasets(search=text, sort="downloads", limit=limit, expand=fields))
    except Exception as error:  # see explained
        reason = explained(error, text)
        raise HubError(f"cannot search data sets: {reason}; set HF_ENDPOINT to a mirror that answers") from error
    return [_row(one) for one in found]


def _row(found: huggingface_hub.DatasetInfo) -> dict[str, Any]:
    modified: datetime | None = found.last_modified
    return {
        "id": found.id,
        "downloads": found.downloads,
        "likes": found.likes,
        "last_modified": modified,
        "description": " ".join((found.description or "").split()),
        "tags": list(found.tags or []),
        "gated": bool(found.gated),
    }


def endpoint() -> str:
    """The address that models and data sets are asked of."""
    return os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT
