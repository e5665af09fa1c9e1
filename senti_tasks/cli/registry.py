"""``senti models``: the registry as a person uses it, and how other commands show its models."""

from typing import Annotated, Any

import typer
from rich.table import Table

from senti_tasks import console
from senti_tasks.cli import calls
from senti_tasks.cli.options import Json
from senti_tasks.jobs import judging, models

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The model registry: list, promote, roll back.")

SLICES_SHOWN = 5
"""Of the rules about single slices, how many are shown."""

Reason = Annotated[str, typer.Option(help="Why, for those who read the history later.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Every model, newest first: accuracy beside the champion's and the baseline's, verdict, and which one serves."""
    cards = models.scorecards()
    console.show(cards, as_json, scorecard_table(cards))


@app.command()
def show(version: str, as_json: Json = False) -> None:
    """Everything recorded of one model."""
    found = models.show(version)
    history, rates = found["training"]["history"], found["training"].get("rates", [])
    digests = f"digest {found['digest'][:12]}, weights {found['training'].get('weights_digest', 'not recorded')[:12]}"
    console.show(
        found,
        as_json,
        f"{version} from {found['base_model']}, corpus {found['corpus']}, {digests}",
        *_titled("learning rates", rates, {name: name.replace("_", " ") for row in rates for name in row}),
        *_titled("training", history, {name: name.replace("_", " ") for row in history for name in row}),
        *_titled(
            "variants",
            found["variants"],
            {name: name for name in ("variant", "serves", "verdict", "temperature", "reason")},
        ),
        *_figures(found["metrics"]),
        *_titled("gate", _shown_rules(found["gate"]), {"passed": "passed", "rule": "rule", "reason": "reason"}),
        *_titled("later labels", found["checks"], {"checked_at": "checked", "rows": "labels", "reason": "reason"}),
        *_titled("promotions", found["promotions"], {"seq": "no.", "kind": "kind", "actor": "by", "reason": "reason"}),
    )


def _titled(title: str, rows: list[dict[str, Any]], columns: dict[str, str]) -> list[str | Table]:
    """A heading and a table, or nothing where there are no rows."""
    return [f"\n{title}", console.table(rows, columns)] if rows else []


def _figures(metrics: list[dict[str, Any]]) -> list[str | Table]:
    """The evaluation, a column per model that was measured; and each variant's calibration, before and after."""
    tested: dict[str, dict[str, Any]] = {}
    calibrated: dict[str, dict[str, Any]] = {}
    for row in metrics:
        if row["split"] == "test":
            tested.setdefault(row["metric"], {"figure": row["metric"].replace("_", " ")})[row["subject"]] = row["value"]
        else:
            calibrated.setdefault(row["subject"], {"variant": row["subject"]})[row["metric"]] = row["value"]
    subjects = [name for name in ("candidate", *judging.REFERENCES) if any(name in row for row in tested.values())]
    figures = sorted({name for row in calibrated.values() for name in row} - {"variant"}, reverse=True)
    return [
        *_titled("test split", list(tested.values()), {"figure": "figure"} | {name: name for name in subjects}),
        *_titled(
            "calibration on the validation split, before and after temperature scaling",
            list(calibrated.values()),
            {"variant": "variant"} | {name: name.replace("_", " ") for name in figures},
        ),
    ]


def _shown_rules(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every rule, but of what was found in slices only where it did worst: there may be hundreds."""
    details = sorted((rule for rule in rules if rule["slice"]), key=lambda rule: (rule["passed"], rule["figure"]))
    return [rule for rule in rules if not rule["slice"]] + details[:SLICES_SHOWN]


@app.command()
def promote(version: str, reason: Reason, as_json: Json = False) -> None:
    """Promote a model by hand. Overruling the gate is recorded as such, with the reason."""
    done = models.promote(version, reason, actor=calls.person())
    console.show(done, as_json, f"{version} is the champion, by {done['kind']}. {service_line(done)}")


@app.command()
def rollback(reason: Reason = "rolled back by hand", as_json: Json = False) -> None:
    """Put the model that served before back into service, at once."""
    done = models.rollback(reason, actor=calls.person())
    line = f"{done['model']} is the champion again, instead of {done['instead_of']}. {service_line(done)}"
    console.show(done, as_json, line)


def scorecard_table(cards: list[dict[str, Any]]) -> Table:
    """One line per model, in the order given; ``cards`` are rows of ``model_scorecard``."""
    columns = {
        "model_version": "model",
        "base_model": "base model",
        "test_rows": "test rows",
        "accuracy": "accuracy",
        "macro_f1": "macro-F1",
        "roc_auc": "ROC-AUC",
        "champion_accuracy": "champion",
        "baseline_accuracy": "TF-IDF",
        "verdict": "verdict",
        "in_service": "serves",
        "new_labels": "labels since",
        "new_label_accuracy": "accuracy on them",
    }
    return console.table([{**card, "in_service": bool(card["in_service"])} for card in cards], columns)


def service_line(done: dict[str, Any]) -> str:
    """What a promotion or a rollback means for the labels that analysts see."""
    if done["serves"]:
        return "Its labels are what analysts see from now on."
    return "It serves once every review has its label: rescore_reviews does that, or `senti score --scope rescore`."
