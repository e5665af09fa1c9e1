"""Reads the evaluation of a model that the gate has read: each test row, and what each model gave it."""

import csv
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from senti_tasks import artifacts
from senti_tasks.errors import ArtifactError
from senti_tasks.jobs.context import JobContext
from senti_tasks.reports import evaluation
from senti_tasks.reports.evaluation import Judged


def stored(context: JobContext, found: Mapping[str, Any]) -> Judged | None:
    """The evaluation of the model ``found`` (as ``jobs.models.show`` returns it); ``None`` if it is not stored now.

    Evaluations have no row in the warehouse. The one of the gate is that whose accuracy is the recorded one.
    """
    temperature = next(row["temperature"] for row in found["variants"] if row["serves"])
    tested = {
        row["metric"]: row["value"]
        for row in found["metrics"]
        if (row["subject"], row["split"]) == ("candidate", "test")
    }
    for name in reversed(context.store.names("evaluations")):
        if name.rpartition("-")[0] != f"evaluations/{found['version']}":
            continue
        try:
            folder = context.store.fetch_unchecked(name)
            is_whole = artifacts.folder_digest(folder).startswith(name.rpartition("-")[2])
        except (OSError, ArtifactError):
            continue
        if not is_whole:  # a killed attempt left it, or it was changed
            continue
        judged = _judged(folder / "test.parquet", temperature)
        right = judged.probabilities["candidate"].argmax(axis=1) == judged.labels
        if len(right) == tested.get("rows") and abs(float(right.mean()) - tested["accuracy"]) < 1e-9:
            return judged
    return None


def texts(context: JobContext, corpus: Mapping[str, Any]) -> dict[str, str]:
    """The texts of the corpus by review_id as text; empty if the corpus was deleted by retention."""
    import pyarrow.parquet as pq

    if corpus["retired_at"] is not None:
        return {}
    found: dict[str, str] = {}
    for path in sorted(context.fetch(corpus).glob("*.parquet")):
        table = pq.read_table(path, columns=["review_id", "text"])
        found |= zip(map(str, table.column("review_id").to_pylist()), table.column("text").to_pylist(), strict=True)
    return found


def errors_csv(judged: Judged, names: Mapping[int, str], known: Mapping[str, str]) -> str:
    """CSV of the test rows that the candidate labels wrongly, the most confident first.

    Columns: review_id, product, label, then the label and the confidence of each model, then text (empty where
    ``known``, texts by review_id, has none).
    """
    written = StringIO()
    out = csv.writer(written)
    subjects = list(judged.probabilities)
    columns = [f"{subject}_{figure}" for subject in subjects for figure in ("label", "confidence")]
    out.writerow(["review_id", "product", "label", *columns, "text"])
    for row in evaluation.mistakes(judged.labels, judged.probabilities["candidate"]):
        given: list[Any] = []
        for subject in subjects:
            of_row = judged.probabilities[subject][row]
            given += [names.get(int(of_row.argmax())), f"{of_row.max():.4f}"]
        key = judged.review_ids[row]
        out.writerow([key, judged.products[row], names.get(int(judged.labels[row])), *given, known.get(str(key), "")])
    return written.getvalue()


def _judged(path: Path, temperature: float) -> Judged:
    """The table that ``jobs.judging.evaluate`` wrote."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    subjects: dict[str, list[str]] = {}
    for name in table.column_names:
        subject, _, label = name.rpartition("_")
        if label.isdigit():
            subjects.setdefault(subject, []).append(name)
    columns = {name: table.column(name).to_pylist() for name in ("review_id", "product")}
    return Judged(
        review_ids=columns["review_id"],
        labels=table.column("label").to_numpy().astype(np.int64),
        products=columns["product"],
        characters=table.column("characters").to_numpy(),
        probabilities={
            subject: np.column_stack([table.column(name).to_numpy() for name in sorted(names, key=_label_of)]).astype(
                float
            )
            for subject, names in subjects.items()
        },
        temperature=temperature,
    )


def _label_of(column: str) -> int:
    return int(column.rpartition("_")[2])
