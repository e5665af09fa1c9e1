"""What one trial at fine-tuning does, from its newest checkpoint to its outcome."""

import logging
import math
import sys
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
from senti_tasks.training.checkpoints import StopAtCheckpoint, epochs_if_over, newest
from senti_tasks.training.class_weights import balanced_weights, weighted_loss
from senti_tasks.training.optimiser import parameter_groups
from senti_tasks.training.resumable import WIDTH_STEP, Report, ResumableTrainer, Rows, arguments_for
from senti_tasks.training.trials import Outcome, Trial

log = logging.getLogger(__name__)

_EVALUATION_BATCH = 64


def fine_tune(
    trial: Trial,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: dict[str, Rows],
    *,
    device: str,
    report: Report | None,
    report_to: str | None,
) -> None:
    """Trains ``model`` as ``trial.config`` says; the weights and figures of its best epoch are then the trial's.

    Goes on from the trial's newest whole checkpoint. ``rows`` are those of ``train`` and ``validation``; the other
    parameters are those of ``training.train``. Raises ``ConfigError``, and ``TrainingStoppedError`` after a SIGTERM.
    """
    timer = trial.timer()
    config = trial.config
    if not sys.stderr.isatty():
        disable_progress_bar()  # type: ignore[no-untyped-call]
    if config.freeze_encoder:
        _freeze_encoder(model)
    arguments = arguments_for(
        config,
        trial.folder,
        device,
        per_device_eval_batch_size=_EVALUATION_BATCH,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,  # how long early stopping has waited
        report_to=report_to or "none",
    )
    resume_from = newest(trial.folder)
    if resume_from and (epochs := epochs_if_over(resume_from)) is not None:
        arguments.num_train_epochs = epochs
    stop = StopAtCheckpoint()
    trainer = _Trainer(
        config,
        model=model,
        args=arguments,
        train_dataset=rows["train"],
        # Sorted by length, which pads little; a sum over rows does not mind their order.
        eval_dataset=sorted(rows["validation"], key=lambda row: len(row["input_ids"])),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=WIDTH_STEP),
        compute_metrics=_figures,
        callbacks=[
            EarlyStoppingCallback(early_stopping_patience=config.patience),
            *(timer, _EpochReport(config, report), stop),
        ],
    )
    trainer.go_on(resume_from, stop)
    timer.keep()
    epochs_run, validations = _history(trainer.state)
    best = max(
        range(len(epochs_run)), key=lambda number: (epochs_run[number]["macro_f1"], -number)
    )  # earliest of equals
    outcome = Outcome(
        history=epochs_run,
        best_epoch=epochs_run[best]["epoch"],
        validation=validations[best],
        steps=trainer.state.global_step,
        diverged=not all(bool(weight.isfinite().all()) for weight in model.parameters()),
    )
    trial.finish(model, outcome)  # the Trainer has put the best epoch's weights back into it


class _Trainer(ResumableTrainer):
    """With what ``balance_classes`` and ``layer_decay`` ask for."""

    def __init__(self, config: TrainConfig, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._config = config
        self._weights: torch.Tensor | None = None  # (n_labels,)
        if config.balance_classes:
            labels = [row["labels"] for row in cast(Rows, self.train_dataset)]
            self._weights = balanced_weights(labels, arguments["model"].config.num_labels)

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
            kind, options = self.get_optimizer_cls_and_kwargs(self.args)
            trained = cast(PreTrainedModel, self.model)
            decaying = self.get_decay_parameter_names(trained)
            self.optimizer = kind(parameter_groups(trained, self._config, decaying), **options)
        return super().create_optimizer(model)


class _EpochReport(TrainerCallback):
    """One log line, and one call of ``report``, after each epoch."""

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


def _figures(prediction: EvalPrediction) -> dict[str, float]:
    logits = torch.as_tensor(prediction.predictions, dtype=torch.float64)  # (n, n_labels)
    logits = logits.nan_to_num()  # of a training that diverged: one label for every row, which is a collapse
    return measure(np.asarray(prediction.label_ids), torch.softmax(logits, dim=-1).numpy())


def _freeze_encoder(model: PreTrainedModel) -> None:
    """Leaves the head and, where there is one, the pooler to be trained."""
    model.base_model.requires_grad_(False)
    if pooler := getattr(model.base_model, "pooler", None):
        pooler.requires_grad_(True)
