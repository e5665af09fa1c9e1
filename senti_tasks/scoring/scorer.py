"""The scorer: one interface for everything that needs a model's opinion of a text."""

import logging
import math
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from senti_tasks.errors import ArtifactError
from senti_tasks.scoring import probe
from senti_tasks.scoring.batches import Batch
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.scoring.on_torch import Logits
from senti_tasks.scoring.pipeline import ahead
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.scoring.tokens import TextTokenizer, Tokens
from senti_tasks.text import defect

log = logging.getLogger(__name__)

T = TypeVar("T")
Probabilities = npt.NDArray[np.float32]

_BROKEN_FROM = 10  # texts without a number, if they are most of a chunk: no text is to blame, the model is
_PROBE_FROM = 50  # a probe pays when this many of the largest batches are to come
_COMPILE_FROM = 5_000_000  # tokens; compiling takes as long as a GPU takes for about as many


class Engine(Protocol):
    """A classifier on a device: rows of token ids in, logits out."""

    token_budgets: Sequence[int]
    """Budgets worth trying."""
    at_once: int
    """Batches it has under way at a time."""

    def batches(self, lengths: npt.NDArray[np.int64], token_budget: int) -> Iterator[Batch]:
        """The rows with these lengths, in batches as ``run`` takes them."""
        ...

    def run(self, tokens: Tokens, planned: Iterable[Batch]) -> Iterator[tuple[Batch, Logits]]:
        """Every batch once, with its logits (len(batch), n_labels), in any order."""
        ...

    def compile(self) -> None:
        """Makes itself faster, at a cost that only many texts repay."""
        ...

    def release(self) -> None:
        """Gives back the memory that it can do without."""
        ...


