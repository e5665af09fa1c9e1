"""A training that takes seconds, as a program: ``python -m tests.small_training CORPUS FOLDER EPOCHS [REPORT_TO]``.

It prints its summary as JSON.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM

from senti_tasks.config import TrainConfig
from senti_tasks.training import base_models, base_names
from senti_tasks.training.fine_tuning import train

SHAPE = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
"""``scratch:tiny``, smaller still: tests are about the training, not about what it reaches."""


def config(epochs: int = 3) -> TrainConfig:
    """Learns made-up reviews by heart within three epochs."""
    changes = {"learning_rate": 0.02, "epochs": epochs, "batch_size": 8, "max_length": 64, "patience": epochs}
    return TrainConfig.for_base_model("scratch:tiny", changes)


def save_base_model(texts: Sequence[str], folder: Path, dropout: float) -> str:
    """A base model of that shape, which processes started by a training can load too; returns its name, the folder."""
    tokenizer = base_models.load_tokenizer("scratch:tiny", texts)
    torch.manual_seed(2026)
    values = {"vocab_size": len(tokenizer), "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": 0.0}
    BertForMaskedLM(BertConfig.from_dict(SHAPE | values)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


if __name__ == "__main__":
    corpus, folder, epochs, *report_to = sys.argv[1:]
    base_names.SCRATCH["scratch:tiny"] = SHAPE
    summary = train(
        Path(corpus),
        "scratch:tiny",
        config(int(epochs)),
        Path(folder) / "checkpoints",
        Path(folder) / "output",
        device="cpu",
        report_to=report_to[0] if report_to else None,
    )
    sys.stdout.write(json.dumps(summary))
