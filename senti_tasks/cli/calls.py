"""What the commands share: the option ``--json``, and the identity of a call."""

import getpass
import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def new_call(command: str) -> tuple[str, str]:
    """The due time (now, ISO 8601) and a unique idempotency key for a call of ``command``. The key begins with
    ``command``."""
    due = datetime.now(UTC).isoformat()
    return due, f"{command}/{due}/{uuid.uuid4().hex[:8]}"


def user_name() -> str:
    """The name of the operating system's user, for the records; ``unknown`` if it has none, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
