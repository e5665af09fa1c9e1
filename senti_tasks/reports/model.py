"""The report on a model: the verdict first, then what it rests on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from senti_tasks.config import TFIDF
from senti_tasks.reports import forests, page, plots

_SUBJECTS = ("candidate", "champion", "anchor", "baseline")
_FIGURES = ("rows", "accuracy", "macro_f1", "roc_auc", "log_loss", "brier", "ece")
PROMOTED = {
    "gate": "by the gate",
    "person": "by a person",
    "overruling": "against the gate",
    "rollback": "by a rollback",
}

Row = Mapping[str, Any]


def html(
    model: Row,
    *,
    written_at: datetime,
    label_names: Mapping[int, str],
    in_service: bool,
    evaluation: Row | None,
    mistakes: Sequence[Row] = (),
    suspects: Sequence[Row] = (),
    suspect_count: int = 0,
    shows_texts: bool = False,
    home: str | None = None,
) -> str:
    """The page on ``model``, which is what ``jobs.models.show`` returns.

    ``evaluation``: what ``reports.evaluation.figures`` returns, or ``None`` if the probabilities are no longer stored.
    ``mistakes`` (label, predicted, confidence, product, text) and ``suspects`` (label, suggested, label_probability,
    text) are shown with ``shows_texts`` only; their numbers are always shown. ``home``: where it links back to.
    """
    tested = {(row["subject"], row["metric"]): row["value"] for row in model["metrics"] if row["split"] == "test"}
    subjects = [name for name in _SUBJECTS if (name, "rows") in tested]
    rules = [rule for rule in model["gate"] if not rule["slice"]]
    calibration = _calibration(model["metrics"])
    summary, training = model["corpus_summary"], model["training"]
    wrong = sum(row["value"] for row in model["metrics"] if _is_mistake(row))
    return page.render(
        "model",
        heading=f"Model {model['version']}",
        written_at=written_at,
        home=home,
        verdict=verdict(model, in_service=in_service),
        facts=_facts(model, tested),
        rules=rules,
        forests=forests.of_gate(model["gate"]),
        metrics=[
            {"figure": page.title(name), **{subject: tested.get((subject, name)) for subject in subjects}}
            for name in _FIGURES
            if ("candidate", name) in tested
        ],
        subjects=subjects,
        labels=list(label_names.values()),
        matrix=_matrix(tested, label_names),
        missing=None if evaluation else NO_EVALUATION,
        plots=_plots(evaluation) if evaluation else [],
        calibration=calibration,
        calibration_columns=list(dict.fromkeys(name for row in calibration for name in row)),
        slices=forests.of_slices(evaluation["slices"]) if evaluation else [],
        mistake_facts=[("wrong labels on the test split", int(wrong)), ("suspect labels in the corpus", suspect_count)],
        mistakes=mistakes if shows_texts else [],
        suspects=suspects if shows_texts else [],
        shows_texts=shows_texts,
        ended_by_budget=_ended_by_budget(training),
        curves=_training_curves(training.get("history", [])),
        rates=training.get("rates", []),
        rate_columns=list(dict.fromkeys(name for row in training.get("rates", []) for name in row)),
        config=_pairs(model["config"]),
        variants=_variants(model["variants"]),
        model=model,
        corpus_rows=[
            {"split": split, "rows": rows, **summary.get("labels", {}).get(split, {})}
            for split, rows in summary["rows"].items()
        ],
        corpus_facts=_pairs(
            {name: summary[name] for name in ("due", "dropped", "tokens", "erased") if name in summary}
        ),
        checks=model["checks"],
        promotions=model["promotions"],
        lineage=_lineage(model),
        commands=_commands(model),
    )


NO_EVALUATION = (
    "The probabilities of the test rows are no longer in the artifact store, so curves, reliability and accuracy by "
    "slice are left out. An evaluation is deleted if a review in it is erased, and by maintenance "
    "(SENTI_KEEP_ARTIFACTS_DAYS)."
)


def verdict(model: Row, *, in_service: bool) -> dict[str, str]:
    """state (good, bad or wait) and the sentence about the model that stands first."""
    failed = [rule for rule in model["gate"] if not rule["passed"] and not rule["slice"]]
    promoted = model["promotions"][0]["kind"] if model["promotions"] else None
    place = "" if promoted is None else f" It was promoted {PROMOTED.get(promoted, promoted)}"
    if promoted is not None:
        place += (
            ", and its labels are what analysts see."
            if in_service
            else ", and its labels are not what analysts see now."
        )
    if model["verdict"] is None:
        return {"state": "wait", "sentence": f"This model has not been judged yet.{place}"}
    if model["verdict"] == "promote":
        reason = "This model may serve: it passed every rule of the gate, on reviews that it was not trained on."
        return {"state": "good", "sentence": reason + place}
    many = "one rule" if len(failed) == 1 else f"{len(failed)} rules"
    reason = f"The gate refused this model, because {many} failed; the first: {failed[0]['reason']}." if failed else ""
    return {"state": "bad", "sentence": (reason or "The gate refused this model.") + place}


def _is_mistake(row: Row) -> bool:
    kind, *labels = str(row["metric"]).split("_")
    is_cell = row["split"] == "test" and row["subject"] == "candidate" and kind == "confusion"
    return bool(is_cell and labels[0] != labels[1])


def _facts(model: Row, tested: Mapping[tuple[str, str], float]) -> list[tuple[str, Any]]:
    trained = model["training"]
    facts = [
        ("accuracy on unseen reviews", _percent(tested.get(("candidate", "accuracy")))),
        ("of the simple baseline (TF-IDF)", _percent(tested.get(("baseline", "accuracy")))),
        ("of the champion then", _percent(tested.get(("champion", "accuracy")))),
        ("reviews it was tested on", tested.get(("candidate", "rows"))),
        ("reviews it learnt from", model["corpus_summary"]["rows"].get("train")),
        ("trained from", model["base_model"]),
        ("trained at (UTC)", model["trained_at"]),
        ("training took (s)", trained.get("seconds")),
    ]
    return [(name, value) for name, value in facts if value is not None]


def _percent(value: float | None) -> str | None:
    return None if value is None else page.percent(value)


def _matrix(tested: Mapping[tuple[str, str], float], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """One line per label of people; the share of a cell is that of its line. Empty without an evaluation."""
    lines: list[dict[str, Any]] = []
    if ("candidate", "rows") not in tested:
        return lines
    for true, name in names.items():
        counts = [tested.get(("candidate", f"confusion_{true}_{given}"), 0.0) for given in names]
        total = sum(counts) or 1.0
        cells = [{"rows": int(n), "share": n / total, "shade": round(60 * n / total)} for n in counts]
        lines.append({"name": name, "cells": cells})
    return lines


def _plots(evaluation: Row) -> list[Any]:
    drawn = []
    zero_to_one = plots.Axis("")
    if evaluation["roc"]:
        false, right = plots.Axis("false positive rate"), zero_to_one
        drawn.append(plots.curves("ROC: true positive rate", evaluation["roc"], false, right, diagonal=True))
        recall = plots.Axis("recall")
        drawn.append(plots.curves("Precision by recall", evaluation["precision_recall"], recall, right))
    title = "Reliability: accuracy by confidence; the diagonal is perfect"
    lowest = min((point[0] for line in evaluation["reliability"].values() for point in line), default=0.0)
    confidence = plots.Axis("confidence", 0.5 if lowest >= 0.5 else 0.0)
    accuracy = plots.Axis("", confidence.low)
    drawn.append(plots.curves(title, evaluation["reliability"], confidence, accuracy, diagonal=True))
    return drawn


def _ended_by_budget(training: Row) -> str:
    """One sentence if a budget of time ended the training early; else nothing."""
    if not training.get("ended_by_budget"):
        return ""
    return (
        f"Its budget of time ended the training in epoch {training['epochs_run']} of {training['epochs_planned']}. The "
        f"model has the weights of epoch {training['best_epoch']}, the best until then."
    )


def _training_curves(history: Sequence[Row]) -> list[Any]:
    if not history:
        return []
    epochs = plots.Axis("epoch", 0, history[-1]["epoch"] + 0.5)
    lines = {
        title: [(row["epoch"], row[name]) for row in history if row.get(name) is not None]
        for name, title in (("train_loss", "training"), ("validation_loss", "validation"))
    }
    losses = [value for line in lines.values() for _, value in line]
    rates = [(row["epoch"], row["learning_rate"]) for row in history if row.get("learning_rate") is not None]
    accuracy = [(row["epoch"], row["accuracy"]) for row in history if row.get("accuracy") is not None]
    rate_axis = plots.axis_over("", [rate for _, rate in rates], zero=True)
    return [
        plots.curves("Loss", lines, epochs, plots.axis_over("", losses, zero=True)),
        plots.curves("Learning rate", {"learning rate": rates}, epochs, rate_axis),
        plots.curves("Accuracy on validation", {"accuracy": accuracy}, epochs, plots.Axis("")),
    ]


def _calibration(metrics: Sequence[Row]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in metrics:
        if row["split"] != "test":
            found.setdefault(row["subject"], {"variant": row["subject"]})[row["metric"]] = row["value"]
    return list(found.values())


def _pairs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """name and value of each value; mappings within it have a line per value."""
    found = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += [{"name": f"{page.title(name)}: {one['name']}", "value": one["value"]} for one in _pairs(value)]
        else:
            found.append({"name": page.title(name), "value": value})
    return found


def _lineage(model: Row) -> list[dict[str, Any]]:
    serving: Row = next((one for one in model["variants"] if one["serves"]), {})
    return [
        {"name": "base model", "value": model["base_model"]},
        {"name": "its revision", "value": model["base_revision"]},
        {"name": "corpus", "value": model["corpus"]},
        {"name": "version of senti", "value": model["code_version"]},
        *(
            {"name": f"{name} of the training", "value": value}
            for name, value in model["training"].get("environment", {}).items()
        ),
        {"name": "version of the text normaliser", "value": model["normaliser_version"]},
        {"name": "library of the variant that serves", "value": serving.get("library")},
        {"name": "artifact", "value": model["artifact"]},
        {"name": "digest (SHA-256)", "value": model["digest"]},
        {"name": "digest of the weights", "value": model["training"].get("weights_digest")},
        {"name": "idempotency key", "value": model["idempotency_key"]},
    ]


def _commands(model: Row) -> str:
    """Commands to look at the model and to train it again; options are those of ``senti retrain``."""
    options = [f"--corpus {model['corpus']}", f"--base-model {model['base_model']}"]
    # Those of TF-IDF are no options of the command.
    for name, value in model["config"].items() if model["base_model"] != TFIDF else ():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{option}" if value else f"--no-{option}")
        else:
            options.append(f"--{option} {value}")
    retrain = "senti retrain " + " ".join(options)
    return (
        f"# everything that is recorded about it\nsenti models show {model['version']} --json\n"
        f"# the same training on the same corpus, with version {model['code_version']} of senti\n{retrain}"
    )


def _variants(variants: Sequence[Row]) -> list[dict[str, Any]]:
    rows = []
    for one in variants:
        compared = one["reviews_compared"]
        differing = None if one["labels_differing"] is None else f"{one['labels_differing']:,} of {compared:,}"
        bound = None
        if one["disagreement_bound"] is not None:
            bound = f"{100 * one['disagreement_bound']:.2f} % (allowed {100 * one['disagreement_limit']:.2f} %)"
        rows.append({**one, "labels that differ from fp32": differing, "at most, of all": bound})
    return rows
