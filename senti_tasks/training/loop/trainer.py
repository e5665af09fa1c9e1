"""Runs one trial of fine-tuning, from its newest checkpoint to its outcome."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils.logging import disable_progress_bar

from senti_tasks.config import TrainConfig
from senti_tasks.judging.evaluation import measure
from senti_tasks.training.loop.checkpoints import StopAtCheckpoint, epochs_if_budget_ended, epochs_if_stopped_early
from senti_tasks.training.loop.optimiser import parameter_groups
from senti_tasks.training.loop.resumable import ResumableTrainer, Rows, arguments_for, width_step
from senti_tasks.training.loop.watching import Budget, ProgressReport, Report
from senti_tasks.training.processes.group import Group
from senti_tasks.training.trials import Outcome, Timer, Trial

log = logging.getLogger(__name__)

_EVALUATION_BATCH = 64


def fine_tune(
    trial: Trial,
    checkpoint: Path | None,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: dict[str, Rows],
    stop: StopAtCheckpoint,
    *,
    device: str,
    report: Report | None,
    report_to: str | None,
    group: Group,
) -> None:
    """Trains ``model`` with ``trial.config`` and saves the weights and figures of the best epoch in the trial.

    Resumes ``checkpoint``, the trial's newest complete one. ``rows`` are those of ``train`` and ``validation``. Process
    0 of ``group`` alone writes. For the other parameters see ``fine_tuning.train``. Raises ``ConfigError`` and, when
    ``stop`` is requested, ``TrainingStoppedError``.
    """
    timer = Timer(trial) if group.rank == 0 else None
    config = trial.config
    budget = Budget(60.0 * config.budget_minutes or None, lambda: timer.seconds if timer else 0.0, group)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    if config.freeze_encoder:  # leaves the head and, if there is one, the pooler trainable
        model.base_model.requires_grad_(False)
        if pooler := getattr(model.base_model, "pooler", None):
            pooler.requires_grad_(True)
    arguments = arguments_for(
        config,
        trial.folder,
        device,
        group,
        per_device_eval_batch_size=_EVALUATION_BATCH,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,  # for the patience counter of early stopping
        report_to=report_to or "none",
    )
    if checkpoint and (epochs := epochs_if_stopped_early(checkpoint)) is not None:
        arguments.num_train_epochs = epochs
    elif (
        checkpoint
        and any(group.agreed(budget.is_used_up))
        and (epochs := epochs_if_budget_ended(checkpoint)) is not None
    ):
        arguments.num_train_epochs, budget.has_ended_it = epochs, True
    trainer = _Trainer(
        config,
        model=model,
        group=group,
        args=arguments,
        train_dataset=rows["train"],
        # Sorted by length, because batches of similar lengths need little padding. The figures do not depend on it.
        eval_dataset=sorted(rows["validation"], key=lambda row: len(row["input_ids"])),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=width_step(device)),
        compute_metrics=_figures,
        callbacks=[
            EarlyStoppingCallback(early_stopping_patience=config.patience),
            *([timer, ProgressReport(len(rows["train"]), report, lambda: budget.left_s)] if timer else []),
            *(_EpochReport(config, report), budget, stop),
        ],
    )
    trainer.resume(checkpoint, stop)
    group.wait()  # all processes have loaded the best checkpoint, which is deleted now
    if timer is None:
        return
    timer.save()
    epochs_run, validations = _history(trainer.state)
    scores = [row["macro_f1"] for row in epochs_run]
    best = scores.index(max(scores))  # the earliest of equals
    outcome = Outcome(
        history=epochs_run,
        best_epoch=epochs_run[best]["epoch"],
        validation=validations[best],
        steps=trainer.state.global_step,
        diverged=not all(bool(weight.isfinite().all()) for weight in model.parameters()),
        ended_by_budget=budget.has_ended_it,
    )
    trial.finish(model, outcome)  # load_best_model_at_end has loaded the weights of the best epoch into model


class _Trainer(ResumableTrainer):
    """Adds the options ``balance_classes`` and ``layer_decay``."""

    def __init__(self, config: TrainConfig, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._config = config
        self._weights: torch.Tensor | None = None  # (n_labels,)
        if config.balance_classes:
            labels = [row["labels"] for row in cast(Rows, self.train_dataset)]
            weights = balanced_weights(labels, arguments["model"].config.num_labels)
            self._weights = weights.to(self.args.device)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if self._weights is None or not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        outputs = model(**inputs)
        loss = weighted_loss(outputs.logits, inputs["labels"], self._weights)
        return (loss, outputs) if return_outputs else loss

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None and self._config.layer_decay < 1:
            optimizer_class, options = self.get_optimizer_cls_and_kwargs(self.args)
            trained = cast(PreTrainedModel, self.model)
            decaying = self.get_decay_parameter_names(trained)
            self.optimizer = optimizer_class(parameter_groups(trained, self._config, decaying), **options)
        return super().create_optimizer(model)


def balanced_weights(labels: Sequence[int], n_labels: int) -> torch.Tensor:
    """The weight of each label, (n_labels,): n / (n_labels * rows of the label), or 0 for a label without rows.

    As ``class_weight="balanced"`` of scikit-learn, which has no weight for a label without rows.
    """
    rows = np.bincount(labels, minlength=n_labels)
    return torch.tensor([len(labels) / (n_labels * n) if n else 0.0 for n in rows.tolist()])


def weighted_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The weighted cross-entropy of ``logits`` (B, n_labels) with ``labels`` (B,): a scalar. All are on one device.

    The sum is divided by the number of rows. torch's own mean divides by the sum of the rows' weights. In a batch with
    a single label that would cancel the weight.
    """
    total = torch.nn.functional.cross_entropy(logits.float(), labels, weight=weights, reduction="sum")
    return total / len(labels)


