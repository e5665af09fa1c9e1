"""The scorer: texts in, predictions out, for every engine and every caller."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from senti_tasks.errors import ArtifactError
from senti_tasks.scoring.answers import Answers
from senti_tasks.scoring.chunks import Chunk
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.scoring.engines.engine import Engine, Logits
from senti_tasks.scoring.pipeline import ahead
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.scoring.stream import Stream
from senti_tasks.scoring.token_budget import TokenBudget
from senti_tasks.scoring.tokens import Tokens
from senti_tasks.text import defect

T = TypeVar("T")
Check = Callable[[T], npt.NDArray[np.bool_]]
"""For the tag of a chunk with n texts: which of them the last stage labels in any case, (n,)."""
Probabilities = npt.NDArray[np.float32]

_BROKEN_FROM = 10
"""If at least this many texts, and most texts of a chunk, get no number, the model is broken, and not the texts."""


class Encoding(Protocol):
    """What converts texts to rows of numbers: a ``TextTokenizer``, or an ``NgramTokenizer``."""

    max_length: int
    """The length of the longest row."""

    def encode(self, texts: Sequence[str]) -> Tokens:
        """A row for each of ``texts``, in the order given."""
        ...


class Scorer:
    """Texts in, predictions out, in order. Each text is computed once. A text that cannot be scored stops no other."""

    last_stage: int = 0
    """The number of the last stage in ``Predictions.stages``: 0 unless this is a cascade."""
    escalated_share: float = 1.0
    """The expected share of texts that the last stage answers."""

    def __init__(
        self,
        tokenizer: Encoding,
        engine: Engine,
        n_labels: int,
        config: ScoreConfig,
        *,
        temperature: float = 1.0,
        chunk_rows: int | None = None,
        token_budget: TokenBudget | None = None,
    ) -> None:
        """``temperature`` divides the logits. ``chunk_rows`` is by default that of ``config``."""
        self.n_labels = n_labels
        self.chunk_rows = chunk_rows or config.chunk_rows
        """How many texts a chunk should have."""
        self._tokenizer = tokenizer
        self._engine = engine
        self._temperature = temperature
        self.token_budget = token_budget or TokenBudget(engine, config.token_budget or None)
        self.answers = Answers(config.remembered_texts)

    def predict(self, texts: Sequence[str | None]) -> Predictions:
        """The predictions of ``texts``, in the order given. Empty in, empty out."""
        rows = self.chunk_rows
        chunks = ((None, texts[start : start + rows]) for start in range(0, len(texts), rows))
        found = [predictions for _, predictions in self.stream(chunks, expected=len(texts))]
        return Predictions.joined(found, self.n_labels)

    def stream(
        self,
        chunks: Iterable[tuple[T, Sequence[str | None]]],
        expected: int | None = None,
        check: Check[T] | None = None,
    ) -> Generator[tuple[T, Predictions], None, None]:
        """The same for a stream of chunks. Each chunk has a tag, which is returned with its predictions.

        The texts of a chunk are sorted by length. The first batches of a chunk start while the last ones of the chunk
        before are computed, and the next chunk is read and tokenised meanwhile. So up to two chunks are read in
        advance. A text gets the same label in any chunk; scores differ in the last bits. ``expected`` is the number of
        texts in all chunks; it decides whether a probe pays. ``check`` is for a cascade; here the last stage labels
        every text.

        An exception of ``chunks`` is raised here, after the predictions of the chunks before it.
        """
        read = ahead(self._read(tag, texts) for tag, texts in chunks)
        stream = Stream(self._engine, self.token_budget, self.answers, read, self._tokenizer.max_length, expected)
        with closing(read), closing(stream.run()) as answered:
            for chunk, logits in answered:
                yield chunk.tag, self._predictions(chunk, logits)

    def _read(self, tag: T, texts: Sequence[str | None]) -> Chunk:
        reasons = {position: reason for position, text in enumerate(texts) if (reason := defect(text)) is not None}
        tokens = self._tokenizer.encode([text or "" for at, text in enumerate(texts) if at not in reasons])
        return Chunk(tag, len(texts), reasons, tokens, self.n_labels)

    def _predictions(self, chunk: Chunk, logits: Logits) -> Predictions:
        probabilities = np.full((chunk.size, self.n_labels), np.nan, dtype=np.float32)
        truncated = np.zeros(chunk.size, dtype=bool)
        good = np.setdiff1d(np.arange(chunk.size), list(chunk.reasons))
        probabilities[good] = _softmax(logits / self._temperature)
        truncated[good] = chunk.truncated
        lost = good[~np.isfinite(probabilities[good]).all(axis=1)]
        if lost.size >= _BROKEN_FROM and 2 * lost.size > len(good):
            raise ArtifactError(
                f"the model gives no number for {lost.size} of {len(good)} reviews: expected probabilities; its "
                "weights are broken, or too large for this variant; SENTI_VARIANT=fp32 shows which"
            )
        reasons = chunk.reasons | dict.fromkeys(lost.tolist(), "the model gives no number for the text")
        return Predictions(probabilities, truncated, reasons)


def _softmax(logits: Logits) -> Probabilities:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities
