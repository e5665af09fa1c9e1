"""Measure training in reviews per second: a tutorial's loop compared with the product's Trainer.

The tutorial: shuffled, batches of 16 padded to the longest review, plain AdamW, fp32. The product: ``ResumableTrainer``
with the arguments of fine-tuning, that is batches of reviews of similar length, fused AdamW, gradient clipping, and
bf16 autocast if the device has bf16 instructions. All contenders alternate, take whole optimiser steps on the same
reviews and start from the same weights. The times exclude loading, evaluations and checkpoints.

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
from benchmarks.reviews import SEED, corpus, sample_by_length
from benchmarks.tables import number, percent, print_lines, table
from benchmarks.workers import Result, open_worker
from benchmarks.workload import Shape, save_model
from senti_tasks.config import TrainConfig
from senti_tasks.scoring.devices import device_named
from senti_tasks.scoring.tokens import TextTokenizer
from senti_tasks.training.loop.resumable import ResumableTrainer, arguments_for, make_deterministic, width_step
from senti_tasks.training.loop.sampling import LengthGroupedSampler

log = logging.getLogger(__name__)

_ROWS = 16
"""Reviews per optimiser step."""
_POOL = 50 * _ROWS
"""Reviews that the sampler sorts together. A round with fewer reviews takes some of the batches of a whole pool."""
_ROUND_ROWS = {"cpu": 6 * _ROWS, "cuda": _POOL}

Batches = list[list[list[int]]]
"""Token ids of each review of each batch."""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures all contenders on each selected mix and returns the figures as JSON values."""
    device = device_named(arguments.device).type
    shape = Shape(arguments.layers, arguments.hidden)
    return {
        "device": device,
        "shape": str(shape),
        "rounds": arguments.rounds,
        "mixes": {mix: _measure(mix, arguments, shape, device) for mix in options.selected_mixes(arguments.mix)},
    }


def _measure(mix: str, arguments: argparse.Namespace, shape: Shape, device: str) -> dict[str, Any]:
    steps = max(1, (arguments.rows or _ROUND_ROWS[device]) // _ROWS)
    pool = -(-steps * _ROWS // _POOL) * _POOL
    source = corpus(mix, getattr(arguments, f"reviews_{mix}"), pool)
    with tempfile.TemporaryDirectory(prefix="senti-benchmark-") as name:
        folder = Path(name)
        vocabulary = save_model(folder, shape, source.texts)
        tokens = TextTokenizer.load(folder).encode(source.draw(pool))
        rows = [ids.tolist() for ids in np.split(tokens.ids, tokens.offsets[1:-1])]
        grouped = _grouped(rows, steps)
        batches = {"tutorial": _shuffled(grouped), "product": grouped, "product-32": grouped}
        results = _run_rounds(folder, device, batches, arguments.rounds)
    lengths = np.array([len(row) for batch in grouped for row in batch])
    return {
        "source": source.source,
        "vocabulary": vocabulary,
        "steps": steps,
        "rows": len(lengths),
        "tokens": int(lengths.sum()),
        "bf16": native_bf16(device),
        "contenders": [_figures(name, batches[name], results, lengths) for name in batches],
    }


def _grouped(rows: list[list[int]], steps: int) -> Batches:
    """``steps`` of the batches that the product's sampler makes from ``rows``, sampled evenly by length."""
    order = list(LengthGroupedSampler([len(row) for row in rows], _ROWS, SEED, epoch=lambda: 0))
    batches = [[rows[at] for at in order[start : start + _ROWS]] for start in range(0, len(order), _ROWS)]
    return [batches[at] for at in sample_by_length(np.array([max(map(len, batch)) for batch in batches]), steps)]


def _shuffled(batches: Batches) -> Batches:
    """The rows of ``batches`` in random order, in batches of ``_ROWS``."""
    rows = [row for batch in batches for row in batch]
    order = np.random.default_rng(SEED).permutation(len(rows))
    return [[rows[at] for at in order[start : start + _ROWS]] for start in range(0, len(rows), _ROWS)]


def _run_rounds(folder: Path, device: str, batches: dict[str, Batches], rounds: int) -> dict[str, list[Result]]:
    """The result of each round by contender. The order of the contenders is reversed in every second round."""
    results: dict[str, list[Result]] = {name: [] for name in batches}
    loads: dict[str, Callable[..., Callable[[Batches], float]]] = {
        "tutorial": load_tutorial,
        "product": partial(load_product, batch_size=_ROWS),
        "product-32": partial(load_product, batch_size=2 * _ROWS),
    }
    with ExitStack() as open_workers:
        workers = {
            name: open_workers.enter_context(open_worker(device, load, folder, device)) for name, load in loads.items()
        }
        for name, worker in workers.items():
            warm_up = batches[name] if device == "cuda" else batches[name][:1]
            log.info("%s: warm-up of %d steps", name, len(warm_up))
            worker.call(warm_up)
        for round_ in range(rounds):
            for name in list(workers)[:: -1 if round_ % 2 else 1]:
                log.info("round %d of %d: %s", round_ + 1, rounds, name)
                results[name].append(workers[name].call(batches[name]))
    return results


def load_tutorial(folder: Path, device: str) -> Callable[[Batches], float]:
    """A function that takes one optimiser step per batch and returns the seconds. Labels alternate between 0 and 1."""
    model = _load(folder).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), TrainConfig().learning_rate)

    def train(batches: Batches) -> float:
        torch.use_deterministic_algorithms(False)
        started = _now(device)
        for batch in batches:
            loss: Tensor = model(**_inputs(batch, device)).loss
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad()
        return _now(device) - started

    return train


