"""Finds the columns of a file: text, label, product, id and date."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from senti_tasks.errors import ConfigError, InputFileError, quoted

_USUAL: dict[str, tuple[str, ...]] = {
    "text": ("review", "review_text", "text", "text_a", "content", "sentence", "comment", "评论", "内容"),
    "label": ("label", "sentiment", "标签"),
    "product": ("product", "category", "cat", "商品", "类别"),
    "id": (),  # never guessed: an "id" that is not unique would lose reviews
    "created_at": ("created_at", "date", "time", "时间"),
}


def is_usual(name: str) -> bool:
    """Whether ``name`` is a usual name of a column."""
    return any(name.strip().casefold() in usual for usual in _USUAL.values())


@dataclass(frozen=True)
class Columns:
    """The names of the columns in the file. ``None``: find it by its usual names; for ``id``: there is none."""

    text: str | None = None
    label: str | None = None
    product: str | None = None
    id: str | None = None
    created_at: str | None = None
    off: tuple[str, ...] = ()
    """The fields whose column is not looked for: label, product, created_at."""

    def __post_init__(self) -> None:
        for role in self.off:
            if getattr(self, role) is not None:
                option = f"{role.replace('_', '-')}-column"
                raise ConfigError(f"--{option} and --no-{option} exclude each other: leave one of them out")

    def find(self, header: Sequence[str], path: Path | str) -> tuple[int | None, ...]:
        """The positions in ``header`` of text, label, product, id and created_at, in that order; ``None`` if absent.

        White space around names is ignored, and so is the case of usual names. ``path`` is for error messages. Raises
        ``InputFileError``, which names the option to pass, if a named column or the text is missing, or if a column is
        ambiguous.
        """
        names = [name.strip() for name in header]
        chosen = {role: name.strip() for role in _USUAL if (name := getattr(self, role)) is not None}
        positions: list[int | None] = []
        for role, usual in _USUAL.items():
            if role in self.off:
                positions.append(None)
                continue
            if role in chosen:
                found = [i for i, name in enumerate(names) if name == chosen[role]]
            else:
                found = [i for i, name in enumerate(names) if name.casefold() in usual and name not in chosen.values()]
            if len(found) > 1 or (not found and (role == "text" or role in chosen)):
                raise InputFileError(_message(role, getattr(self, role), [names[i] for i in found], header, path))
            positions.append(found[0] if found else None)
        return tuple(positions)


def _message(role: str, named: str | None, found: list[str], header: Sequence[str], path: Path | str) -> str:
    option = f"--{role.replace('_', '-')}-column"
    has = "its columns are " + ", ".join(quoted(name) for name in header[:20]) + (", …" if len(header) > 20 else "")
    if named is not None:
        return f"{path} has {len(found) or 'no'} column{'s' * bool(found)} {named!r}, which {option} names: {has}"
    if found:
        off = "" if role == "text" else f", or --no-{option.removeprefix('--')}"
        return f"{path} has several columns that could be the {role} ({', '.join(found)}): pass {option}{off}; {has}"
    return f"{path} has no column called {', '.join(_USUAL[role])}: pass {option} to name its {role} column; {has}"
