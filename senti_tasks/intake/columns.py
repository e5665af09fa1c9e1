"""Which columns of a file hold what."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from senti_tasks.errors import InputFileError

_USUAL: dict[str, tuple[str, ...]] = {
    "text": ("review", "review_text", "text", "text_a", "content", "sentence", "comment", "评论", "内容"),
    "label": ("label", "sentiment", "标签"),
    "product": ("product", "category", "cat", "商品", "类别"),
    "id": (),  # never guessed: an "id" that is not unique would lose reviews
    "created_at": ("created_at", "date", "time", "时间"),
}
_ROLES = tuple(_USUAL)


@dataclass(frozen=True)
class Columns:
    """Names in the file. ``None``: look for the usual names, except for ``id``, which is never guessed."""

    text: str | None = None
    label: str | None = None
    product: str | None = None
    id: str | None = None
    created_at: str | None = None

    def find(self, header: Sequence[str], path: Path | str, *, may_grow: bool = False) -> tuple[int | None, ...]:
        """The place in ``header`` of text, label, product, id and created_at, in that order; ``None`` where absent.

        Names match with blanks around them stripped, usual names in any case. With ``may_grow`` more names may come
        later: of the named columns only the text must be there. Raises ``InputFileError`` naming the option to pass.
        """
        names = [name.strip() for name in header]
        taken = {name.strip() for role in _ROLES if (name := getattr(self, role)) is not None}
        places = []
        for role, usual in _USUAL.items():
            wanted = getattr(self, role)
            if wanted is None:
                found = [i for i, name in enumerate(names) if name.casefold() in usual and name not in taken]
            else:
                found = [i for i, name in enumerate(names) if name == wanted.strip()]
            required = role == "text" or (wanted is not None and not may_grow)
            if len(found) > 1 or (required and not found):
                raise InputFileError(_complaint(role, wanted, [names[i] for i in found], header, path))
            places.append(found[0] if found else None)
        return tuple(places)


def _complaint(role: str, wanted: str | None, found: list[str], header: Sequence[str], path: Path | str) -> str:
    option = f"--{role.replace('_', '-')}-column"
    has = "its columns are " + ", ".join(repr(name[:40]) for name in header[:20]) + (", …" if len(header) > 20 else "")
    if wanted is not None:
        return f"{path} has {len(found) or 'no'} column{'s' * bool(found)} {wanted!r}, which {option} names: {has}"
    if found:
        return f"{path} has several columns that could be the {role} ({', '.join(found)}): pass {option}; {has}"
    return f"{path} has no column called {', '.join(_USUAL[role])}: pass {option} to name its {role} column; {has}"
