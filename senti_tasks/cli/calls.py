"""What the commands share: the option ``--json``, and the identity of a call."""

import getpass
from typing import Annotated

import typer

from senti_tasks.calls import new_call as new_call

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def user_name() -> str:
    """The name of the operating system's user, for the records; ``unknown`` if it has none, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
