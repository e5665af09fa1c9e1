"""Writes reports for people: one HTML file about a model, or about a scoring run. Nothing in the warehouse changes."""

from pathlib import Path
from typing import Any

from senti_tasks.errors import ConfigError, RegistryError
from senti_tasks.jobs import evaluations, models
from senti_tasks.jobs.context import JobContext, load_context, now
from senti_tasks.reports import evaluation
from senti_tasks.reports import model as model_page
from senti_tasks.reports import run as run_page
from senti_tasks.reports.evaluation import Judged
from senti_tasks.warehouse import overview
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.models import corpora, promotions, registry
from senti_tasks.warehouse.scoring import drift, held_runs, run_figures, runs

TEXTS_SHOWN = 20
"""Mistakes and suspect labels that are shown with SENTI_REPORT_TEXTS=true, each."""
PARTS_SHOWN = 15
"""Rows of drift that the report on a run shows: the run in all, and products."""


def model_report(version: str | None = None, output: Path | None = None, errors: Path | None = None) -> dict[str, Any]:
    """Writes the report on a model (default: the newest) to ``output``, or to ``var/reports`` below SENTI_HOME.

    ``errors``: a CSV file that gets a row for each test row with a wrong label, the most confident first. Returns
    model, report (the file) and errors (the other file, or ``None``). Raises ``RegistryError`` if there is no such
    model, or no evaluation to take the errors from, and ``ConfigError`` if a file cannot be written or the libraries of
    a worker are missing.
    """
    context = load_context()
    if version is None:
        with context.reading() as connection:
            newest = overview.read_view(connection, "model_scorecard", order_by="trained_at", limit=1)
        if not newest:
            raise RegistryError("no model was trained yet, so there is nothing to report: `senti retrain` trains one")
        version = str(newest[0]["model_version"])
    html, judged, names, texts = _model_page(context, version)
    written = None
    if errors is not None:
        if judged is None:
            raise RegistryError(
                f"the probabilities of the test rows of {version} are no longer in the artifact store, so its mistakes "
                "are not known: leave --errors out"
            )
        written = str(_write(context, errors, "", evaluations.errors_csv(judged, names, texts)))
    report = str(_write(context, output, f"model-{version}.html", html))
    return {"model": version, "report": report, "errors": written}


def model_html(version: str, home: str | None = None) -> str:
    """The report on a model. ``home``: the address of the page to which it links back."""
    return _model_page(load_context(), version, home)[0]


def _model_page(
    context: JobContext, version: str, home: str | None = None
) -> tuple[str, Judged | None, dict[int, str], dict[str, str]]:
    """The page on a model, its evaluation if that is stored, the names of its labels, and the texts that it may show by
    review_id."""
    found = models.show(version)
    with context.reading() as connection:
        names = registry.label_names(connection, version)
        in_service = promotions.champion(connection) is not None and promotions.in_service(connection) == version
        suspects = corpora.suspects_of(connection, found["corpus"], limit=TEXTS_SHOWN)
        suspect_count = corpora.count_suspects(connection, found["corpus"])
        corpus = corpora.corpus(connection, found["corpus"])
    judged = evaluations.stored(context, found)
    evaluated = None if judged is None else (evaluation.figures(judged), judged)
    texts = evaluations.texts(context, corpus) if context.settings.report_texts else {}
    html = model_page.html(
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
    return html, judged, names, texts


def compare_report(first: str, second: str, output: Path | None = None) -> dict[str, Any]:
    """Writes the comparison of two models on the rows that are in the test splits of both, as ``model_report`` does.

    Returns models, rows (compared) and report (the file). Raises ``RegistryError`` if there is no such model, if one
    has no stored evaluation, or if no row is in both.
    """
    context = load_context()
    found, names, compared = _compared(context, first, second)
    from senti_tasks.reports import comparison

    html = comparison.html(found[0], found[1], compared, label_names=names, written_at=now())
    report = _write(context, output, f"compare-{first}-{second}.html", html)
    return {"models": [first, second], "rows": compared["rows"], "report": str(report)}


def compare_models(first: str, second: str) -> dict[str, Any]:
    """The figures of ``compare_report``: models, rows (compared), verdict (state and sentence), metrics (name, first,
    second), counts (of rows by who is right) and slices (name, rows, difference of the accuracy, low and high)."""
    _, _, compared = _compared(load_context(), first, second)
    from senti_tasks.reports import comparison

    one, other = compared["metrics"]
    return {
        "models": [first, second],
        "rows": compared["rows"],
        "verdict": comparison.verdict([first, second], compared),
        "metrics": [[name, one[name], other[name]] for name in comparison.RATES if name in one and name in other],
        "counts": compared["counts"],
        "slices": compared["slices"],
    }


def _compared(
    context: JobContext, first: str, second: str
) -> tuple[list[dict[str, Any]], dict[int, str], dict[str, Any]]:
    """What is recorded about both models, the names of their labels, and ``comparison.figures``."""
    found = [models.show(version) for version in (first, second)]
    judged = [evaluations.stored(context, one) for one in found]
    with context.reading() as connection:
        names = registry.label_names(connection, first)
        registry.check_labels(connection, second, names)
    for one, of_model in zip(found, judged, strict=True):
        if of_model is None:
            raise RegistryError(
                f"{one['version']} has no evaluation in the artifact store: expected one that the gate has read; "
                "`senti report model` shows what is recorded about it"
            )
    from senti_tasks.reports import comparison

    compared = comparison.figures(*(of_model for of_model in judged if of_model is not None))
    if not compared["rows"]:
        raise RegistryError(
            f"no review is in the test splits of both {first} and {second}: there is nothing to compare"
        )
    return found, names, compared


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
            drift_parts=drift.of_run(connection, found["run_id"], limit=PARTS_SHOWN),
            drift_before=drift.before(connection, found),
            drift_config=context.drift_config,
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
