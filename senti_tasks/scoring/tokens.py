"""Texts to token ids, as the model was trained on them."""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from senti_tasks.errors import ArtifactError
from senti_tasks.text import normalise


class Encoder:
    """The tokenizer saved with a model. It reads ``max_length`` tokens of a text and says when there were more."""

    def __init__(self, folder: Path) -> None:
        """Raises ``ArtifactError`` when ``folder`` holds no tokenizer that was saved by ``save_pretrained``."""
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            saved = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
            model = json.loads((folder / "config.json").read_text("utf-8"))
        except Exception as error:  # tokenizers raises the bare class
            raise ArtifactError(
                f"{folder} is no model folder: {error}; expected what save_pretrained writes"
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        longest = int(model.get("max_position_embeddings", 512))
        self.max_length = min(int(saved.get("model_max_length") or longest), longest)
        """Tokens of a text that the model reads, special ones included."""
        self.pad_id = int(model.get("pad_token_id") or 0)

    def encode(self, texts: Sequence[str]) -> tuple[list[list[int]], list[bool]]:
        """Token ids of each text, at most ``max_length``, and whether the text had more. In the order given."""
        encodings = self._tokenizer.encode_batch_fast([normalise(text) for text in texts])
        rows = [encoding.ids for encoding in encodings]
        return [self._fit(ids) for ids in rows], [len(ids) > self.max_length for ids in rows]

    def _fit(self, ids: list[int]) -> list[int]:
        """The beginning of a text that is too long, with the closing special token kept."""
        return ids if len(ids) <= self.max_length else [*ids[: self.max_length - 1], ids[-1]]
