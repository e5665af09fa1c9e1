"""``senti models``: list, show, promote and roll back models; and the tables in which all commands show models."""

from typing import Annotated, Any

import typer
from rich.table import Table

from senti_tasks import console
from senti_tasks.cli.calls import Json, user_name
from senti_tasks.jobs import judging, models

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The model registry: list, promote, roll back.")

SLICES_SHOWN = 5
"""Number of rules about single slices that are shown; there may be hundreds."""

_VARIANT_COLUMNS = (
    *("variant", "serves", "verdict", "labels_differing", "reviews_compared"),
    *("disagreement_bound", "disagreement_limit", "escalated_share", "reviews_per_second", "temperature", "reason"),
)

Reason = Annotated[str, typer.Option(help="The reason, for the record.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all models, newest first: accuracy, that of champion and baseline, verdict, and which model serves."""
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
        f"{version} from {found['base_model']}, corpus {found['corpus']}, {digests}",
        *_section("learning rates", training.get("rates", [])),
        *_section("training", training["history"]),
        *_section("variants", found["variants"], *_VARIANT_COLUMNS),
        *_metrics(found["metrics"]),
        *_section("gate", _shown_rules(found["gate"]), "passed", "rule", "reason"),
        *_section("later labels", found["checks"], "checked_at", "rows", "reason"),
        *_section("promotions", found["promotions"], "seq", "kind", "actor", "reason"),
    )


def _section(title: str, rows: list[dict[str, Any]], *columns: str) -> list[str | Table]:
    """A heading and a table with ``columns`` (default: all keys of the rows), or nothing if there are no rows."""
    names = columns or tuple(dict.fromkeys(name for row in rows for name in row))
    headings = {name: name.replace("_", " ") for name in names}
    return [f"\n{title}", console.table(rows, headings)] if rows else []


def _metrics(metrics: list[dict[str, Any]]) -> list[str | Table]:
    """Two sections: test metrics, one column per model; calibration metrics before and after, one row per variant."""
    tested: dict[str, dict[str, Any]] = {}
    calibrated: dict[str, dict[str, Any]] = {}
    for row in metrics:
        if row["split"] == "test":
            tested.setdefault(row["metric"], {"metric": row["metric"].replace("_", " ")})[row["subject"]] = row["value"]
        else:
            calibrated.setdefault(row["subject"], {"variant": row["subject"]})[row["metric"]] = row["value"]
    subjects = [name for name in ("candidate", *judging.REFERENCES) if any(name in row for row in tested.values())]
    names = sorted({name for row in calibrated.values() for name in row} - {"variant"}, reverse=True)
    calibration = "calibration on the validation split, before and after temperature scaling"
    return [
        *_section("test split", list(tested.values()), "metric", *subjects),
        *_section(calibration, list(calibrated.values()), "variant", *names),
    ]


def _shown_rules(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rules about the whole test split, and the ``SLICES_SHOWN`` worst rules about slices."""
    details = sorted((rule for rule in rules if rule["slice"]), key=lambda rule: (rule["passed"], rule["figure"]))
    return [rule for rule in rules if not rule["slice"]] + details[:SLICES_SHOWN]


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


def scorecard_table(cards: list[dict[str, Any]]) -> Table:
    """A table of ``cards``, which are rows of ``model_scorecard``, in the order given."""
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
    """Which labels analysts see after a promotion or rollback. ``done`` is its result."""
    if done["serves"]:
        return "Its labels are what analysts see from now on."
    return "It serves once every review has its label: rescore_reviews does that, or `senti score --scope rescore`."
