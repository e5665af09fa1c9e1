"""A call of a command: what sets it apart from every other one, and who makes it."""

import getpass
import uuid
from datetime import UTC, datetime


def opening(command: str) -> tuple[str, str]:
    """The due time of a call that starts now, and an idempotency key of its own."""
    due = datetime.now(UTC).isoformat()
    return due, f"{command}/{due}/{uuid.uuid4().hex[:8]}"


def person() -> str:
    """The name that the history gets of whoever called; ``unknown`` where the system has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "unknown"
