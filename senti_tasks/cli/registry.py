"""``senti models``: list, show, promote and roll back models; and the tables in which all commands show models."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from senti_tasks import console
from senti_tasks.cli import tables
from senti_tasks.cli.calls import Json, user_name
from senti_tasks.jobs import judging, models, reports

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The model registry: list, show, compare, promote, roll back."
)

ENDED_BY_BUDGET = (
    "Its budget (budget_minutes) ended the training early; it has the weights of the best epoch until then."
)
SLICES_SHOWN = 5
"""Number of rules about single slices that are shown; there may be hundreds."""

_VARIANT_COLUMNS = (
    *("variant", "serves", "verdict", "labels_differing", "reviews_compared"),
    *("disagreement_bound", "disagreement_limit", "escalated_share", "reviews_per_second", "temperature", "reason"),
)

_FIXED = dict.fromkeys(("disagreement_bound", "disagreement_limit", "escalated_share"), "{:.2%}") | {
    "reviews_per_second": "{:,.0f}"
}

Reason = Annotated[str, typer.Option(help="The reason, for the record.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all models, newest first. Shows verdicts, accuracies on the test split, and which model serves."""
    cards = models.scorecards()
    console.show(cards, as_json, scorecard_table(cards))


@app.command()
def show(version: str, as_json: Json = False) -> None:
    """Show everything recorded about one model."""
    found = models.show(version)
    training = found["training"]
    digests = f"digest {found['digest'][:12]}, weights {training.get('weights_digest', 'not recorded')[:12]}"
    console.show(
        found,
        as_json,
        _headline(found, digests),
        *_section("learning rates", training.get("rates", [])),
        *_section("training", training["history"]),
        *([ENDED_BY_BUDGET] if training.get("ended_by_budget") else []),
        *_section("variants", found["variants"], *_VARIANT_COLUMNS),
        *_metrics(found["metrics"]),
        *_section("gate", _shown_rules(found["gate"]), "passed", "rule", "reason"),
        *_section("later labels", found["checks"], "checked_at", "rows", "reason"),
        *_section("promotions", _shown_promotions(found["promotions"]), "seq", "kind", "reason", "actor"),
    )


def _section(title: str, rows: list[dict[str, Any]], *columns: str) -> list[str | RenderableType]:
    """A heading and a table with ``columns`` (default: all keys of the rows), or nothing if there are no rows."""
    names = columns or tuple(dict.fromkeys(name for row in rows for name in row))
    headings = {name: name.replace("_", " ") for name in names}
    if not rows:
        return []
    return [Text(f"\n{title}", style="bold"), tables.table(rows, headings, formats=_formats(rows, names))]


def _formats(rows: list[dict[str, Any]], names: Collection[str]) -> dict[str, str]:
    """Shares in percent, speeds in whole numbers, and fixed digits for other columns of fractions, so that their
    points stand below each other."""
    found = {name: form for name, form in _FIXED.items() if name in names}
    for name in set(names) - set(found):
        values = [row[name] for row in rows if isinstance(row.get(name), float)]
        if values and all(1e-3 <= abs(value) <= 10 or value == 0 for value in values):
            found[name] = "{:.4f}"
    return found


def _metrics(metrics: list[dict[str, Any]]) -> list[str | RenderableType]:
    """Two sections: test metrics, one column per model; calibration metrics before and after, one row per variant."""
    tested: dict[str, dict[str, Any]] = {}
    calibrated: dict[str, dict[str, Any]] = {}
    for row in metrics:
        if row["split"] == "test":
            name, value = row["metric"], row["value"]
            value = round(value) if name == "rows" or name.startswith("confusion") else value
            tested.setdefault(name, {"metric": name.replace("_", " ")})[row["subject"]] = value
        else:
            calibrated.setdefault(row["subject"], {"variant": row["subject"]})[row["metric"]] = row["value"]
    subjects = [name for name in ("candidate", *judging.REFERENCES) if any(name in row for row in tested.values())]
    names = sorted({name for row in calibrated.values() for name in row} - {"variant"}, reverse=True)
    calibration = "calibration on the validation split, before and after temperature scaling"
    return [
        *_section("test split", list(tested.values()), "metric", *subjects),
        *_section(calibration, list(calibrated.values()), "variant", *names),
    ]