def load_product(folder: Path, device: str, batch_size: int) -> Callable[[Batches], float]:
    """A function that trains one epoch on the rows of the batches and returns the seconds.

    Labels alternate between 0 and 1. The trainer makes its own batches of ``batch_size`` rows.
    """
    config = TrainConfig(epochs=1, batch_size=batch_size, seed=SEED)
    extra: dict[str, Any] = {"eval_strategy": "no", "save_strategy": "no", "disable_tqdm": True}
    timer = _EpochTimer(device)
    trainer = ResumableTrainer(
        _load(folder),
        args=arguments_for(config, folder / "checkpoints", device, **extra),
        data_collator=DataCollatorWithPadding(
            AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False),
            pad_to_multiple_of=width_step(device),
        ),
        callbacks=[timer],
    )

    def train(batches: Batches) -> float:
        if device == "cuda":  # the tutorial has changed what the trainer set
            make_deterministic()
        rows = [row for batch in batches for row in batch]
        trainer.train_dataset = [{"input_ids": row, "labels": position % 2} for position, row in enumerate(rows)]
        trainer.train()
        return timer.seconds

    return train


class _EpochTimer(TrainerCallback):
    """Measures the seconds of a one-epoch training, from before its first batch is made to the end of its last step."""

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
    """Time in seconds, after ``device`` has finished all its work."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _load(folder: Path) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, dtype=torch.float32
    )


def _inputs(batch: Sequence[list[int]], device: str) -> dict[str, Tensor]:
    """Token ids and attention mask, padded to the longest row: (B, T), int64; alternating labels: (B,), int64."""
    lengths = torch.tensor([len(row) for row in batch])
    mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]  # (B, T)
    ids = torch.zeros(mask.shape, dtype=torch.int64)
    ids[mask] = torch.tensor([token for row in batch for token in row])
    labels = torch.arange(len(batch)) % 2
    return {"input_ids": ids.to(device), "attention_mask": mask.long().to(device), "labels": labels.to(device)}


def _figures(
    name: str, batches: Batches, results: dict[str, list[Result]], lengths: np.ndarray[Any, Any]
) -> dict[str, Any]:
    seconds = [result.value for result in results[name]]
    padded = sum(len(batch) * max(map(len, batch)) for batch in batches)
    pairs = zip(results[name], results["tutorial"], strict=True)
    return {
        "name": name,
        "seconds": seconds,
        "reviews_per_second": {"median": len(lengths) / median(seconds), "best": len(lengths) / min(seconds)},
        "tokens_per_second": {"median": lengths.sum() / median(seconds), "best": lengths.sum() / min(seconds)},
        "padding": 1 - float(lengths.sum()) / padded,
        "times_tutorial": median(tutorial.value / own.value for own, tutorial in pairs),
        "peak_memory_mb": results[name][-1].peak_bytes / 1e6,
    }


def show(results: dict[str, Any]) -> None:
    """Prints the result of ``measure`` as Markdown."""
    print_lines(
        "",
        f"## Training on {results['device']}",
        "",
        f"{results['shape']}, random weights; rounds: {results['rounds']}.",
    )
    for mix, figures in results["mixes"].items():
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
            for one in figures["contenders"]
        ]
        precision = "bf16 autocast" if figures["bf16"] else "fp32"
        print_lines(
            "",
            f"### {mix}: {figures['steps']} steps on {figures['rows']:,} reviews ({figures['source']}; "
            f"{figures['tokens']:,} tokens; vocabulary: {figures['vocabulary']})",
            "",
            *table(head, rows),
            "",
            f"- tutorial: shuffled, batches of {_ROWS} padded to the longest review, AdamW, fp32",
            f"- product: its Trainer, batches grouped by length, fused AdamW, gradient clipping, {precision}",
            f"- product-32: the same with {2 * _ROWS} reviews per step, so half as many steps",
        )


def main() -> None:
    options.configure_logging()
    parser = options.build_parser("python -m benchmarks.training", __doc__)
    parser.add_argument("--mix", choices=("long", "short", "both"), default="long")
    arguments = parser.parse_args()
    description = machine.describe()
    results = measure(arguments)
    if arguments.json:
        print_lines(json.dumps({**description, "training": results}, indent=2))
    else:
        print_lines(*machine.lines(description))
        show(results)


if __name__ == "__main__":
    main()
