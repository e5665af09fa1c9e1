"""The fenced blocks, commands and links of the pages that people read."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PAGES = [*READMES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^ *```(\S*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`([\w.-]+\.(?:csv|jsonl))`:\n\n```\S*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=\S*")


@dataclass(frozen=True)
class Block:
    language: str
    text: str


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of this language, in order."""
    return [found[2] for found in _FENCE.finditer(page.read_text("utf-8")) if found[1] == language]


def named_files(page: Path) -> dict[str, str]:
    """The files that ``page`` shows: a block below the line "`NAME`:"."""
    return {found[1]: found[2] for found in _NAMED.finditer(page.read_text("utf-8"))}


def shell_lines(page: Path) -> list[str]:
    """The commands of the sh blocks, one on each line, without comments."""
    lines = []
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            lines += [part.strip() for part in re.split(r"&&|;(?= )|\|(?= )", _without_comment(line)) if part.strip()]
    return lines


def _without_comment(line: str) -> str:
    """``line`` without what follows a # that begins a word outside quotes."""
    quote = ""
    for position, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#" and (position == 0 or line[position - 1].isspace()):
            return line[:position]
    return line


def spoken_commands(page: Path) -> Iterator[str]:
    """The commands in running text, `senti …`, as far as they are whole: without … and without a choice of options."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    for found in re.finditer(r"(?<!`)`((?:[A-Z][A-Z0-9_]*=\S+ )*senti [^`]+)`", text):
        yield " ".join(found[1].split())


def arguments(command: str) -> list[str]:
    """The words of a command, without the variables that are set before it."""
    words = shlex.split(command)
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    return words


def variables(command: str) -> dict[str, str]:
    """The variables that are set before a command."""
    found = {}
    for word in shlex.split(command):
        if not _ASSIGNMENT.fullmatch(word):
            break
        name, _, value = word.partition("=")
        found[name] = value
    return found


def links(page: Path) -> Iterator[tuple[str, str]]:
    """The targets in this repository of the links and pictures of ``page``: (path, anchor)."""
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text("utf-8")))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for target in targets:
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of ``page``, as GitHub and MkDocs make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text("utf-8")), re.MULTILINE):
        words = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
        found |= {re.sub(r"\s", "-", words), re.sub(r"[-\s]+", "-", words)}
    return found
