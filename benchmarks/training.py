"""How many reviews a second this machine trains on: a tutorial's loop beside what the product does.

The tutorial: shuffled, batches of 16 padded to the longest, plain AdamW, fp32. The product: batches of reviews of like
length by its ``LengthGroupedSampler``, fused AdamW, gradients clipped, bf16 autocast where the device multiplies in
bf16. Both take optimiser steps on the same reviews, with the same weights to start from, in turns.

    python -m benchmarks.training --rows 96
"""

import argparse
import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from benchmarks import machine, options
from benchmarks.contenders import native_bf16
from benchmarks.reviews import SEED, corpus, thinned
from benchmarks.tables import number, percent, say, table
from benchmarks.workers import Answer, Worker
from benchmarks.workload import Shape, save_model
from senti_tasks.scoring.devices import device_named
from senti_tasks.scoring.tokens import TextTokenizer
from senti_tasks.training.sampling import LengthGroupedSampler

log = logging.getLogger(__name__)

_ROWS = 16
"""Reviews an optimiser step."""
_POOL = 50 * _ROWS
"""Reviews that the sampler sorts together: a block of fewer is made of batches out of a whole pool."""
_BLOCK = {"cpu": 6 * _ROWS, "cuda": _POOL}
_LEARNING_RATE, _WEIGHT_DECAY, _MAX_NORM = 5e-5, 0.01, 1.0

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
        batches = {"tutorial": _shuffled(grouped), "product": grouped}
        half = native_bf16(device)
        answers = _take_turns(folder, device, half, batches, arguments.rounds)
    lengths = np.array([len(row) for batch in grouped for row in batch])
    return {
        "source": source.source,
        "vocabulary": vocabulary,
        "steps": steps,
        "rows": len(lengths),
        "tokens": int(lengths.sum()),
        "bf16": half,
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


def _take_turns(
    folder: Path, device: str, half: bool, batches: dict[str, Batches], rounds: int
) -> dict[str, list[Answer]]:
    answers: dict[str, list[Answer]] = {name: [] for name in batches}
    with (
        Worker(load_steps, folder, device, False, False) as tutorial,
        Worker(load_steps, folder, device, True, half) as product,
    ):
        workers = {"tutorial": tutorial, "product": product}
        for name, worker in workers.items():
            log.info("%s: one step uncounted", name)
            worker.ask(batches[name][:1])
        for number_ in range(rounds):
            for name in list(workers)[:: -1 if number_ % 2 else 1]:
                log.info("round %d of %d: %s", number_ + 1, rounds, name)
                answers[name].append(workers[name].ask(batches[name]))
    return answers


def load_steps(folder: Path, device: str, product: bool, half: bool) -> Callable[[Batches], float]:
    """A function that takes a step on each batch, with labels at random, and gives the mean loss."""
    torch.manual_seed(SEED)
    if product and device == "cuda":  # as it trains, so that a training can be repeated
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    model.to(device).train()
    if product:
        optimiser = torch.optim.AdamW(model.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY, fused=True)
    else:
        optimiser = torch.optim.AdamW(model.parameters(), _LEARNING_RATE)

    def take(batches: Batches) -> float:
        losses = []
        for batch in batches:
            with torch.autocast(device, torch.bfloat16, enabled=half):
                loss: Tensor = model(**_inputs(batch, device)).loss
            loss.backward()  # type: ignore[no-untyped-call]
            if product:
                torch.nn.utils.clip_grad_norm_(model.parameters(), _MAX_NORM)
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.detach())
        return torch.stack(losses).mean().item()

    return take


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
    seconds = [answer.seconds for answer in answers[name]]
    padded = sum(len(batch) * max(map(len, batch)) for batch in batches)
    pairs = zip(answers[name], answers["tutorial"], strict=True)
    return {
        "name": name,
        "seconds": seconds,
        "reviews_per_second": {"median": len(lengths) / median(seconds), "best": len(lengths) / min(seconds)},
        "tokens_per_second": {"median": lengths.sum() / median(seconds), "best": lengths.sum() / min(seconds)},
        "padding": 1 - float(lengths.sum()) / padded,
        "times_tutorial": median(slow.seconds / own.seconds for own, slow in pairs),
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
            f"- product: grouped by length, fused AdamW, gradients clipped, {precision}",
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