class _EpochReport(TrainerCallback):
    """Writes one log line and calls ``report`` once after each epoch."""

    def __init__(self, config: TrainConfig, report: Report | None) -> None:
        self._trial = {"peak_learning_rate": config.learning_rate, "seed": config.seed}
        self._report = report

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        row = _history(state)[0][-1]
        log.info(
            "epoch %d of %d: training loss %.4f, validation loss %.4f, accuracy %.4f, macro-F1 %.4f",
            *(row["epoch"], args.num_train_epochs, row["train_loss"], row["validation_loss"]),
            *(row["accuracy"], row["macro_f1"]),
        )
        if self._report:
            self._report({**self._trial, **row})


def _history(state: TrainerState) -> tuple[list[dict[str, Any]], list[dict[str, float]]]:
    """Per epoch: a row of the history, and the figures of the validation split (as from ``measure``)."""
    rows, validations = [], []
    trained: dict[str, float] = {}
    for entry in state.log_history:
        if "loss" in entry:
            trained = entry
        if "eval_loss" not in entry:
            continue
        confusion = [name.removeprefix("eval_") for name in entry if name.startswith("eval_confusion_")]
        names = ("rows", "accuracy", "macro_f1", "log_loss", "roc_auc", *confusion)
        figures = {name: entry[f"eval_{name}"] for name in names if f"eval_{name}" in entry}
        validations.append(figures)
        rows.append(
            {
                "epoch": math.ceil(round(entry["epoch"], 6)),  # a budget ends the last one early
                "step": entry["step"],
                "learning_rate": trained.get("learning_rate", math.nan),
                "train_loss": trained.get("loss", math.nan),
                "validation_loss": figures["log_loss"],
                "accuracy": figures["accuracy"],
                "macro_f1": figures["macro_f1"],
            }
        )
    return rows, validations


def _figures(prediction: EvalPrediction) -> dict[str, float]:
    logits = torch.as_tensor(prediction.predictions, dtype=torch.float64)  # (n, n_labels)
    logits = logits.nan_to_num()  # a diverged model then gives every row the same label, which counts as a collapse
    return measure(np.asarray(prediction.label_ids), torch.softmax(logits, dim=-1).numpy())
