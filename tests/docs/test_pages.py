"""README and docs/: every link is live, every command and setting exists, no generated page is stale, and the site
loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from local.documentation import reference
from senti_tasks import cli
from tests.docs.blocks import (
    PAGES,
    READMES,
    ROOT,
    anchors,
    arguments,
    blocks,
    links,
    shell_lines,
    spoken_commands,
)

COMMANDS = typer.main.get_command(cli.app)
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."} - {"var"}
PROFILES = {profile for service in COMPOSE["services"].values() for profile in service.get("profiles", [])}
SEVERAL = re.compile(r"[\[\]|…]|\.\.\.")
"""What a command is described with, and nobody types."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def resolved(words: list[str]) -> tuple[Any, list[str]]:
    """The command that ``words`` (after ``senti``) name, and the words after its name."""
    command: Any = COMMANDS
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"there is no command {words[0]!r} among {list(command.commands)}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options_of(command: Any) -> set[str]:
    return {"--help", *(option for one in command.params for option in (*one.opts, *one.secondary_opts))}


@pytest.mark.parametrize("page", reference.PAGES)
def test_a_page_that_is_made_from_the_code_is_not_stale(page: str) -> None:
    found = (reference.FOLDER / page).read_text("utf-8")
    assert found == reference.made(page), "run `python -m local.documentation.reference`"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_link_is_dead(page: Path) -> None:
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{path} does not exist"
        assert target.is_relative_to(ROOT), f"{path} is outside the repository"
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_in_a_block_can_be_typed_like_that(page: Path) -> None:
    for line in shell_lines(page):
        words = arguments(line)
        for word in words:
            assert word.split("/")[0] not in FOLDERS or (ROOT / word).exists(), f"{word} does not exist"
        if words[:2] == ["docker", "compose"]:
            given = [word for option, word in pairwise(words) if option == "--profile"]
            assert set(given) <= PROFILES, line
            if words[2] in ("exec", "run"):
                assert set(words) & set(COMPOSE["services"]), f"{line}: no such service"
        if words[:1] == ["make"]:
            assert {word for word in words[1:] if "=" not in word} <= TARGETS | {".venv-bi/done"}, line
        if "-m" in words and "python" in words[0]:
            module = words[words.index("-m") + 1]
            assert find_spec(module) is not None, line
        if "senti" in words and words[0] in ("senti", "docker"):
            given = words[words.index("senti") + 1 :]
            if given[0].startswith("-"):
                assert given[0] in options_of(COMMANDS) | {"-h"}, line
            if given[0].startswith("-") or SEVERAL.search(line):
                continue
            command, rest = resolved(given)
            command.make_context(
                "senti", ["1" if word == "N" else word for word in rest if word not in ("--help", "-h")]
            )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_in_a_sentence_exists_with_its_options(page: Path) -> None:
    for spoken in spoken_commands(page):
        words = [word.split("|")[0] for word in spoken.partition("senti ")[2].replace("\\|", "|").split()]
        words = SEVERAL.sub(" ", " ".join(words)).split()
        if not words or words[0].startswith("-") or words[0].isupper():
            continue
        command, rest = resolved(words)
        if hasattr(command, "commands"):  # a group: `senti models`
            continue
        given = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert given <= options_of(command), spoken


def test_every_setting_that_is_named_exists() -> None:
    known = "".join(
        (ROOT / file).read_text("utf-8")
        for file in (
            ".env.example",
            "docker-compose.yml",
            "senti_tasks/settings.py",
            "CONTRIBUTING.md",
            "Makefile",
            "Dockerfile",
        )
    )
    known += " ".join(f"SENTI_{name.upper()}" for name in _fields())
    for page in PAGES:
        for setting in set(re.findall(r"\bSENTI_[A-Z_]*[A-Z]\b", page.read_text("utf-8"))):
            assert setting.removesuffix("_FILE") in known, f"{name(page)}: {setting}"


def _fields() -> list[str]:
    from senti_tasks.settings import Settings

    return list(Settings.model_fields)


def test_the_glossary_names_what_there_is() -> None:
    """Each table, setting, command and path in it; and its terms are in order."""
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    terms = re.findall(r"^\| \*\*(.+?)\*\*", text, re.MULTILINE)
    assert terms == sorted(terms, key=lambda term: term.replace("-", "").lower())
    code = "".join(
        path.read_text("utf-8")
        for folder in ("senti_tasks", "sql")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".sql", ".toml")
    )
    for found in set(re.findall(r"`([^`]+)`", text)):
        if not found.startswith("senti ") and not (ROOT / found).exists():
            assert re.search(rf"\b{re.escape(found)}\b", code), found


def test_both_readmes_say_the_same() -> None:
    """The same examples, pictures and links, and as many sections and rows of tables."""
    english, chinese = READMES
    for language in ("python", "sql"):
        assert blocks(english, language) == blocks(chinese, language)
    assert shell_lines(english) == shell_lines(chinese)
    targets = [sorted(path for path, _ in links(page) if "README" not in path) for page in READMES]
    assert targets[0] == targets[1]
    texts = [page.read_text("utf-8") for page in READMES]
    for pattern in (r"^## ", r"^\|", r"^!\[", r"^```"):
        counts = [len(re.findall(pattern, text, re.MULTILINE)) for text in texts]
        assert counts[0] == counts[1], pattern
    assert all(len(text.splitlines()) <= 250 for text in texts)


def test_pictures_are_small_and_shown() -> None:
    shown = {(page.parent / path).resolve() for page in PAGES for path, _ in links(page)}
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 200_000, picture.name
        assert picture in shown, f"no page shows {picture.name}"


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="MkDocs is not installed: make .venv/test")
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > 30
    loads = re.compile(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?(?:https?:)?//|<link[^>]*href=\"?(?:https?:)?//")
    for page in pages:
        html = page.read_text("utf-8")
        canonical = re.sub(r'<link rel="canonical"[^>]*>', "", html)
        assert not loads.search(canonical), page
        assert 'class="mermaid"' not in html, "Material loads the script for such a diagram from elsewhere"
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", sheet.read_text("utf-8")), sheet
