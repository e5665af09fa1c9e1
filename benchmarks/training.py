"""How many reviews a second this machine trains on: a tutorial's loop beside the product's Trainer.

The tutorial: shuffled, batches of 16 padded to the longest, plain AdamW, fp32. The product: its ``ResumableTrainer``
with the arguments that it fine-tunes with, so batches of reviews of like length, fused AdamW, gradients clipped, and
bf16 autocast where the device multiplies in bf16. Both take whole optimiser steps on the same reviews, with the same
weights to start from, in turns. Loading, evaluations and checkpoints are not in the times.

    python -m benchmarks.training --rows 96
"""

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from benchmarks import machine, options
from benchmarks.contenders import native_bf16
from benchmarks.reviews import SEED, corpus, thinned
from benchmarks.tables import number, percent, say, table
from benchmarks.workers import Answer, worker
from benchmarks.workload import Shape, save_model
from senti_tasks.config import TrainConfig
from senti_tasks.scoring.devices import device_named
from senti_tasks.scoring.tokens import TextTokenizer
from senti_tasks.training.resumable import WIDTH_STEP, ResumableTrainer, arguments_for
from senti_tasks.training.sampling import LengthGroupedSampler

log = logging.getLogger(__name__)

_ROWS = 16
"""Reviews an optimiser step."""
_POOL = 50 * _ROWS
"""Reviews that the sampler sorts together: a block of fewer is made of batches out of a whole pool."""
_BLOCK = {"cpu": 6 * _ROWS, "cuda": _POOL}

Batches = list[list[list[int]]]
"""Token ids of each row of each batch."""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of each mix that is asked for."""
    device = device_named(arguments.device).type
    shape = Shape(arguments.layers, arguments.hidden)
    return {
        "device": device,
        "shape": str(shape),
        "rounds": arguments.rounds,
        "mixes": {mix: _measure(mix, arguments, shape, device) for mix in options.mixes(arguments.mix)},
    }


def _measure(mix: str, arguments: argparse.Namespace, shape: Shape, device: str) -> dict[str, Any]:
    steps = max(1, (arguments.rows or _BLOCK[device]) // _ROWS)
    pool = -(-steps * _ROWS // _POOL) * _POOL
    source = corpus(mix, getattr(arguments, f"reviews_{mix}"), pool)
    with tempfile.TemporaryDirectory(prefix="senti-benchmark-") as name:
        folder = Path(name)
        vocabulary = save_model(folder, shape, source.texts)
        tokens = TextTokenizer.load(folder).encode(source.draw(pool))
        rows = [ids.tolist() for ids in np.split(tokens.ids, tokens.offsets[1:-1])]
        grouped = _grouped(rows, steps)
        batches = {"tutorial": _shuffled(grouped), "product": grouped, "product-32": grouped}
        answers = _take_turns(folder, device, batches, arguments.rounds)
    lengths = np.array([len(row) for batch in grouped for row in batch])
    return {
        "source": source.source,
        "vocabulary": vocabulary,
        "steps": steps,
        "rows": len(lengths),
        "tokens": int(lengths.sum()),
        "bf16": native_bf16(device),
        "contenders": [_figures(name, batches[name], answers, lengths) for name in batches],
    }


def _grouped(rows: list[list[int]], steps: int) -> Batches:
    """``steps`` batches as the product's sampler makes them of ``rows``, drawn evenly over their lengths."""
    order = list(LengthGroupedSampler([len(row) for row in rows], _ROWS, SEED, epoch=lambda: 0))
    batches = [[rows[at] for at in order[start : start + _ROWS]] for start in range(0, len(order), _ROWS)]
    return [batches[at] for at in thinned(np.array([max(map(len, batch)) for batch in batches]), steps)]


def _shuffled(batches: Batches) -> Batches:
    """The same rows in batches at random."""
    rows = [row for batch in batches for row in batch]
    order = np.random.default_rng(SEED).permutation(len(rows))
    return [[rows[at] for at in order[start : start + _ROWS]] for start in range(0, len(rows), _ROWS)]


def _take_turns(folder: Path, device: str, batches: dict[str, Batches], rounds: int) -> dict[str, list[Answer]]:
    answers: dict[str, list[Answer]] = {name: [] for name in batches}
    loads: dict[str, Callable[..., Callable[[Batches], float]]] = {
        "tutorial": load_tutorial,
        "product": partial(load_product, batch_size=_ROWS),
        "product-32": partial(load_product, batch_size=2 * _ROWS),
    }
    with ExitStack() as open_workers:
        workers = {
            name: open_workers.enter_context(worker(device, load, folder, device)) for name, load in loads.items()
        }
        for name, at_work in workers.items():
            uncounted = batches[name] if device == "cuda" else batches[name][:1]
            log.info("%s: %d steps uncounted", name, len(uncounted))
            at_work.ask(uncounted)
        for number_ in range(rounds):
            for name in list(workers)[:: -1 if number_ % 2 else 1]:
                log.info("round %d of %d: %s", number_ + 1, rounds, name)
                answers[name].append(workers[name].ask(batches[name]))
    return answers


