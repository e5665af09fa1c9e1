"""What a person is shown who is to decide on a model."""

from collections.abc import Mapping, Sequence
from typing import Any

from senti_tasks.markdown import table

_FIGURES = ("rows", "accuracy", "macro_f1", "roc_auc", "log_loss", "brier", "ece")
_WORST_SLICES = 5


def markdown(
    model: Mapping[str, Any],
    champion: str | None,
    metrics: Sequence[Mapping[str, Any]],
    rules: Sequence[Mapping[str, Any]],
) -> str:
    """The scorecard of a candidate: what it is, its figures beside its references', the rules, its worst slices.

    ``model`` is its row in the registry, ``metrics`` and ``rules`` those of its evaluation and of the gate.
    """
    tested = {(row["subject"], row["metric"]): row["value"] for row in metrics if row["split"] == "test"}
    subjects = [name for name in ("candidate", "champion", "anchor", "baseline") if (name, "rows") in tested]
    figures = [
        {"figure": name, **{subject: tested.get((subject, name)) for subject in subjects}}
        for name in _FIGURES
        if ("candidate", name) in tested
    ]
    slices = sorted((rule for rule in rules if rule["slice"]), key=lambda rule: (rule["figure"], rule["position"]))
    instead = f"would replace {champion}" if champion else "would be the first in use"
    sections = [
        f"**{model['version']}**, trained from {model['base_model']} on corpus {model['corpus']}, {instead}.",
        "### On unseen reviews\n\n" + table(figures),
        "### What the gate found\n\n"
        + table([{"rule": rule["rule"], "found": rule["reason"]} for rule in rules if not rule["slice"]]),
    ]
    if slices:
        worst = [{"slice": rule["slice"], "found": rule["reason"]} for rule in slices[:_WORST_SLICES]]
        sections.append("### Where it does worst\n\n" + table(worst))
    return "\n\n".join(sections)
