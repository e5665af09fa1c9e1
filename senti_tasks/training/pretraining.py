"""Pretrains an encoder on reviews without labels, by masked language modelling, before it is fine-tuned."""

import json
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from senti_tasks.config import PretrainConfig
from senti_tasks.corpus import unlabelled
from senti_tasks.errors import CorpusError
from senti_tasks.progress import Watcher
from senti_tasks.scoring.tokens import TextTokenizer
from senti_tasks.training.base_models import load_masked_language_model, load_tokenizer
from senti_tasks.training.base_names import is_small, revision_of
from senti_tasks.training.loop.checkpoints import StopAtCheckpoint, folder_for, newest
from senti_tasks.training.loop.interruptions import NO_PAUSE, Interruptions
from senti_tasks.training.loop.resumable import ResumableTrainer, Rows, arguments_for, width_step
from senti_tasks.training.loop.watching import ProgressReport, Report, parted
from senti_tasks.training.masking import IGNORE_INDEX, MaskingCollator
from senti_tasks.training.model_card import encoder_card
from senti_tasks.training.processes import launcher
from senti_tasks.training.processes.group import Group

log = logging.getLogger(__name__)

Batch = dict[str, torch.Tensor]

_EVALUATION_BATCH = 64
_HEADS = ("cls", "lm_head")  # names of the token prediction head in different architectures
_FIGURES = ("epoch", "step", "loss", "accuracy")


def pretrain(
    texts: Path,
    base_model: str,
    config: PretrainConfig,
    checkpoints: Path,
    output: Path,
    report: Report | None = None,
    device: str = "auto",
    interruptions: Interruptions = NO_PAUSE,
    processes: str = "1",
    watch: Watcher | None = None,
) -> dict[str, Any]:
    """Trains ``base_model`` to predict masked tokens of the text snapshot in ``texts`` (see ``corpus.unlabelled``).

    Writes the encoder with its token prediction head into ``output``. Classifiers and masked language models can both
    be loaded from that folder. ``checkpoints``: folder for checkpoints. If it has a complete checkpoint of the same
    training, that one is resumed. The caller deletes the folder once the encoder is stored. ``report`` is called with a
    row of the history before the training and after each epoch, ``watch`` twice a second with the progress. ``device``
    is ``auto`` (CUDA if available), ``cpu`` or ``cuda``. ``interruptions`` say when a checkpoint is saved, and when the
    training ends before it is done. ``processes`` (a number or ``auto``) train together, on one GPU each or on the CPU,
    and divide each batch among them. On one machine, the same input and number of processes give the same files,
    resumed or not.

    Returns base_model, base_revision, texts (trained_on and held_out: numbers of texts), seconds (of this call), steps,
    processes (their number) and history. The rows of history have epoch (0: before the training), step, loss (mean per
    masked token of the held-out texts, in nats) and accuracy (share of these tokens predicted correctly).

    Raises ``BaseModelError``, ``CorpusError``, ``ConfigError``, and, after SIGTERM or when the pause begins,
    ``TrainingStoppedError`` once a checkpoint is saved. With several processes also ``TrainingProcessError``.
    """
    started = time.monotonic()
    number = launcher.number_of_processes(processes, device, config.batch_size, is_small=is_small(base_model))
    train, held_out = unlabelled.load(texts, config.held_out_share)
    counts = unlabelled.counts(texts)  # read now, because an erasure may move the folder during the training
    revision = revision_of(base_model)
    tokenizer = load_tokenizer(base_model, train, revision)
    text_tokenizer = TextTokenizer(tokenizer.backend_tokenizer, min(tokenizer.model_max_length, config.max_length))
    collator = partial(MaskingCollator, tokenizer, config.masked_share, config.seed, width_step(device))
    rows, evaluation_rows = (_encode(text_tokenizer, collator(), part) for part in (train, held_out))
    if not rows or not evaluation_rows:
        raise CorpusError(
            f"the vocabulary of {base_model} covers a word of {len(rows)} of {len(train)} training texts and of "
            f"{len(evaluation_rows)} of {len(held_out)} held-out texts: expected at least one text of each; import "
            "more reviews, or take another base model"
        )
    folder = folder_for(checkpoints, texts, base_model, revision, config, [unlabelled.FILE], number)
    arguments = {
        "base_model": base_model,
        "revision": revision,
        "config": config,
        "tokenizer": tokenizer,
        "collator": collator,
        "rows": rows,
        "evaluation_rows": evaluation_rows,
        "folder": folder,
        "checkpoint": newest(folder, number),
        "output": output,
        "device": device,
        "interruptions": interruptions,
    }
    steps, history = launcher.run(
        _train, arguments, processes=number, device=device, folder=folder, report=parted(report, watch)
    )
    tokenizer.save_pretrained(output)
    card = encoder_card(base_model, revision, config, counts, history)
    (output / "README.md").write_text(card, encoding="utf-8")
    (output / "history.json").write_text(json.dumps(history, indent=2) + "\n", encoding="utf-8")
    return {
        "base_model": base_model,
        "base_revision": revision,
        "texts": {"trained_on": len(train), "held_out": len(held_out)},
        "seconds": round(time.monotonic() - started, 1),
        "steps": steps,
        "processes": number,
        "history": history,
    }


