"""The scorer: one interface for everything that needs a model's opinion of a text."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from senti_tasks.errors import ArtifactError
from senti_tasks.scoring import engines, probe
from senti_tasks.scoring.answers import Answers
from senti_tasks.scoring.batches import Batch
from senti_tasks.scoring.chunks import Chunk, Items
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.scoring.engines import Engine, Logits
from senti_tasks.scoring.pipeline import ahead
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.scoring.tokens import TextTokenizer, Tokens
from senti_tasks.text import defect

log = logging.getLogger(__name__)

T = TypeVar("T")
Probabilities = npt.NDArray[np.float32]

_BROKEN_FROM = 10  # texts without a number, if they are most of a chunk: the model is broken, not the texts
_PROBE_FROM = 50  # a probe pays when this many of the largest batches are to come


class Scorer:
    """Texts in, probabilities out, in order. Each text is computed once, and one bad text stops no other."""

    def __init__(
        self,
        tokenizer: TextTokenizer,
        engine: Engine,
        n_labels: int,
        config: ScoreConfig,
        *,
        temperature: float = 1.0,
        chunk_rows: int | None = None,
        token_budget: int | None = None,
        probe_file: tuple[Path, str] | None = None,
    ) -> None:
        """``token_budget`` is probed for when it is left out and there is enough to score; ``probe_file`` keeps it."""
        self.n_labels = n_labels
        self.chunk_rows = chunk_rows or config.chunk_rows
        """How many texts are best handed in together."""
        self._tokenizer = tokenizer
        self._engine = engine
        self._temperature = temperature
        self._probe_file = probe_file
        self._token_budget = token_budget or (probe.kept(*probe_file) if probe_file else None)
        self._answers = Answers(config.remembered_texts)

    def predict(self, texts: Sequence[str | None]) -> Predictions:
        """The predictions of ``texts``, in the order given. Empty in, empty out."""
        rows = self.chunk_rows
        chunks = ((None, texts[start : start + rows]) for start in range(0, len(texts), rows))
        found = [predictions for _, predictions in self.stream(chunks, expected=len(texts))]
        starts = np.cumsum([0, *(len(part.truncated) for part in found)]).tolist()
        return Predictions(
            np.concatenate([np.zeros((0, self.n_labels), np.float32), *(part.probabilities for part in found)]),
            np.concatenate([np.zeros(0, bool), *(part.truncated for part in found)]),
            {
                start + position: reason
                for start, part in zip(starts, found, strict=False)
                for position, reason in part.reasons.items()
            },
        )

    def stream(
        self, chunks: Iterable[tuple[T, Sequence[str | None]]], expected: int | None = None
    ) -> Generator[tuple[T, Predictions], None, None]:
        """The same for chunks of texts, each with a tag of the caller's, which comes back with its predictions.

        The texts of a chunk are sorted by length. While its last batches are computed, the next chunk has begun, and
        the one after it is read and tokenised. So up to two chunks are read beyond the one that is handed back. The
        same text gets the same label in any chunk; scores differ in the last bits. ``expected`` is how many texts come
        in all; it decides whether a probe pays.

        What ``chunks`` raises is raised here, after the predictions of the chunks before.
        """
        read = ahead(self._read(tag, texts) for tag, texts in chunks)
        with closing(read), closing(_Stream(self, read, expected).run()) as answered:
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
                "weights are broken, or too large for this variant (SENTI_VARIANT=fp32 tells)"
            )
        reasons = chunk.reasons | dict.fromkeys(lost.tolist(), "the model gives no number for the text")
        return Predictions(probabilities, truncated, reasons)

    def _prepare(self, tokens: int) -> None:
        """Probes for the best batch, once, when so many ``tokens`` are to come that it pays."""
        budgets = self._engine.token_budgets
        if self._token_budget is None and len(budgets) > 1 and tokens >= _PROBE_FROM * max(budgets):
            longest, at_once = self._tokenizer.max_length, self._engine.at_once
            self._token_budget = probe.best_budget(self._seconds, budgets, longest, at_once)
            log.info("batches of %d tokens are the fastest here", self._token_budget)
            if self._probe_file:
                probe.keep(*self._probe_file, self._token_budget)

    def _seconds(self, tokens: Tokens, token_budget: int) -> float:
        """How long it takes to score ``tokens`` in batches of ``token_budget``; infinity if memory does not do."""
        started = time.perf_counter()
        try:
            for _ in engines.run(self._engine, tokens, self._engine.batches(tokens.lengths, token_budget)):
                pass
        except (MemoryError, RuntimeError) as error:
            if not engines.is_out_of_memory(error):
                raise
            self._engine.release()
            return math.inf
        return time.perf_counter() - started


class _Started(NamedTuple):
    """A batch under way."""

    chunk: Chunk
    items: Items
    wait: Callable[[], Logits]


class _Stream:
    """One pass of chunks through the engine, which gets the batches of all chunks one after the other: it never waits
    for the end of a chunk.

    When the device's memory does not hold a batch, batches are halved. What is computed stays.
    """

    def __init__(self, scorer: Scorer, chunks: Iterator[Chunk], expected: int | None) -> None:
        self._scorer = scorer
        self._engine = scorer._engine
        self._chunks = chunks
        self._expected = expected
        self._open: deque[Chunk] = deque()  # in order; begun, and not handed back
        self._items: dict[bytes, tuple[Chunk, int]] = {}  # of the open chunks, by key
        self._under_way: deque[_Started] = deque()
        self._failure: Exception | None = None  # of whatever reads the chunks

    def run(self) -> Generator[tuple[Chunk, Logits], None, None]:
        """Each chunk with the logits of its texts, in order."""
        batches = self._batches()
        try:
            while True:
                try:
                    for chunk, tokens, items, batch in batches:
                        self._under_way.append(_Started(chunk, items[batch], self._engine.start(tokens, batch)))
                        if len(self._under_way) > self._engine.at_once:
                            self._wait()
                        yield from self._answered()
                    while self._under_way:
                        self._wait()
                except (MemoryError, RuntimeError) as error:
                    self._make_room(error)
                    batches = self._batches()
                else:
                    break
            yield from self._answered()
            if self._failure is not None:
                raise self._failure
        finally:
            self._settle()

    def _batches(self) -> Iterator[tuple[Chunk, Tokens, Items, Batch]]:
        """What is left to compute: of the open chunks, then of the next ones, which it opens.

        A chunk, tokens of some of its items, which items these are, and a batch of them.
        """
        for chunk in list(self._open):
            yield from self._planned(chunk)
        while (begun := self._next()) is not None:
            self._open.append(begun)
            begun.look_up(self._scorer._answers, self._items)
            yield from self._planned(begun)

    def _next(self) -> Chunk | None:
        """The next chunk; ``None`` after the last, and where reading failed: the chunks before come first."""
        try:
            return next(self._chunks, None)
        except Exception as error:  # whatever the caller's source raises
            self._failure = error
            return None

    def _planned(self, chunk: Chunk) -> Iterator[tuple[Chunk, Tokens, Items, Batch]]:
        items = chunk.open_items
        tokens = chunk.tokens.take(items)
        if len(items):
            self._scorer._prepare(int(tokens.lengths.mean() * (self._expected or chunk.size)))
        budget = self._budget
        for batch in self._engine.batches(tokens.lengths, budget):
            yield chunk, tokens, items, batch

    @property
    def _budget(self) -> int:
        budgets = self._engine.token_budgets
        return self._scorer._token_budget or budgets[(len(budgets) - 1) // 2]

    def _wait(self) -> None:
        """Keeps the logits of the batch that was started first."""
        chunk, items, wait = self._under_way.popleft()
        chunk.answer(items, wait())

    def _settle(self) -> None:
        """Waits for all batches under way, and keeps the logits of those that do not fail."""
        while self._under_way:
            with suppress(Exception):
                self._wait()

    def _make_room(self, error: Exception) -> None:
        """Halves the batches after ``error``. Raises it if it says anything else than that memory ran out, or if a
        batch of the longest text alone is too large."""
        self._settle()
        longest = max((int(chunk.tokens.lengths[chunk.open_items].max(initial=0)) for chunk in self._open), default=0)
        budget = self._budget
        if not engines.is_out_of_memory(error) or budget <= longest:
            raise error
        self._engine.release()
        self._scorer._token_budget = max(budget // 2, longest)
        log.warning("out of memory with batches of %d tokens: going on with %d", budget, self._scorer._token_budget)

    def _answered(self) -> Iterator[tuple[Chunk, Logits]]:
        while self._open and self._open[0].is_answered:
            chunk = self._open.popleft()
            yield chunk, chunk.close(self._scorer._answers, self._items)


def _softmax(logits: Logits) -> Probabilities:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities
