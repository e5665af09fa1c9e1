"""`make secrets`: writes .env for docker-compose.yml and `make stack`, with a new secret in each line that needs one.

It needs nothing but Python, so that it also runs where only Docker is installed: `python3 local/make_secrets.py`. What
stands in .env already stays as it is. The file can be read by its owner only.
"""

import base64
import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMPTY = re.compile(r"^([A-Z_]+)=$", re.MULTILINE)
"""A line of .env.example that has to be filled in. Lines of settings that have a default are comments."""
FITTING = re.compile(r"[A-Za-z0-9_-]+")
"""What a secret may be made of: most of them become part of an address."""


def new_secret(name: str) -> str:
    """A secret for the variable ``name``: 48 random bytes as letters, digits, - and _; a key of Fernet has 32."""
    if name == "AIRFLOW_FERNET_KEY":
        return base64.urlsafe_b64encode(os.urandom(32)).decode()
    return secrets.token_urlsafe(48)


def fill(example: str, present: str) -> tuple[str, list[str]]:
    """The content of .env: ``present``, with a secret for each variable of ``example`` that needs one and has none; and
    the names of these variables."""
    made = [name for name in EMPTY.findall(example) if not _stated(present).get(name)]
    for name in made:
        line = f"{name}={new_secret(name)}"
        present, found = re.subn(rf"^{name}=.*$", line, present, flags=re.MULTILINE)
        if not found:
            present = f"{present.rstrip()}\n{line}\n".lstrip()
    return present, made


def unfitting(example: str, present: str) -> list[str]:
    """The variables whose secret has a character that an address does not allow."""
    names = (name for name in EMPTY.findall(example) if name != "AIRFLOW_FERNET_KEY")
    return [name for name in names if not FITTING.fullmatch(_stated(present)[name])]


def _stated(content: str) -> dict[str, str]:
    lines = re.findall(r"^([A-Z_]+)=(.*)$", content, re.MULTILINE)
    return {name: value.strip().strip("'\"") for name, value in lines}


def main() -> None:
    """Writes .env in the project's folder."""
    file, example = ROOT / ".env", (ROOT / ".env.example").read_text("utf-8")
    content, made = fill(example, file.read_text("utf-8") if file.exists() else example)
    if wrong := unfitting(example, content):
        sys.exit(
            f"error: {', '.join(wrong)} in {file}: expected letters, digits, - and _ only, because a secret is part "
            "of an address. Choose another, or delete the line and run this again. Nothing was written"
        )
    new = file.with_name(".env.new")
    with open(new, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
        out.write(content)
    new.replace(file)
    sys.stdout.write(
        f"{file}: {len(made)} new secrets; what was set before is unchanged. Only its owner can read the file.\n"
    )


if __name__ == "__main__":
    main()