def _train(
    base_model: str,
    revision: str | None,
    config: PretrainConfig,
    tokenizer: PreTrainedTokenizerFast,
    collator: Callable[..., MaskingCollator],
    rows: Rows,
    evaluation_rows: Rows,
    folder: Path,
    checkpoint: Path | None,
    output: Path,
    device: str,
    interruptions: Interruptions,
    report: Report | None,
    group: Group,
) -> tuple[int, list[dict[str, Any]]]:
    """Trains in this process, which may be one of several, and saves the model; returns the steps and the history."""
    disable_progress_bar()  # type: ignore[no-untyped-call]
    model = load_masked_language_model(base_model, tokenizer, config.seed, revision)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):  # the saved config.json keeps the base model's dropout
            module.p = min(module.p, config.dropout)
    # Sorted by length, because batches of similar lengths need little padding.
    evaluation_rows = sorted(evaluation_rows, key=lambda row: len(row["input_ids"]))
    starts = range(0, len(evaluation_rows), _EVALUATION_BATCH)
    stop = StopAtCheckpoint(interruptions, "`senti pretrain`", group)
    trainer: _Trainer = _Trainer(
        model=model,
        group=group,
        args=arguments_for(config, folder, device, group),
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=collator(epoch=lambda: trainer.current_epoch()),
        callbacks=[*([ProgressReport(len(rows), report, lambda: None)] if group.rank == 0 else []), stop],
        eval_dataset=[collator()(evaluation_rows[start : start + _EVALUATION_BATCH]) for start in starts],
        report=report,
    )
    before = trainer.measure()
    trainer.resume(checkpoint, stop)
    if group.rank == 0:
        model.save_pretrained(output)
    return trainer.state.global_step, [before, *trainer.history]


class _Trainer(ResumableTrainer):
    """Trains on the masked tokens. ``eval_dataset`` is a list of collated batches, whose masks never change."""

    def __init__(self, report: Report | None, **more: Any) -> None:
        super().__init__(**more)
        self._report = report or (lambda row: None)

    def compute_loss(
        self, model: torch.nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        with self.accelerator.autocast():
            return cross_entropy(*_predict(cast(PreTrainedModel, model), inputs))

    def measure(self) -> dict[str, Any]:
        """A row of the history with the current figures on the held-out texts. Passes it to ``report``."""
        loss, correct, number = 0.0, 0, 0
        model = cast(PreTrainedModel, self.model)
        model.eval()  # type: ignore[no-untyped-call]
        for batch in cast(list[Batch], self.eval_dataset):
            with torch.no_grad(), self.accelerator.autocast():
                logits, labels = _predict(model, {name: part.to(model.device) for name, part in batch.items()})
                loss += float(cross_entropy(logits, labels, reduction="sum"))
            correct += int((logits.argmax(dim=-1) == labels).sum())
            number += int((labels != IGNORE_INDEX).sum())
        epoch, loss, accuracy = round(self.state.epoch or 0), loss / number, correct / number
        log.info(
            "epoch %d of %d: loss per masked token %.4f, %.1f %% predicted correctly",
            *(epoch, self.args.num_train_epochs, loss, 100 * accuracy),
        )
        row = dict(zip(_FIGURES, (epoch, self.state.global_step, loss, accuracy), strict=True))
        self._report(row)
        return row

    def evaluate(self, *arguments: Any, **more: Any) -> dict[str, float]:
        metrics = {f"eval_{name}": value for name, value in self.measure().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @property
    def history(self) -> list[dict[str, Any]]:
        """One row per epoch so far, including the epochs before a resumption."""
        entries = [entry for entry in self.state.log_history if "eval_loss" in entry]
        return [{name: entry[f"eval_{name}"] for name in _FIGURES} for entry in entries]


def _predict(model: PreTrainedModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (K, vocabulary) and labels (K,) of the tokens of ``batch`` that are to be predicted, then of [CLS] tokens
    whose label is ``IGNORE_INDEX``.

    The head is computed for these tokens only. It is as wide as the vocabulary, and on a small encoder it would take
    most of the time.
    """
    positions = batch["positions"]  # (K,)
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    head = next((getattr(model, name) for name in _HEADS if hasattr(model, name)), None)
    if head is None:
        logits = model(**inputs).logits.flatten(0, 1).index_select(0, positions)
    else:
        hidden = model.base_model(**inputs).last_hidden_state  # (B, T, width)
        logits = head(hidden.flatten(0, 1).index_select(0, positions))  # (K, vocabulary)
    return logits, batch["labels"].flatten().index_select(0, positions)


def _encode(tokenizer: TextTokenizer, masking: MaskingCollator, texts: list[str]) -> Rows:
    """One row per text that has a maskable token, truncated, not padded."""
    tokens = tokenizer.encode(texts)
    rows = [ids for ids in np.split(tokens.ids, tokens.offsets[1:-1]) if masking.has_maskable_token(ids)]
    return [{"row": number, "input_ids": ids} for number, ids in enumerate(rows)]
