"""The identity of a call of a command or of the Python API."""

import uuid
from datetime import UTC, datetime


def new_call(command: str) -> tuple[str, str]:
    """The due time (now, ISO 8601) and a unique idempotency key for a call of ``command``. The key begins with
    ``command``."""
    due = datetime.now(UTC).isoformat()
    return due, f"{command}/{due}/{uuid.uuid4().hex[:8]}"
