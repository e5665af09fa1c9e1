"""What a training has come to, epoch by epoch."""

import math
from typing import Any

from transformers import TrainerState


def history(state: TrainerState) -> tuple[list[dict[str, Any]], list[dict[str, float]]]:
    """Per epoch: a row of the history, and the figures of the validation split (as ``measure`` gives them)."""
    rows, validations = [], []
    trained: dict[str, float] = {}
    for entry in state.log_history:
        if "loss" in entry:
            trained = entry
        if "eval_loss" not in entry:
            continue
        figures = {
            name: entry[f"eval_{name}"]
            for name in ("rows", "accuracy", "macro_f1", "log_loss", "roc_auc", *_confusions(entry))
            if f"eval_{name}" in entry
        }
        validations.append(figures)
        rows.append(
            {
                "epoch": round(entry["epoch"]),
                "step": entry["step"],
                "learning_rate": trained.get("learning_rate", math.nan),
                "train_loss": trained.get("loss", math.nan),
                "validation_loss": figures["log_loss"],
                "accuracy": figures["accuracy"],
                "macro_f1": figures["macro_f1"],
            }
        )
    return rows, validations


def _confusions(entry: dict[str, float]) -> list[str]:
    return [name.removeprefix("eval_") for name in entry if name.startswith("eval_confusion_")]
