"""Converts texts to token ids, as in the training of the model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from senti_tasks.errors import ArtifactError
from senti_tasks.scoring.characters import CharacterTable
from senti_tasks.text import normalise

Ids = npt.NDArray[np.int32]

HEAD_TOKENS = "head_tokens"
"""The field of a model's config.json with the number of tokens that are kept of the beginning of a long text."""


_POSITIONS_AFTER_PADDING = (
    *("camembert", "data2vec-text", "ibert", "longformer", "mpnet", "roberta", "roberta-prelayernorm"),
    *("xlm-roberta", "xlm-roberta-xl", "xmod"),
)
"""The values of ``model_type`` in transformers with a text classifier whose positions start at pad_token_id + 1."""


def readable_tokens(config: Mapping[str, Any]) -> int | None:
    """How many tokens a model has positions for; ``config`` is its config.json. ``None`` if it states no number.

    RoBERTa and its descendants start at position pad_token_id + 1 (``create_position_ids_from_input_ids`` in
    transformers), so they read that many tokens fewer than they have positions.
    """
    positions = config.get("max_position_embeddings")
    if positions and config.get("model_type") in _POSITIONS_AFTER_PADDING:
        pad_id = config.get("pad_token_id")
        return int(positions) - (1 if pad_id is None else int(pad_id)) - 1  # 1 is the default of all these models
    return int(positions) if positions else None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids of n texts, one row after the other, special tokens included."""

    ids: Ids
    """(tokens,), int32."""
    offsets: npt.NDArray[np.int64]
    """(n + 1,), int64: row i is ``ids[offsets[i]:offsets[i + 1]]``."""
    truncated: npt.NDArray[np.bool_]
    """(n,), bool: whether the text had more tokens than the model reads."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(n,), int64: the number of tokens of each row."""
        return np.diff(self.offsets)

    def take(self, rows: npt.NDArray[np.int64]) -> "Tokens":
        """The given rows, in the given order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        inside = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return Tokens(self.ids[np.repeat(self.offsets[rows], lengths) + inside], offsets, self.truncated[rows])


class TextTokenizer:
    """The tokenizer of a model. It truncates texts that are too long for the model."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, head_tokens: int | None = None, pad_id: int = 0) -> None:
        """``max_length`` includes the special tokens. Of a longer text, the first ``head_tokens`` and the end are kept;
        with ``None``, the beginning only.

        ``tokenizer`` is copied, and its settings for padding and truncation are ignored.
        """
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._characters = CharacterTable.of(self._tokenizer)
        self._head_tokens = head_tokens
        self._specials = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        self._specials_before = [*self._tokenizer.encode("好").special_tokens_mask, 0].index(0)
        self.max_length = max_length
        """The number of tokens of a text that the model reads, special tokens included."""
        self.pad_id = pad_id

    @classmethod
    def load(cls, folder: Path) -> "TextTokenizer":
        """The tokenizer of a saved model. Raises ``ArtifactError`` if ``folder`` has none."""
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            saved = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
            model = json.loads((folder / "config.json").read_text("utf-8"))
            longest = readable_tokens(model) or 512
            max_length = min(int(saved.get("model_max_length") or longest), longest)
        except Exception as error:  # tokenizers raises plain Exception
            raise ArtifactError(
                f"{folder} is no model folder: {error}; expected what save_pretrained writes"
            ) from error
        return cls(tokenizer, max_length, model.get(HEAD_TOKENS), int(model.get("pad_token_id") or 0))

    def encode(self, texts: Sequence[str]) -> Tokens:
        """Token ids of ``texts``, in the order given, each truncated to ``max_length``.

        The ids equal those of the tokenizers library. Most of them come from a table, which is faster; see
        ``CharacterTable``.
        """
        clean = [normalise(text) for text in texts]
        if self._characters is None:
            return self._cut(_joined([encoding.ids for encoding in self._tokenizer.encode_batch_fast(clean)]))
        return self._cut(self._characters.encode(clean))

    def _cut(self, rows: tuple[Ids, npt.NDArray[np.int64]]) -> Tokens:
        ids, offsets = rows
        lengths = np.diff(offsets)
        truncated = lengths > self.max_length
        if not truncated.any():
            return Tokens(ids, offsets, truncated)
        keep = np.ones(len(ids), dtype=bool)
        for index in np.flatnonzero(truncated):
            first, last = self.dropped(int(lengths[index]))
            keep[offsets[index] + first : offsets[index] + last] = False
        kept = np.minimum(lengths, self.max_length)
        return Tokens(ids[keep], np.concatenate([[0], np.cumsum(kept)]), truncated)

    def dropped(self, length: int) -> tuple[int, int]:
        """The range of tokens that are dropped from a row of ``length`` tokens: first, and last + 1.

        The special tokens, the head and the tail are kept, because reviews state their verdict at the beginning and at
        the end (Sun et al. 2019, How to Fine-Tune BERT for Text Classification, 5.3.1).
        """
        room = self.max_length - self._specials
        head = room if self._head_tokens is None else min(self._head_tokens, room)
        first = self._specials_before + head
        return first, first + max(0, length - self.max_length)


def _joined(rows: Sequence[Sequence[int]]) -> tuple[Ids, npt.NDArray[np.int64]]:
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    ids = np.fromiter((token for row in rows for token in row), dtype=np.int32, count=int(offsets[-1]))
    return ids, offsets