def load_tutorial(folder: Path, device: str) -> Callable[[Batches], float]:
    """A function that takes a step on each batch, with labels in turns, and gives the seconds."""
    model = _load(folder).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), TrainConfig().learning_rate)

    def take(batches: Batches) -> float:
        torch.use_deterministic_algorithms(False)
        started = _now(device)
        for batch in batches:
            loss: Tensor = model(**_inputs(batch, device)).loss
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad()
        return _now(device) - started

    return take


def load_product(folder: Path, device: str, batch_size: int) -> Callable[[Batches], float]:
    """A function that trains for an epoch on the rows of the batches, with labels in turns, and gives the seconds."""
    config = TrainConfig(epochs=1, batch_size=batch_size, seed=SEED)
    more = {"eval_strategy": "no", "save_strategy": "no", "disable_tqdm": True}
    stopwatch = _Stopwatch(device)
    trainer = ResumableTrainer(
        _load(folder),
        args=arguments_for(config, folder / "checkpoints", device, **more),
        data_collator=DataCollatorWithPadding(
            AutoTokenizer.from_pretrained(folder, local_files_only=True), pad_to_multiple_of=WIDTH_STEP
        ),
        callbacks=[stopwatch],
    )

    def take(batches: Batches) -> float:
        torch.use_deterministic_algorithms(device == "cuda", warn_only=True)  # as ``arguments_for`` has it
        rows = [row for batch in batches for row in batch]
        trainer.train_dataset = [{"input_ids": row, "labels": number_ % 2} for number_, row in enumerate(rows)]
        trainer.train()
        return stopwatch.seconds

    return take


class _Stopwatch(TrainerCallback):
    """The seconds of a training's only epoch: from before its first batch is made to the end of its last step."""

    seconds: float

    def __init__(self, device: str) -> None:
        self._device = device

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._started = _now(self._device)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.seconds = _now(self._device) - self._started


def _now(device: str) -> float:
    """Seconds on a clock, once ``device`` has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _load(folder: Path) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True, dtype=torch.float32)


def _inputs(batch: Sequence[list[int]], device: str) -> dict[str, Tensor]:
    lengths = torch.tensor([len(row) for row in batch])
    read = torch.arange(int(lengths.max()))[None] < lengths[:, None]  # (B, T)
    ids = torch.zeros(read.shape, dtype=torch.int64)
    ids[read] = torch.tensor([token for row in batch for token in row])
    labels = torch.arange(len(batch)) % 2
    return {"input_ids": ids.to(device), "attention_mask": read.long().to(device), "labels": labels.to(device)}


def _figures(
    name: str, batches: Batches, answers: dict[str, list[Answer]], lengths: np.ndarray[Any, Any]
) -> dict[str, Any]:
    seconds = [answer.value for answer in answers[name]]
    padded = sum(len(batch) * max(map(len, batch)) for batch in batches)
    pairs = zip(answers[name], answers["tutorial"], strict=True)
    return {
        "name": name,
        "seconds": seconds,
        "reviews_per_second": {"median": len(lengths) / median(seconds), "best": len(lengths) / min(seconds)},
        "tokens_per_second": {"median": lengths.sum() / median(seconds), "best": lengths.sum() / min(seconds)},
        "padding": 1 - float(lengths.sum()) / padded,
        "times_tutorial": median(slow.value / own.value for own, slow in pairs),
        "peak_memory_mb": answers[name][-1].peak_bytes / 1e6,
    }


def show(found: dict[str, Any]) -> None:
    """Writes the figures as Markdown."""
    say("", f"## Training on {found['device']}", "", f"{found['shape']}, random weights; rounds: {found['rounds']}.")
    for mix, of in found["mixes"].items():
        head = ("contender", "reviews/s", "best", "tokens/s", "padding", "× tutorial", "peak MB")
        rows = [
            [
                one["name"],
                number(one["reviews_per_second"]["median"]),
                number(one["reviews_per_second"]["best"]),
                number(one["tokens_per_second"]["median"]),
                percent(one["padding"]),
                number(one["times_tutorial"]),
                number(one["peak_memory_mb"]),
            ]
            for one in of["contenders"]
        ]
        precision = "bf16 autocast" if of["bf16"] else "fp32"
        say(
            "",
            f"### {mix}: {of['steps']} steps on {of['rows']:,} reviews ({of['source']}; {of['tokens']:,} tokens; "
            f"vocabulary {of['vocabulary']})",
            "",
            *table(head, rows),
            "",
            f"- tutorial: shuffled, batches of {_ROWS} padded to the longest, AdamW, fp32",
            f"- product: its Trainer, grouped by length, fused AdamW, gradients clipped, {precision}; product-32: the",
            f"  same with {2 * _ROWS} reviews a step, so half as many steps",
        )


def main() -> None:
    options.quieten()
    parser = options.parser("python -m benchmarks.training", __doc__)
    parser.add_argument("--mix", choices=("long", "short", "both"), default="long")
    arguments = parser.parse_args()
    described = machine.describe()
    found = measure(arguments)
    if arguments.json:
        say(json.dumps({**described, "training": found}, indent=2))
    else:
        say(*machine.lines(described))
        show(found)


if __name__ == "__main__":
    main()
