"""The models of the measurements, with random weights, and the operations that scoring a text takes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from benchmarks.reviews import SEED
from senti_tasks import labels
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer, fit_to_vocabulary

LONGEST = 512
"""Most tokens of a review, [CLS] and [SEP] included. Longer reviews are truncated at the end."""
_VOCABULARY = 21_128  # size of bert-base-chinese's vocabulary


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a BERT classifier. The defaults are those of bert-base-chinese."""

    layers: int = 12
    hidden: int = 768

    def __post_init__(self) -> None:
        if self.layers < 1 or self.hidden % self.heads:
            raise SystemExit(f"expected --hidden below 128 or a multiple of 64, found {self.hidden}")

    @property
    def heads(self) -> int:
        """Number of attention heads: 64 wide each, as in BERT; one head below a width of 128."""
        return max(1, self.hidden // 64)

    def __str__(self) -> str:
        return f"BERT: layers {self.layers}, width {self.hidden}, heads {self.heads}, vocabulary {_VOCABULARY:,}"

    def useful_flop(self, lengths: npt.NDArray[np.int64]) -> float:
        """Operations for scoring texts with these token counts: (n,), int64. Only products over real tokens count.

        A text of l tokens takes layers · (2·l·12·H² + 4·l²·H) operations: in each layer, six products with weights
        (12·H² weights, one multiplication and one addition each) and two products in the attention. Padding,
        embeddings, normalisation, GELU, pooler and head do not count. The count is the same for every contender. This
        project's engine does fewer: in the last layer it computes 10 of the 12·H² only for the first token.
        """
        tokens, h = lengths.astype(np.float64), self.hidden
        return float(self.layers * (2 * tokens * 12 * h * h + 4 * tokens * tokens * h).sum())


def save_model(folder: Path, shape: Shape, texts: Sequence[str]) -> str:
    """Writes a classifier with random weights (fixed seed) and its tokenizer; returns a name for the vocabulary.

    The vocabulary is that of $SENTI_REAL_DATA/bert-base-chinese, adapted as in the product. Without that folder it is
    built from the characters of ``texts``; the embedding table keeps the size of bert-base-chinese's.
    """
    tokenizer, vocabulary = _tokenizer(texts)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = BertForSequenceClassification(
            _config(
                shape,
                tokenizer,
                vocab_size=max(_VOCABULARY, len(tokenizer)),
                id2label=dict(labels.DEFAULT.names),
                label2id=dict(labels.DEFAULT.numbers),
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return vocabulary


def save_masked_lm(folder: Path, shape: Shape, tokenizer: PreTrainedTokenizerFast) -> None:
    """Writes a model to pretrain, with random weights (fixed seed), and ``tokenizer``."""
    torch.manual_seed(SEED)
    # The fast attention kernels have no dropout.
    config = _config(shape, tokenizer, vocab_size=len(tokenizer), attention_probs_dropout_prob=0.0)
    model = BertForMaskedLM(config)
    with torch.no_grad():
        # Smaller output weights make each layer start close to the identity. With BERT's own initialisation, twelve
        # layers learn only the frequencies of tokens in the first thousands of steps; the benchmark trains for fewer.
        for name, weight in model.named_parameters():
            if name.endswith("output.dense.weight"):
                weight.mul_((2 * shape.layers) ** -0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _config(shape: Shape, tokenizer: PreTrainedTokenizerFast, **settings: Any) -> BertConfig:
    return BertConfig(
        num_hidden_layers=shape.layers,
        hidden_size=shape.hidden,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.hidden,
        max_position_embeddings=LONGEST,
        pad_token_id=tokenizer.pad_token_id,
        **settings,
    )


def _tokenizer(texts: Sequence[str]) -> tuple[PreTrainedTokenizerFast, str]:
    """The tokenizer, and a name for its vocabulary. Raises ``SystemExit`` if the real one is not a fast tokenizer."""
    folder = Path(os.environ.get("SENTI_REAL_DATA", "")) / "bert-base-chinese"
    if not (folder / "tokenizer.json").is_file():
        return build_tokenizer(texts, LONGEST), "characters of the reviews"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise SystemExit(f"expected a fast tokenizer in {folder}, found {type(tokenizer).__name__}")
    tokenizer.model_max_length = LONGEST
    return fit_to_vocabulary(tokenizer), "bert-base-chinese"
