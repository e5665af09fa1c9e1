"""Fine-tunes a classifier on a corpus, and writes a folder that any tool opens."""

import gc
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from senti_tasks.artifacts import weights_digest
from senti_tasks.config import TrainConfig
from senti_tasks.corpus import snapshot as corpora
from senti_tasks.errors import ConfigError
from senti_tasks.scoring.tokens import HEAD_TOKENS, TextTokenizer
from senti_tasks.training import search
from senti_tasks.training.base_models import load_classifier, load_tokenizer, revision_of
from senti_tasks.training.checkpoints import folder_for
from senti_tasks.training.model_card import model_card
from senti_tasks.training.resumable import Report, Rows
from senti_tasks.training.trainer import fine_tune
from senti_tasks.training.trials import Trial


def train(
    corpus: Path,
    base_model: str,
    config: TrainConfig,
    checkpoints: Path,
    output: Path,
    report: Report | None = None,
    device: str = "auto",
    report_to: str | None = None,
    base_folder: Path | None = None,
) -> dict[str, Any]:
    """Fine-tunes ``base_model`` on the corpus in ``corpus`` and writes the model of its best epoch into ``output``.

    Goes on from the newest whole checkpoint of this very training below ``checkpoints``, which the caller removes when
    the model is safe. ``report`` gets a row of the history after each epoch, with the peak learning rate and the seed.
    ``device`` is ``auto`` (CUDA if there is one), ``cpu`` or ``cuda``. ``report_to`` names an integration of the
    Trainer that gets the figures too (``mlflow``). ``base_folder`` is where a ``pretrained:*`` lies. On one machine the
    same input gives the same files, resumed or not, as long as ``search_minutes`` lets the same learning rates be
    tried.

    Returns base_model, base_revision, config (``config`` with the learning rate and the seed of the model), epochs_run,
    best_epoch, seconds (of this call), steps, validation (``measure`` of the best epoch), history (a row per epoch),
    rates (a row per learning rate, see ``search.account``), retried_after_collapse and weights_digest.

    Raises ``BaseModelError``, ``CorpusError``, ``ConfigError``, and ``TrainingStoppedError`` after a SIGTERM, once a
    checkpoint is written.
    """
    started = time.monotonic()
    data, label_set = corpora.load(corpus), corpora.label_set(corpus)
    summary = json.loads((corpus / "summary.json").read_text(encoding="utf-8"))
    revision = revision_of(base_model, base_folder)
    texts = {split: list(data[split]["text"]) for split in ("train", "validation")}
    tokenizer = load_tokenizer(base_model, texts["train"], revision, base_folder)
    tokenizer.model_max_length = min(tokenizer.model_max_length, config.max_length)
    text_tokenizer = TextTokenizer(tokenizer.backend_tokenizer, tokenizer.model_max_length, config.head_tokens)
    rows = {split: _encode(text_tokenizer, texts[split], list(data[split]["label"])) for split in texts}

    def trial_with(config: TrainConfig) -> Trial:
        return Trial(config, folder_for(checkpoints, corpus, base_model, revision, config))

    def run(trial: Trial) -> None:
        gc.collect()  # a Trainer refers to itself in circles: the last one's model and optimiser are still in memory
        model = load_classifier(base_model, tokenizer, trial.config, revision, label_set, base_folder)
        setattr(model.config, HEAD_TOKENS, config.head_tokens)  # whoever scores with the model cuts as it was trained
        fine_tune(trial, model, tokenizer, rows, device=device, report=report, report_to=report_to)

    trials = [trial_with(candidate) for candidate in config.candidates()]
    over = search.try_rates(trials, 60 * config.search_minutes, run)
    chosen, retried = search.with_second_chance(search.best(over), trial_with, run)
    outcome = chosen.outcome
    if outcome.diverged:
        raise ConfigError(
            f"the training diverged at learning rate {chosen.config.learning_rate:g}: its weights are no numbers; "
            "take a lower learning_rate"
        )
    shutil.copytree(chosen.model, output, dirs_exist_ok=True)
    tokenizer.save_pretrained(output)
    figures = (outcome.validation, outcome.history)
    card = model_card(base_model, revision, chosen.config, corpus.name, summary, label_set, *figures)
    (output / "README.md").write_text(card, encoding="utf-8")
    (output / "history.json").write_text(json.dumps(outcome.history, indent=2) + "\n", encoding="utf-8")
    return {
        "base_model": base_model,
        "base_revision": revision,
        "config": chosen.config.to_json(),
        "epochs_run": len(outcome.history),
        "best_epoch": outcome.best_epoch,
        "seconds": round(time.monotonic() - started, 1),
        "steps": outcome.steps,
        "validation": outcome.validation,
        "history": outcome.history,
        "rates": search.account(trials, over),
        "retried_after_collapse": retried,
        "weights_digest": weights_digest(output),
    }


def _encode(tokenizer: TextTokenizer, texts: list[str], labels: list[int]) -> Rows:
    """A row per text, cut as it will be when it is scored, not padded."""
    tokens = tokenizer.encode(texts)
    rows = np.split(tokens.ids, tokens.offsets[1:-1])
    return [{"input_ids": ids.tolist(), "labels": label} for ids, label in zip(rows, labels, strict=True)]
