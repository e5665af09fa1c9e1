"""Reads what the code says about itself: docstrings of fields, and comments of ``.env.example``."""

import ast
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def field_docstrings(module: ModuleType) -> dict[str, dict[str, str]]:
    """The docstrings below the fields of each class of ``module``, by class and field. A class has those of the base
    classes in the module, too."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef):
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            fields = {name: text for base in bases for name, text in found.get(base, {}).items()}
            for field, text in zip(node.body, node.body[1:], strict=False):
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(text, ast.Expr)
                    and isinstance(text.value, ast.Constant)
                ):
                    fields[field.target.id] = markdown(str(text.value.value))
            found[node.name] = fields
    return found


def markdown(docstring: str | None) -> str:
    """A docstring as Markdown: ``code`` has one backtick, and a paragraph is one line."""
    paragraphs = inspect.cleandoc(docstring or "").split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in paragraphs).replace("``", "`")


@dataclass(frozen=True)
class Variable:
    """A variable of ``.env.example``."""

    section: str
    name: str
    default: str
    description: str


def variables() -> list[Variable]:
    """The variables of ``.env.example`` in its order. Variables below one comment share it."""
    found: list[Variable] = []
    section, comment, is_open = "", list[str](), False
    for line in (ROOT / ".env.example").read_text("utf-8").splitlines():
        if heading := re.fullmatch(r"# --- (.+?) -+", line):
            section, comment, is_open = heading[1].strip(), [], False
        elif assigned := re.fullmatch(r"#?([A-Z][A-Z0-9_]*)=(.*)", line):
            found.append(Variable(section, assigned[1], assigned[2], " ".join(comment)))
            is_open = False
        elif line.startswith("#"):
            comment = [*comment, line.removeprefix("#").strip()] if is_open else [line.removeprefix("#").strip()]
            is_open = True
    return found


def cell(text: str) -> str:
    """``text`` for a cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())