def _shown_promotions(promotions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reason of a promotion by the gate is all of its rules, which are shown above."""
    rules = {row["seq"] for row in promotions if row["kind"] == "gate" and "; " in row["reason"]}
    return [{**row, "reason": "the rules above"} if row["seq"] in rules else row for row in promotions]


def _shown_rules(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rules about the whole test split, and the ``SLICES_SHOWN`` worst rules about slices."""
    details = sorted((rule for rule in rules if rule["slice"]), key=lambda rule: (rule["passed"], rule["figure"]))
    return [rule for rule in rules if not rule["slice"]] + details[:SLICES_SHOWN]


@app.command()
def export(version: str, folder: Path, as_json: Json = False) -> None:
    """Write a model as a folder for transformers. Its temperature is inside: softmax gives calibrated probabilities."""
    done = models.export(version, folder)
    console.show(done, as_json, f"{version} is in {folder}, with its temperature {done['temperature']:.4g} inside")


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="The version of one model.")],
    second: Annotated[str, typer.Argument(help="The version of the other model.")],
    as_json: Json = False,
) -> None:
    """Compare two models on the test reviews of both. `senti report compare` draws the same."""
    found = reports.compare_models(first, second)
    rows = [
        {"metric": name.replace("_", " "), "first": one, "second": other, "difference": other - one}
        for name, one, other in found["metrics"]
    ]
    formats = {"first": "{:.4f}", "second": "{:.4f}", "difference": "{:+.4f}"}
    names = {"metric": "metric", "first": first, "second": second, "difference": "difference"}
    slices = [{**one, **{end: 100 * one[end] for end in ("difference", "low", "high")}} for one in found["slices"]]
    points = dict.fromkeys(("difference", "low", "high"), "{:+.1f}")
    headings = {"name": "reviews", "rows": "rows", "difference": "points", "low": "at least", "high": "at most"}
    style = {"good": "green", "bad": "bold red"}.get(found["verdict"]["state"], "")
    console.show(
        found,
        as_json,
        Text(found["verdict"]["sentence"], style=style),
        f"\n{found['rows']:,} test rows of both",
        tables.table(rows, names, formats=formats),
        "\naccuracy of the second minus that of the first, in points, with 95 % bounds",
        tables.table(slices, headings, formats=points),
        *_section("reviews", [{"rows": rows, "of which": name} for name, rows in found["counts"].items()]),
    )


@app.command()
def promote(version: str, reason: Reason, as_json: Json = False) -> None:
    """Promote a model by hand. If that overrules the gate, it is recorded as an overruling."""
    done = models.promote(version, reason, actor=user_name())
    console.show(done, as_json, f"{version} is the champion, by {done['kind']}. {service_line(done)}")


@app.command()
def rollback(reason: Reason = "rolled back by hand", as_json: Json = False) -> None:
    """Promote the previous champion again; it serves at once."""
    done = models.rollback(reason, actor=user_name())
    lines = [f"{done['model']} is the champion again, instead of {done['instead_of']}. {service_line(done)}"]
    if done["carried_over"]:
        lines.append(
            f"{done['carried_over']:,} reviews that it has not labelled yet show the label they had (carried_over). "
            "rescore_reviews labels them within 15 minutes; `senti score --scope reconcile` does it now."
        )
    console.show(done, as_json, *lines)


def scorecard_table(cards: list[dict[str, Any]]) -> RenderableType:
    """A table of ``cards``, which are rows of ``model_scorecard``, in the order given."""
    columns = {
        "model_version": "model",
        "verdict": "verdict",
        "in_service": "serves",
        "accuracy": "accuracy",
        "macro_f1": "macro-F1",
        "test_rows": "test rows",
        "base_model": "base model",
        "champion_accuracy": "champion",
        "baseline_accuracy": "TF-IDF",
        "roc_auc": "ROC-AUC",
        "new_labels": "labels since",
        "new_label_accuracy": "accuracy on them",
    }
    percents = ("accuracy", "macro_f1", "champion_accuracy", "baseline_accuracy", "new_label_accuracy")
    formats = dict.fromkeys(percents, "{:.1%}") | {"roc_auc": "{:.3f}"}
    return tables.table([{**card, "in_service": bool(card["in_service"])} for card in cards], columns, formats=formats)


def _headline(found: dict[str, Any], digests: str) -> Text:
    verdict = found["verdict"]
    style = {"promote": "green", "refuse": "bold red"}.get(verdict or "", "")
    facts = f" from {found['base_model']}, corpus {found['corpus']}\n{digests}\nverdict: "
    return Text.assemble((found["version"], "bold"), facts, (verdict or "not judged yet", style))


def service_line(done: dict[str, Any]) -> str:
    """Which labels analysts see after a promotion or rollback. ``done`` is its result."""
    if done["serves"]:
        return "Its labels are what analysts see from now on."
    return "It serves once every review has its label: rescore_reviews does that, or `senti score --scope rescore`."