class Scorer:
    """Texts in, probabilities out, in order. Each text is scored once, and one bad text stops no other."""

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
        """Texts that are best handed in together."""
        self._tokenizer = tokenizer
        self._engine = engine
        self._config = config
        self._temperature = temperature
        self._probe_file = probe_file
        self._token_budget = token_budget or (probe.kept(*probe_file) if probe_file else None)
        self._compiled = False
        self._answers: dict[bytes, bytes] = {}  # a row's key to its probabilities, of the texts seen last

    def predict(self, texts: Sequence[str | None]) -> Predictions:
        """What it thinks of ``texts``, in the order given. Empty in, empty out. Memory does not grow with the texts."""
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
        """The same for chunks of texts, each handed in with anything, and handed back with it, in order.

        The texts of a chunk are sorted by length and scored together, while the next one is read and tokenised. The
        same text gets the same label in any chunk; scores differ in the last bits. ``expected`` texts in all help to
        decide what preparation is worth its time.
        """
        for tag, chunk, texts in ahead((tag, texts, self._read(texts)) for tag, texts in chunks):
            yield tag, self._predictions(len(chunk), *texts, expected or len(chunk))

    def _read(self, texts: Sequence[str | None]) -> tuple[dict[int, str], Tokens]:
        """Why texts cannot be scored, by position, and the tokens of the others, in order."""
        reasons = {position: reason for position, text in enumerate(texts) if (reason := defect(text)) is not None}
        return reasons, self._tokenizer.encode([text or "" for at, text in enumerate(texts) if at not in reasons])

    def _predictions(self, n: int, reasons: dict[int, str], tokens: Tokens, expected: int) -> Predictions:
        probabilities = np.full((n, self.n_labels), np.nan, dtype=np.float32)
        truncated = np.zeros(n, dtype=bool)
        good = np.setdiff1d(np.arange(n), list(reasons))
        if len(good):
            probabilities[good] = self._probabilities(tokens, expected)
            truncated[good] = tokens.truncated
        if (lost := np.setdiff1d(np.flatnonzero(~np.isfinite(probabilities).all(axis=1)), list(reasons))).size:
            if lost.size >= _BROKEN_FROM and 2 * lost.size > len(good):
                raise ArtifactError(
                    f"the model gives no number for {lost.size} of {len(good)} reviews: expected probabilities; its "
                    "weights are broken, or too large for this variant (SENTI_VARIANT=fp32 tells)"
                )
            reasons |= dict.fromkeys(lost.tolist(), "the model gives no number for the text")
        return Predictions(probabilities, truncated, reasons)

    def _probabilities(self, tokens: Tokens, expected: int) -> Probabilities:
        """(n, n_labels), each different row of ids computed once: here, or in a chunk before."""
        place_of: dict[bytes, int] = {}  # a row's key to the place of its answer
        first: list[int] = []  # the first row of each place
        places = np.empty(len(tokens.truncated), dtype=np.int64)
        for row, (start, end) in enumerate(pairwise(tokens.offsets.tolist())):
            key = blake2b(tokens.ids[start:end].tobytes(), digest_size=16).digest()
            place = place_of.setdefault(key, len(first))
            if place == len(first):
                first.append(row)
            places[row] = place
        answers = np.full((len(first), self.n_labels), np.nan, dtype=np.float32)
        new: list[int] = []
        for place, key in enumerate(place_of):
            if (known := self._answers.pop(key, None)) is not None:
                answers[place] = np.frombuffer(known, dtype=np.float32)
            else:
                new.append(place)
        if new:
            answers[new] = self._compute(tokens.take(np.asarray(first)[new]), expected)
        self._answers.update((key, answers[place].tobytes()) for place, key in enumerate(place_of))
        for key in list(self._answers)[: max(0, len(self._answers) - self._config.remembered_texts)]:
            del self._answers[key]
        return answers[places]

    def _compute(self, tokens: Tokens, expected: int) -> Probabilities:
        """(n, n_labels), row by row.

        When the device's memory does not hold a batch, batches are halved, and what is done stays done.
        """
        lengths = tokens.lengths
        self._prepare(int(lengths.mean() * expected))
        logits = np.full((len(lengths), self.n_labels), np.nan, dtype=np.float32)
        left = np.arange(len(lengths))
        while left.size:
            budget = self._token_budget or self._engine.token_budgets[1]
            rest = tokens.take(left)
            unanswered = np.ones(len(left), dtype=bool)
            try:
                for batch, found in self._engine.run(rest, self._engine.batches(rest.lengths, budget)):
                    logits[left[batch]] = found
                    unanswered[batch] = False
            except (MemoryError, RuntimeError) as error:
                longest = int(rest.lengths[unanswered].max(initial=0))
                if not _is_out_of_memory(error) or budget <= longest:
                    raise
                self._engine.release()
                self._token_budget = max(budget // 2, longest)
                log.warning("out of memory with batches of %d tokens: going on with %d", budget, self._token_budget)
            else:
                if unanswered.any():
                    raise AssertionError(f"the engine left out {unanswered.sum()} of {len(left)} rows")
            left = left[unanswered]
        return _softmax(logits / self._temperature)

    def _prepare(self, tokens: int) -> None:
        """Compiles and probes, once, when so many ``tokens`` are to come that it pays."""
        if tokens >= _COMPILE_FROM and not self._compiled:
            self._engine.compile()
            self._compiled = True
        budgets = self._engine.token_budgets
        if self._token_budget is None and tokens >= _PROBE_FROM * max(budgets):
            longest, at_once = self._tokenizer.max_length, self._engine.at_once
            self._token_budget = probe.best_budget(self._seconds, budgets, longest, at_once)
            log.info("batches of %d tokens are the fastest here", self._token_budget)
            if self._probe_file:
                probe.keep(*self._probe_file, self._token_budget)

    def _seconds(self, tokens: Tokens, token_budget: int) -> float:
        """How long it takes to score ``tokens`` in batches of ``token_budget``; for ever, if memory does not do."""
        started = time.perf_counter()
        try:
            for _ in self._engine.run(tokens, self._engine.batches(tokens.lengths, token_budget)):
                pass
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            self._engine.release()
            return math.inf
        return time.perf_counter() - started


def _softmax(logits: Logits) -> Probabilities:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def _is_out_of_memory(error: Exception) -> bool:
    """torch has a class for it on CUDA alone; its CPU allocator and OpenVINO say it in words."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = ("not enough memory", "can't allocate memory", "bad_alloc", "cannot allocate")
    return any(word in str(error).lower() for word in words)
