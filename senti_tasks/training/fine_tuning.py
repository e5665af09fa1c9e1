"""Fine-tunes a classifier on a corpus snapshot and writes it as a Hugging Face model folder."""

import gc
import json
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from senti_tasks.artifacts import weights_digest
from senti_tasks.config import TrainConfig
from senti_tasks.corpus import snapshot
from senti_tasks.corpus.text_profile import TextProfile, known_characters
from senti_tasks.errors import ConfigError
from senti_tasks.progress import Watcher
from senti_tasks.scoring.tokens import HEAD_TOKENS, TextTokenizer
from senti_tasks.training import environment, search
from senti_tasks.training.base_models import load_classifier, load_tokenizer
from senti_tasks.training.base_names import is_small, revision_of
from senti_tasks.training.loop.checkpoints import StopAtCheckpoint, folder_for, newest
from senti_tasks.training.loop.interruptions import NO_PAUSE, Interruptions
from senti_tasks.training.loop.trainer import fine_tune
from senti_tasks.training.loop.watching import Report, parted
from senti_tasks.training.model_card import model_card
from senti_tasks.training.processes import launcher
from senti_tasks.training.processes.group import Group
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
    interruptions: Interruptions = NO_PAUSE,
    processes: str = "1",
    watch: Watcher | None = None,
) -> dict[str, Any]:
    """Fine-tunes ``base_model`` on the snapshot in ``corpus``. Writes the model of the best epoch into ``output``.

    ``checkpoints``: folder for checkpoints. If it has a complete checkpoint of the same training, that one is resumed.
    The caller deletes the folder once the model is stored. ``report`` is called after each epoch with a row of the
    history plus the peak learning rate and the seed, ``watch`` twice a second with the progress. ``device`` is ``auto``
    (CUDA if available), ``cpu`` or ``cuda``. ``report_to`` names an integration of the Trainer that also gets the
    figures (``mlflow``). ``base_folder`` is the folder of a ``pretrained:*`` base model. ``interruptions`` say when a
    checkpoint is saved, and when the training ends before it is done. ``processes`` (a number or ``auto``) train
    together, on one GPU each or on the CPU, and divide each batch among them. On one machine, the same input and number
    of processes give the same files, resumed or not, provided that ``search_minutes`` allows the same learning rates,
    and that no ``budget_minutes`` ends the training.

    Returns base_model, base_revision, config (``config`` with the learning rate and the seed of the model), epochs_run,
    best_epoch, epochs_planned, seconds (of this call), steps, processes (their number), validation (``measure`` of the
    best epoch), history (one row per epoch), ended_by_budget, rates (one row per learning rate, see
    ``search.rate_rows``), retried_after_collapse, environment (see ``environment.describe``) and weights_digest.

    Raises ``BaseModelError``, ``CorpusError``, ``ConfigError``, and, after SIGTERM or when the pause begins,
    ``TrainingStoppedError`` once a checkpoint is saved. With several processes also ``TrainingProcessError``.
    """
    started = time.monotonic()
    number = launcher.number_of_processes(
        processes, device, config.batch_size, is_small=is_small(base_model, base_folder)
    )
    data, label_set = snapshot.load(corpus), snapshot.label_set(corpus)
    summary = json.loads((corpus / "summary.json").read_text(encoding="utf-8"))
    revision = revision_of(base_model, base_folder)
    texts = {split: list(data[split]["text"]) for split in ("train", "validation")}
    tokenizer = load_tokenizer(base_model, texts["train"], revision, base_folder)
    tokenizer.model_max_length = min(tokenizer.model_max_length, config.max_length)
    text_tokenizer = TextTokenizer(tokenizer.backend_tokenizer, tokenizer.model_max_length, config.head_tokens)
    rows = {}  # one row per text, truncated as in scoring, not padded
    for split in texts:
        tokens = text_tokenizer.encode(texts[split])
        ids = np.split(tokens.ids, tokens.offsets[1:-1])
        pairs = zip(ids, data[split]["label"], strict=True)
        rows[split] = [{"input_ids": one.tolist(), "labels": label} for one, label in pairs]

    def trial_with(config: TrainConfig) -> Trial:
        return Trial(config, folder_for(checkpoints, corpus, base_model, revision, config, processes=number))

    def run(trial: Trial) -> None:
        gc.collect()  # a Trainer is in a reference cycle: without this, the previous model and optimiser stay in memory
        arguments = {
            "trial": trial,
            "checkpoint": newest(trial.folder, number),
            "load_model": partial(
                load_classifier, base_model, tokenizer, trial.config, revision, label_set, base_folder
            ),
            "tokenizer": tokenizer,
            "rows": rows,
            "interruptions": interruptions,
            "device": device,
            "report_to": report_to,
        }
        launcher.run(
            _run_trial, arguments, processes=number, device=device, folder=trial.folder, report=parted(report, watch)
        )

    trials = [trial_with(candidate) for candidate in config.candidates()]
    finished = search.train_within_budget(trials, 60 * config.search_minutes, run)
    chosen, retried = search.retry_if_collapsed(search.best(finished), trial_with, run)
    outcome = chosen.outcome
    if outcome.diverged:
        raise ConfigError(
            f"the training diverged at learning rate {chosen.config.learning_rate:g}: its weights are NaN or infinite; "
            "take a lower learning_rate"
        )
    shutil.copytree(chosen.model, output, dirs_exist_ok=True)
    tokenizer.save_pretrained(output)
    known = known_characters(tokenizer.backend_tokenizer, str(tokenizer.unk_token))
    TextProfile.of(texts["train"], texts["validation"], known).save(output)
    card = model_card(
        base_model, revision, chosen.config, corpus.name, summary, label_set, outcome.validation, outcome.history
    )
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
        "processes": number,
        "validation": outcome.validation,
        "epochs_planned": config.epochs,
        "ended_by_budget": outcome.ended_by_budget,
        "history": outcome.history,
        "rates": search.rate_rows(trials, finished),
        "retried_after_collapse": retried,
        "environment": environment.describe(device),
        "weights_digest": weights_digest(output),
    }


def _run_trial(
    trial: Trial,
    load_model: Callable[[], PreTrainedModel],
    interruptions: Interruptions,
    report_to: str | None,
    group: Group,
    **more: Any,
) -> None:
    """Trains ``trial`` in this process, which may be one of several. ``more`` are parameters of ``fine_tune``."""
    model = load_model()
    setattr(model.config, HEAD_TOKENS, trial.config.head_tokens)  # in config.json, so that scoring truncates alike
    stop = StopAtCheckpoint(interruptions, group=group)
    fine_tune(trial, model=model, stop=stop, report_to=report_to if group.rank == 0 else None, group=group, **more)
