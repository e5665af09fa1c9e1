"""A hook of MkDocs. The site has no files from outside docs/, so a link to one becomes its text and its path."""

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]\n]+)\]\((?:\.\./)+((?!docs/)[^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """``markdown`` of ``page`` with the links that leave docs/ replaced."""
    depth = page.file.src_uri.count("/") + 1

    def replaced(link: re.Match[str]) -> str:
        text, path = link[1], link[2]
        if link[0].count("../") < depth:  # a page of docs/ in another folder
            return link[0]
        return text if text.strip("`") == path or path.endswith(f"/{text}") else f"{text} (`{path}`)"

    return _OUTSIDE.sub(replaced, markdown)
