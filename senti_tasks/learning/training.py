"""Fine-tuning a classifier on a frozen corpus, with the Hugging Face Trainer."""

import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils.logging import disable_progress_bar

from senti_tasks.config import TrainConfig
from senti_tasks.learning import checkpoints as checkpoint_folders
from senti_tasks.learning import corpus as corpora
from senti_tasks.learning.base_models import load_classifier, load_tokenizer, revision_of
from senti_tasks.learning.checkpoints import StopAtCheckpoint
from senti_tasks.learning.evaluation import measure
from senti_tasks.learning.model_card import model_card
from senti_tasks.learning.sampling import LengthGroupedSampler
from senti_tasks.scoring.devices import cpu_capabilities, cuda_has_bf16, device_named
from senti_tasks.scoring.tokens import HEAD_TOKENS, Encoder

log = logging.getLogger(__name__)

Rows = list[dict[str, Any]]
Report = Callable[[dict[str, Any]], None]

_EVALUATION_BATCH = 64


def train(
    corpus: Path,
    base_model: str,
    config: TrainConfig,
    checkpoints: Path,
    output: Path,
    report: Report | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Fine-tunes ``base_model`` on the corpus in ``corpus`` and writes the model of its best epoch into ``output``.

    Goes on from the newest whole checkpoint of this very training below ``checkpoints``, which the caller removes when
    the model is safe. ``report`` gets a row of the history after each epoch. ``device`` is ``auto`` (CUDA if there is
    one), ``cpu`` or ``cuda``. On one machine the same input gives the same files, resumed or not.

    Returns base_model, base_revision, epochs_run, best_epoch, seconds (of this call), steps, validation (``measure`` of
    the best epoch) and history (a row per epoch). Raises ``BaseModelError``, ``CorpusError``, ``ConfigError``, and
    ``TrainingStoppedError`` after a SIGTERM, once a checkpoint is written.
    """
    started = time.monotonic()
    if not sys.stderr.isatty():
        disable_progress_bar()  # type: ignore[no-untyped-call]
    data = corpora.load(corpus)
    revision = revision_of(base_model)
    texts = {split: list(data[split]["text"]) for split in ("train", "validation")}
    tokenizer = load_tokenizer(base_model, texts["train"], revision)
    tokenizer.model_max_length = min(tokenizer.model_max_length, config.max_length)
    model = load_classifier(base_model, tokenizer, config, revision)
    setattr(model.config, HEAD_TOKENS, config.head_tokens)  # whoever scores with the model cuts as it was trained
    encoder = Encoder(tokenizer.backend_tokenizer, tokenizer.model_max_length, config.head_tokens)
    model.accepts_loss_kwargs = False  # type: ignore[assignment]  # else accumulated losses are added, not averaged
    if config.freeze_encoder:
        _freeze_encoder(model)
    folder = checkpoint_folders.folder_for(checkpoints, corpus, base_model, revision, config)
    arguments = _arguments(config, folder, device)
    resume_from = checkpoint_folders.newest(folder)
    if resume_from:
        log.info("going on from %s", resume_from)
        if (epochs := checkpoint_folders.epochs_if_over(resume_from)) is not None:
            arguments.num_train_epochs = epochs
    stop = StopAtCheckpoint()
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=_encode(encoder, texts["train"], list(data["train"]["label"])),
        # Sorted by length, which pads little; a sum over rows does not mind their order.
        eval_dataset=sorted(
            _encode(encoder, texts["validation"], list(data["validation"]["label"])),
            key=lambda row: len(row["input_ids"]),
        ),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=_figures,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=config.patience), _EpochReport(report), stop],
    )
    trainer.remove_callback(PrinterCallback)
    with stop.listening():
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    rows, validations = _history(trainer.state)
    best = max(range(len(rows)), key=lambda number: (rows[number]["macro_f1"], -number))  # the earliest of equals
    validation = validations[best]
    model.save_pretrained(output)  # the Trainer has put the best epoch's weights back into it
    tokenizer.save_pretrained(output)
    summary = json.loads((corpus / "summary.json").read_text(encoding="utf-8"))
    card = model_card(base_model, revision, config, corpus.name, summary, validation, rows)
    (output / "README.md").write_text(card, encoding="utf-8")
    (output / "history.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return {
        "base_model": base_model,
        "base_revision": revision,
        "epochs_run": len(rows),
        "best_epoch": rows[best]["epoch"],
        "seconds": round(time.monotonic() - started, 1),
        "steps": trainer.state.global_step,
        "validation": validation,
        "history": rows,
    }


class _Trainer(Trainer):
    """The library's, with an order of rows that a resumed training repeats, and rows evaluated as they stand."""

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        rows = cast(Rows, self.train_dataset)
        batch_size = self.args.train_batch_size
        steps = math.ceil(len(rows) / batch_size)
        lengths = [len(row["input_ids"]) for row in rows]
        return LengthGroupedSampler(
            lengths, batch_size, self.args.seed, epoch=lambda: int(self.state.global_step // steps)
        )


class _EpochReport(TrainerCallback):
    """One log line, and one call of ``report``, after each epoch."""

    def __init__(self, report: Report | None) -> None:
        self._report = report

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        row = _history(state)[0][-1]
        log.info(
            "epoch %d of %d: training loss %.4f, validation loss %.4f, accuracy %.4f, macro-F1 %.4f",
            *(row["epoch"], args.num_train_epochs, row["train_loss"], row["validation_loss"]),
            *(row["accuracy"], row["macro_f1"]),
        )
        if self._report:
            self._report(row)


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
    return measure(np.asarray(prediction.label_ids), torch.softmax(logits, dim=-1).numpy())


def _encode(encoder: Encoder, texts: list[str], labels: list[int]) -> Rows:
    """A row per text, cut as it will be when it is scored, not padded."""
    tokens = encoder.encode(texts)
    rows = np.split(tokens.ids, tokens.offsets[1:-1])
    return [{"input_ids": ids.tolist(), "labels": label} for ids, label in zip(rows, labels, strict=True)]


def _freeze_encoder(model: PreTrainedModel) -> None:
    """Leaves the head and, where there is one, the pooler to be trained."""
    model.base_model.requires_grad_(False)
    if pooler := getattr(model.base_model, "pooler", None):
        pooler.requires_grad_(True)


def _arguments(config: TrainConfig, folder: Path, device: str) -> TrainingArguments:
    cuda = device_named(device).type == "cuda"
    half = cuda_has_bf16() if cuda else "BF16" in cpu_capabilities()
    if cuda:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    arguments = TrainingArguments(
        output_dir=str(folder),
        seed=config.seed,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup_fraction,  # below 1 it is a share of all steps
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=_EVALUATION_BATCH,
        eval_strategy="epoch",
        logging_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,  # and the best one
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,  # how long early stopping has waited
        remove_unused_columns=False,
        use_cpu=not cuda,
        bf16=half,
        dataloader_pin_memory=cuda,
        disable_tqdm=not sys.stderr.isatty(),
        report_to="none",
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # else several GPUs share each batch, and the batch grows with them
    return arguments
