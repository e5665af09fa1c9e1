"""What all contenders get: a randomly initialised classifier in a folder, and how much arithmetic a text takes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from benchmarks.reviews import SEED
from senti_tasks import labels
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer, fit_to_vocabulary

LONGEST = 512
"""Tokens of a review that are read, [CLS] and [SEP] included; the end of a longer one is cut off."""
_VOCABULARY = 21_128


@dataclass(frozen=True, slots=True)
class Shape:
    """A BERT classifier's shape. The defaults are those of bert-base-chinese."""

    layers: int = 12
    hidden: int = 768

    def __post_init__(self) -> None:
        if self.layers < 1 or self.hidden % self.heads:
            raise SystemExit(f"expected a width below 128 or a multiple of 64, found {self.hidden}")

    @property
    def heads(self) -> int:
        """Of 64 each, as BERT's are."""
        return max(1, self.hidden // 64)

    def __str__(self) -> str:
        return f"BERT: layers {self.layers}, width {self.hidden}, heads {self.heads}, vocabulary {_VOCABULARY:,}"

    def useful_flop(self, lengths: npt.NDArray[np.int64]) -> float:
        """Operations that scoring texts of these many tokens takes: products over real tokens alone, summed over texts.

        For a text of l tokens, layers · (2·l·12·H² + 4·l²·H): the six products with weights of a layer (12 H² weights,
        an addition and a multiplication each), and the two of the attention. Nothing is counted for padding,
        embeddings, normalisation, GELU, pooler and head. Every contender is credited with the same count, this
        project's engine too, which skips 10 of the 12 H² of the last layer for all tokens but the first.
        """
        tokens, h = lengths.astype(np.float64), self.hidden
        return float(self.layers * (2 * tokens * 12 * h * h + 4 * tokens * tokens * h).sum())


def save_model(folder: Path, shape: Shape, texts: Sequence[str]) -> str:
    """Writes a classifier with random weights, always the same, and its tokenizer; returns whose vocabulary it is.

    The vocabulary is bert-base-chinese's where $SENTI_REAL_DATA has it, fitted as the product does; else one of the
    characters in ``texts``, while the table of embeddings stays as large.
    """
    tokenizer, idempotency_key = _tokenizer(texts)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = BertForSequenceClassification(
            BertConfig(
                vocab_size=max(_VOCABULARY, len(tokenizer)),
                num_hidden_layers=shape.layers,
                hidden_size=shape.hidden,
                num_attention_heads=shape.heads,
                intermediate_size=4 * shape.hidden,
                max_position_embeddings=LONGEST,
                pad_token_id=tokenizer.pad_token_id,
                id2label=dict(labels.DEFAULT.names),
                label2id=dict(labels.DEFAULT.numbers),
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return idempotency_key


def _tokenizer(texts: Sequence[str]) -> tuple[PreTrainedTokenizerFast, str]:
    real = Path(os.environ.get("SENTI_REAL_DATA", "")) / "bert-base-chinese"
    if not (real / "tokenizer.json").is_file():
        return build_tokenizer(texts, LONGEST), "of the reviews' characters"
    tokenizer = AutoTokenizer.from_pretrained(real, local_files_only=True)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise SystemExit(f"{real} has no fast tokenizer")
    tokenizer.model_max_length = LONGEST
    return fit_to_vocabulary(tokenizer), "bert-base-chinese"
