"""The stack of docker-compose.yml for tests."""

import random
import re
from pathlib import Path

from local import make_secrets

EXAMPLE = Path(__file__).parents[1] / ".env.example"


def new_variables() -> dict[str, str]:
    """What is set in a new .env."""
    content, _ = make_secrets.fill(EXAMPLE.read_text("utf-8"), "")
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", content, re.MULTILINE))


def odd_variables(draw: random.Random) -> dict[str, str]:
    """The same with secrets that begin and end with every kind of character that is allowed."""
    edges = "-_aZ09"
    return {
        name: secret if name == "AIRFLOW_FERNET_KEY" else f"{draw.choice(edges)}{secret[1:-1]}{draw.choice(edges)}"
        for name, secret in new_variables().items()
    }
