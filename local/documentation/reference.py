"""Writes docs/reference from the code: ``python -m local.documentation.reference``. A test fails if a page is stale."""

import sys
from collections.abc import Callable

from local.documentation import commands, python_api, relations, settings
from local.documentation.sources import ROOT

FOLDER = ROOT / "docs" / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings.page,
    "configuration.md": settings.configuration_page,
    "commands.md": commands.page,
    "errors.md": commands.errors_page,
    "views.md": relations.views_page,
    "tables.md": relations.tables_page,
    "python.md": python_api.page,
}
_NOTE = "<!-- Made from the code: change it there, then run `python -m local.documentation.reference`. -->\n\n"


def made(name: str) -> str:
    """The text of the page ``name`` as it has to be now."""
    return _NOTE + PAGES[name]().rstrip() + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in PAGES:
        page = made(name)
        path = FOLDER / name
        if not path.exists() or path.read_text("utf-8") != page:
            path.write_text(page, "utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)} is written\n")


if __name__ == "__main__":
    main()
