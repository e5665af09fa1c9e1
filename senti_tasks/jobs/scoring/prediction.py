"""Predicts labels of texts that are not in the warehouse: some of the command line, or those of a file."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from senti_tasks.errors import ConfigError, NoChampionError
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.scoring.loading import scorer_of
from senti_tasks.warehouse.models import promotions, registry

CHUNK_ROWS = 2_000
_KEYS = ("label", "score", "confidence", "truncated")


def predict(texts: Sequence[str]) -> list[dict[str, Any]]:
    """The champion's prediction for each text, in the order given; empty in, empty out.

    Each has text, label_name, label, score, confidence, truncated and model. Raises ``NoChampionError`` without a
    champion, and ``ConfigError`` if a text cannot be scored, for instance because it is blank.
    """
    rows = _predict(texts)
    for row in rows:
        if (reason := row.pop("reason")) is not None:
            raise ConfigError(f"cannot label {row['text'][:20]!r}: {reason}")
    return rows


def predict_lines(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """As ``predict``, with a text in each line, in constant memory. Blank lines are left out.

    Adds line, and reason: why a text cannot be scored (then the other values are ``None``), or ``None``.
    """
    texts = ((number, line.rstrip("\r\n")) for number, line in enumerate(lines, start=1))
    return _in_chunks((number, text) for number, text in texts if text.strip())


def predict_file(path: Path, text_column: str | None = None) -> Iterator[dict[str, Any]]:
    """As ``predict_lines``, for the texts in a file of any format that an import reads. Raises ``InputFileError``."""
    from senti_tasks import intake

    columns = intake.Columns(text=text_column, off=("label", "product", "created_at"), attributes=())
    table = intake.open(path)
    rows = intake.read_table(table, path, columns)
    return _in_chunks((row.line, row.text if isinstance(row, intake.Row) else row) for row in rows)


def _in_chunks(texts: Iterable[tuple[int, Any]]) -> Iterator[dict[str, Any]]:
    """``texts``: the line of each, and the text, or the refusal of its row."""
    rows = iter(texts)
    while chunk := list(islice(rows, CHUNK_ROWS)):
        predicted = iter(_predict([text for _, text in chunk if isinstance(text, str)]))
        for line, text in chunk:
            if isinstance(text, str):
                yield {"line": line, **next(predicted)}
            else:
                yield {"line": line, **_unscored(None, text.reason)}


def _predict(texts: Sequence[str]) -> list[dict[str, Any]]:
    """As ``predict``, with reason: why a text cannot be scored, or ``None``."""
    context = load_context()
    with context.reading() as connection:
        model = promotions.champion(connection)
        if model is None:
            raise NoChampionError(promotions.NO_CHAMPION)
        names = registry.label_names(connection, model)
    found = scorer_of(context, model).predict(texts)
    columns = (found.labels, found.scores, found.confidences, found.truncated)
    rows = zip(texts, *(column.tolist() for column in columns), strict=True)
    return [
        _unscored(text, found.reasons[position])
        if position in found.reasons
        else {"text": text, "label_name": names[row[0]], **dict(zip(_KEYS, row, strict=True)), "model": model}
        | {"reason": None}
        for position, (text, *row) in enumerate(rows)
    ]


def _unscored(text: str | None, reason: str) -> dict[str, Any]:
    return {"text": text, "label_name": None, **dict.fromkeys(_KEYS), "model": None, "reason": reason}
