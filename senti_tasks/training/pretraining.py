"""Teaching an encoder the language of the reviews before it is fine-tuned: it learns to predict masked tokens."""

import json
import logging
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from senti_tasks.config import PretrainConfig
from senti_tasks.corpus import unlabelled
from senti_tasks.errors import CorpusError
from senti_tasks.scoring.tokens import TextTokenizer
from senti_tasks.training import checkpoints as checkpoint_folders
from senti_tasks.training.base_models import load_masked_language_model, load_tokenizer, revision_of
from senti_tasks.training.checkpoints import StopAtCheckpoint
from senti_tasks.training.masking import NOT_ASKED, MaskingCollator
from senti_tasks.training.model_card import encoder_card
from senti_tasks.training.resumable import Report, ResumableTrainer, Rows, arguments_for

log = logging.getLogger(__name__)

Batch = dict[str, torch.Tensor]

_EVALUATION_BATCH = 64
_CHECKPOINT_STEPS = 500  # an epoch of a million texts takes hours
_HEADS = ("cls", "lm_head")  # what architectures call the part that predicts tokens


def pretrain(
    texts: Path,
    base_model: str,
    config: PretrainConfig,
    checkpoints: Path,
    output: Path,
    report: Report | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Trains ``base_model`` to predict masked tokens of the texts in ``texts`` (see ``unlabelled``) and writes it with
    that head into ``output``, a folder that classifiers and masked language models load from alike.

    Goes on from the newest whole checkpoint of this very training below ``checkpoints``, which the caller removes when
    the encoder is safe. ``report`` gets a row of the history before the training and after each epoch. ``device`` is
    ``auto`` (CUDA if there is one), ``cpu`` or ``cuda``. On one machine the same input gives the same files, resumed or
    not.

    Returns base_model, base_revision, texts (trained on, and held out), seconds (of this call), steps and history: rows
    of epoch (0: before), step, loss (mean of a masked token of the texts held out) and accuracy (share of them
    predicted). Raises ``BaseModelError``, ``CorpusError``, ``ConfigError``, and ``TrainingStoppedError`` after a
    SIGTERM, once a checkpoint is written.
    """
    started = time.monotonic()
    if not sys.stderr.isatty():
        disable_progress_bar()  # type: ignore[no-untyped-call]
    train, held_out = unlabelled.load(texts, config.held_out_share)
    found = unlabelled.counts(texts)  # now: an erasure may move the texts while this computes
    revision = revision_of(base_model)
    tokenizer = load_tokenizer(base_model, train, revision)
    model = load_masked_language_model(base_model, tokenizer, config.seed, revision)
    _limit_dropout(model, config.dropout)
    text_tokenizer = TextTokenizer(tokenizer.backend_tokenizer, min(tokenizer.model_max_length, config.max_length))
    asking = partial(MaskingCollator, tokenizer, config.masked_share, config.seed)
    folder = checkpoint_folders.folder_for(checkpoints, texts, base_model, revision, config, [unlabelled.FILE])
    rows, shown = _encode(text_tokenizer, asking(), train), _encode(text_tokenizer, asking(), held_out)
    if not rows or not shown:
        raise CorpusError(
            f"of {len(train)} texts to learn from {len(rows)}, and of {len(held_out)} that show what was learnt "
            f"{len(shown)} have a word that the vocabulary of {base_model} knows: it takes one of each; import "
            "more reviews, or take another base model"
        )
    stop = StopAtCheckpoint("`senti pretrain`", every=_CHECKPOINT_STEPS)
    trainer: _Trainer = _Trainer(
        model=model,
        args=arguments_for(config, folder, device),
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=asking(lambda: trainer.epoch_under_way()),
        callbacks=[stop],
        eval_dataset=_batches(shown, asking()),
        report=report,
    )
    before = trainer.measure()
    trainer.go_on(checkpoint_folders.newest(folder), stop)
    history = [before, *trainer.history]
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    card = encoder_card(base_model, revision, config, found, history)
    (output / "README.md").write_text(card, encoding="utf-8")
    (output / "history.json").write_text(json.dumps(history, indent=2) + "\n", encoding="utf-8")
    return {
        "base_model": base_model,
        "base_revision": revision,
        "texts": {"trained_on": len(train), "held_out": len(held_out)},
        "seconds": round(time.monotonic() - started, 1),
        "steps": trainer.state.global_step,
        "history": history,
    }


class _Trainer(ResumableTrainer):
    """Learns to predict the tokens that its collator hides; ``eval_dataset`` are batches whose masks stay the same."""

    def __init__(self, report: Report | None, **more: Any) -> None:
        super().__init__(**more)
        self._report = report or (lambda row: None)

    def compute_loss(
        self, model: torch.nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        with self.accelerator.autocast():
            logits, asked = _predict(cast(PreTrainedModel, model), inputs)
            return cross_entropy(logits, asked)

    def measure(self) -> dict[str, Any]:
        """A row of the history: how well the held-out tokens are predicted now. Hands it to ``report``."""
        loss, right, number = 0.0, 0, 0
        model = cast(PreTrainedModel, self.model)
        model.eval()  # type: ignore[no-untyped-call]
        for batch in cast(list[Batch], self.eval_dataset):
            with torch.no_grad(), self.accelerator.autocast():
                logits, asked = _predict(model, {name: part.to(model.device) for name, part in batch.items()})
                loss += float(cross_entropy(logits, asked, reduction="sum"))
            right += int((logits.argmax(dim=-1) == asked).sum())
            number += len(asked)
        row = {
            "epoch": round(self.state.epoch or 0),
            "step": self.state.global_step,
            "loss": loss / number,
            "accuracy": right / number,
        }
        log.info(
            "epoch %d of %d: loss of a masked token %.4f, %.1f %% predicted",
            *(row["epoch"], self.args.num_train_epochs, row["loss"], 100 * row["accuracy"]),
        )
        self._report(row)
        return row

    def evaluate(self, *arguments: Any, **more: Any) -> dict[str, float]:
        metrics = {f"eval_{name}": value for name, value in self.measure().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows of the epochs so far, those before a resumption too."""
        rows = [entry for entry in self.state.log_history if "eval_loss" in entry]
        return [{name: entry[f"eval_{name}"] for name in ("epoch", "step", "loss", "accuracy")} for entry in rows]


def _predict(model: PreTrainedModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the tokens to be predicted, (asked, vocabulary), and which they are, (asked,).

    The head, as wide as the vocabulary, reads those tokens alone: on a small encoder it would take most of the time.
    """
    asked = batch["labels"] != NOT_ASKED  # (B, T)
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    head = next((getattr(model, name) for name in _HEADS if hasattr(model, name)), None)
    if head is None:
        logits = model(**inputs).logits[asked]
    else:
        hidden = model.base_model(**inputs).last_hidden_state  # (B, T, width)
        logits = head(hidden[asked])  # (asked, vocabulary)
    return logits, batch["labels"][asked]


def _limit_dropout(model: PreTrainedModel, dropout: float) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = min(module.p, dropout)


def _encode(tokenizer: TextTokenizer, masking: MaskingCollator, texts: list[str]) -> Rows:
    """A row per text that has a token to be predicted, cut, not padded."""
    tokens = tokenizer.encode(texts)
    rows = [ids for ids in np.split(tokens.ids, tokens.offsets[1:-1]) if masking.can_ask(ids)]
    return [{"row": number, "input_ids": ids} for number, ids in enumerate(rows)]


def _batches(rows: Rows, masking: MaskingCollator) -> list[Batch]:
    """The batches of ``rows`` from the shortest to the longest, which pads little."""
    rows = sorted(rows, key=lambda row: len(row["input_ids"]))
    return [masking(rows[start : start + _EVALUATION_BATCH]) for start in range(0, len(rows), _EVALUATION_BATCH)]
