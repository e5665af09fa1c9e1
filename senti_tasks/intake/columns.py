"""Finds the columns of a file: text, label, product, id and date."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from senti_tasks.errors import ConfigError, InputFileError, quoted

_USUAL: dict[str, tuple[str, ...]] = {
    "text": ("review", "review_text", "text", "text_a", "content", "sentence", "comment", "评论", "内容"),
    "label": ("label", "sentiment", "标签"),
    "product": ("product", "category", "cat", "商品", "类别"),
    "id": (),  # never guessed: an "id" that is not unique would lose reviews
    "created_at": ("created_at", "date", "time", "时间"),
}

_IDS = ("review_id", "id", "评论id", "评价id")  # of annotations: an unknown id is refused, so a guess loses nothing


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
    attributes: tuple[str, ...] | None = None
    """The further columns that are kept as attributes of the review. ``None``: all of them."""
    is_annotations: bool = False
    """Whether the rows are labels for stored reviews: id and label are needed, and the text is not."""

    def __post_init__(self) -> None:
        if self.is_annotations and "label" in self.off:
            raise ConfigError("--annotations needs the labels: leave --no-label-column out")
        for role in self.off:
            if getattr(self, role) is not None:
                option = f"{role.replace('_', '-')}-column"
                raise ConfigError(f"--{option} and --no-{option} exclude each other: leave one of them out")

    def for_annotations(self) -> "Columns":
        """The same columns for an import of annotations. The id is looked for by its usual names."""
        return replace(self, is_annotations=True, attributes=())

    def names_annotations(self, header: Sequence[str]) -> bool:
        """Whether ``header`` can only be that of annotations: it has columns for id and label, and none for a text."""
        if self.text is not None or self.find_usual("text", header):
            return False
        annotations = self.for_annotations()
        return all(getattr(annotations, role) or annotations.find_usual(role, header) for role in ("id", "label"))

    def find_usual(self, role: str, header: Sequence[str]) -> list[int]:
        """The positions of the columns with a usual name of ``role`` that are not named for another field."""
        named = {name.strip() for one in _USUAL if (name := getattr(self, one)) is not None}
        names = _IDS if role == "id" and self.is_annotations else _USUAL[role]
        spelled = [name.strip() for name in header]
        return [i for i, name in enumerate(spelled) if name.casefold() in names and name not in named]

    def further(self, header: Sequence[str], path: Path | str) -> dict[str, int]:
        """The columns that are kept as attributes: names, no two the same, and positions.

        Raises ``InputFileError`` if one of ``attributes`` is missing, or is the column of a field.
        """
        taken = set(self.find(header, path))
        free = {i: name.strip() or f"column {i + 1}" for i, name in enumerate(header) if i not in taken}
        if self.attributes is not None:
            for name in self.attributes:
                if name.strip() not in free.values():
                    raise InputFileError(
                        f"{path} has no further column {name!r}, which --attribute names: {_has(list(free.values()))}"
                    )
            chosen = {name.strip() for name in self.attributes}
            free = {i: name for i, name in free.items() if name in chosen}
        found: dict[str, int] = {}
        for i, name in free.items():
            name = name.replace('"', "'").replace("\0", "")  # quotes would break the path of an attribute in SQL
            found[name if name not in found else f"{name} ({i + 1})"] = i
        return found

    def find(self, header: Sequence[str], path: Path | str) -> tuple[int | None, ...]:
        """The positions in ``header`` of text, label, product, id and created_at, in that order; ``None`` if absent.

        White space around names is ignored, and so is the case of usual names. ``path`` is for error messages. Raises
        ``InputFileError``, which names the option to pass, if a named column or the text is missing, or if a column is
        ambiguous.
        """
        names = [name.strip() for name in header]
        chosen = {role: name.strip() for role in _USUAL if (name := getattr(self, role)) is not None}
        needed = ("id", "label") if self.is_annotations else ("text",)
        positions: list[int | None] = []
        for role in _USUAL:
            if role in self.off:
                positions.append(None)
                continue
            if role in chosen:
                found = [i for i, name in enumerate(names) if name == chosen[role]]
            else:
                found = self.find_usual(role, header)
            if len(found) > 1 or (not found and (role in needed or role in chosen)):
                raise InputFileError(_message(role, getattr(self, role), [names[i] for i in found], header, path))
            positions.append(found[0] if found else None)
        return tuple(positions)


def _message(role: str, named: str | None, found: list[str], header: Sequence[str], path: Path | str) -> str:
    option = f"--{role.replace('_', '-')}-column"
    has = _has(header)
    if named is not None:
        return f"{path} has {len(found) or 'no'} column{'s' * bool(found)} {named!r}, which {option} names: {has}"
    if found:
        off = "" if role == "text" else f", or --no-{option.removeprefix('--')}"
        return f"{path} has several columns that could be the {role} ({', '.join(found)}): pass {option}{off}; {has}"
    names = ", ".join(_USUAL[role] or _IDS)
    return f"{path} has no column called {names}: pass {option} to name its {role} column; {has}"


def _has(header: Sequence[str]) -> str:
    return "its columns are " + ", ".join(quoted(name) for name in header[:20]) + (", …" if len(header) > 20 else "")
