"""Writes reports for people: one HTML file about a model, or about a scoring run. Nothing in the warehouse changes."""

from pathlib import Path
from typing import Any

from senti_tasks import artifacts
from senti_tasks.errors import ArtifactError, ConfigError, RegistryError
from senti_tasks.jobs import models
from senti_tasks.jobs.context import JobContext, load_context, now
from senti_tasks.reports import model as model_page
from senti_tasks.reports import run as run_page
from senti_tasks.warehouse import overview
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.models import corpora, promotions, registry
from senti_tasks.warehouse.scoring import held_runs, run_figures, runs

TEXTS_SHOWN = 20
"""Mistakes and suspect labels that are shown with SENTI_REPORT_TEXTS=true, each."""


def model_report(version: str | None = None, output: Path | None = None) -> dict[str, Any]:
    """Writes the report on a model (default: the newest) to ``output``, or to ``var/reports`` below SENTI_HOME.

    Returns model and report (the file). Raises ``RegistryError`` if there is no such model, and ``ConfigError`` if the
    file cannot be written.
    """
    context = load_context()
    if version is None:
        with context.reading() as connection:
            newest = overview.read_view(connection, "model_scorecard", order_by="trained_at", limit=1)
        if not newest:
            raise RegistryError("no model was trained yet, so there is nothing to report: `senti retrain` trains one")
        version = str(newest[0]["model_version"])
    return {"model": version, "report": str(_write(context, output, f"model-{version}.html", model_html(version)))}


def model_html(version: str, home: str | None = None) -> str:
    """The report on a model. ``home``: the address of the page to which it links back."""
    context = load_context()
    found = models.show(version)
    with context.reading() as connection:
        names = registry.label_names(connection, version)
        in_service = promotions.champion(connection) is not None and promotions.in_service(connection) == version
        suspects = corpora.suspects_of(connection, found["corpus"], limit=TEXTS_SHOWN)
        suspect_count = corpora.count_suspects(connection, found["corpus"])
        corpus = corpora.corpus(connection, found["corpus"])
    temperature = next(row["temperature"] for row in found["variants"] if row["serves"])
    evaluated = _evaluation(context, found, temperature)
    texts = _texts(context, corpus) if context.settings.report_texts else {}
    return model_page.html(
        found,
        written_at=now(),
        label_names=names,
        in_service=in_service,
        evaluation=evaluated and evaluated[0],
        mistakes=_mistakes(evaluated, names, texts) if texts and evaluated else [],
        suspects=[
            {
                "label": names.get(row["label"]),
                "suggested": names.get(row["suggested_label"]),
                "label_probability": row["label_probability"],
                "text": texts.get(str(row["review_id"])),
            }
            for row in suspects
        ],
        suspect_count=suspect_count,
        shows_texts=bool(texts),
        home=home,
    )


def run_report(run_id: int | None = None, output: Path | None = None) -> dict[str, Any]:
    """Writes the report on a scoring run (default: the one that was published or held last), as ``model_report`` does.

    Returns run_id and report (the file). Raises ``RunStateError`` if there is no such run.
    """
    context = load_context()
    if run_id is None:
        with context.reading() as connection:
            run_id = run_figures.newest(connection)
    return {"run_id": run_id, "report": str(_write(context, output, f"run-{run_id}.html", run_html(run_id)))}


def run_html(run_id: int, home: str | None = None) -> str:
    """The report on a scoring run. ``home`` is that of ``model_html``."""
    context = load_context()
    with context.reading() as connection:
        found = runs.run(connection, run_id)
        return run_page.html(
            found,
            written_at=now(),
            label_names=registry.label_names(connection, found["model_version"]),
            labels=run_figures.labels(connection, found),
            earlier=run_figures.earlier(connection, found),
            progress=run_figures.progress(connection, found["run_id"]),
            failures=run_figures.failures(connection, found),
            distinct_texts=run_figures.distinct_texts(connection, found),
            products=run_figures.moved_products(connection, found),
            held=held_runs.waiting(connection),
            checks=sorted(path.stem for path in (SQL / "checks").rglob("*.sql")),
            price_per_hour=context.settings.price_per_hour,
            home=home,
        )


def _write(context: JobContext, output: Path | None, name: str, html: str) -> Path:
    """Writes the file at once or not at all; returns its path."""
    path = output.expanduser() if output is not None else context.settings.home / "var" / "reports" / name
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(html, "utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True) if partial.parent.is_dir() else None
        raise ConfigError(
            f"the report cannot be written to {path} ({error.strerror}): expected a file name in a folder that this "
            "user may write; name another one with --output"
        ) from error
    return path


def _evaluation(context: JobContext, found: dict[str, Any], temperature: float) -> tuple[dict[str, Any], Any] | None:
    """The figures of the evaluation that the gate read, and its rows; ``None`` if it is no longer stored.

    Evaluations have no row in the warehouse. The one of the gate is that whose accuracy is the recorded one.
    """
    from senti_tasks.reports import evaluation

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
            return evaluation.figures(judged), judged
    return None


def _judged(path: Path, temperature: float) -> Any:
    """The table that ``jobs.judging.evaluate`` wrote."""
    import numpy as np
    import pyarrow.parquet as pq

    from senti_tasks.reports.evaluation import Judged

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


def _texts(context: JobContext, corpus: dict[str, Any]) -> dict[str, str]:
    """The texts of the corpus by review_id as text; empty if the corpus was deleted by retention."""
    import pyarrow.parquet as pq

    if corpus["retired_at"] is not None:
        return {}
    found: dict[str, str] = {}
    for path in sorted(context.fetch(corpus).glob("*.parquet")):
        table = pq.read_table(path, columns=["review_id", "text"])
        found |= zip(map(str, table.column("review_id").to_pylist()), table.column("text").to_pylist(), strict=True)
    return found


def _mistakes(
    evaluated: tuple[dict[str, Any], Any], names: dict[int, str], texts: dict[str, str]
) -> list[dict[str, Any]]:
    figures, judged = evaluated
    given = judged.probabilities["candidate"]
    return [
        {
            "label": names.get(int(judged.labels[row])),
            "predicted": names.get(int(given[row].argmax())),
            "confidence": float(given[row].max()),
            "product": judged.products[row],
            "text": texts.get(str(judged.review_ids[row])),
        }
        for row in figures["mistakes"][:TEXTS_SHOWN]
    ]
