"""The scorecard of a candidate, for the person who decides whether to promote it."""

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
    """The scorecard as Markdown: the candidate, its figures and those of its references, the rules, the worst slices.

    ``model`` is its row in the registry. ``metrics`` and ``rules`` are the rows of its evaluation and of the gate.
    """
    tested = {(row["subject"], row["metric"]): row["value"] for row in metrics if row["split"] == "test"}
    subjects = [name for name in ("candidate", "champion", "anchor", "baseline") if (name, "rows") in tested]
    figures = [
        {"figure": name, **{subject: tested.get((subject, name)) for subject in subjects}}
        for name in _FIGURES
        if ("candidate", name) in tested
    ]
    effect = f"would replace {champion}" if champion else "would be the first in use"
    found = [{"rule": rule["rule"], "found": rule["reason"]} for rule in rules if not rule["slice"]]
    slices = sorted((rule for rule in rules if rule["slice"]), key=lambda rule: (rule["figure"], rule["position"]))
    worst = [{"slice": rule["slice"], "found": rule["reason"]} for rule in slices[:_WORST_SLICES]]
    sections = [
        f"**{model['version']}**, trained from {model['base_model']} on corpus {model['corpus']}, {effect}.",
        "### On unseen reviews\n\n" + table(figures),
        "### What the gate found\n\n" + table(found),
        *(["### Where it does worst\n\n" + table(worst)] if worst else []),
    ]
    return "\n\n".join(sections)
