"""The stream of batches from chunks of texts through an engine."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import NamedTuple

from senti_tasks.scoring.answers import Answers
from senti_tasks.scoring.batches import Batch
from senti_tasks.scoring.chunks import Chunk, Items
from senti_tasks.scoring.engines.engine import Engine, Logits, is_out_of_memory
from senti_tasks.scoring.token_budget import TokenBudget
from senti_tasks.scoring.tokens import Tokens


class _Started(NamedTuple):
    """A batch that the engine computes."""

    chunk: Chunk
    items: Items
    wait: Callable[[], Logits]


class Stream:
    """One pass of chunks through an engine. The batches of all chunks follow each other without a pause.

    If a batch does not fit into the memory of the device, batches are halved. Logits that are computed are kept.
    """

    def __init__(
        self,
        engine: Engine,
        budget: TokenBudget,
        known: Answers,
        chunks: Iterator[Chunk],
        longest: int,
        expected: int | None,
    ) -> None:
        """``longest``: how many tokens of a text the model reads. ``expected``: the number of texts in all chunks."""
        self._engine = engine
        self._budget = budget
        self._known = known
        self._chunks = chunks
        self._longest = longest
        self._expected = expected
        self._open: deque[Chunk] = deque()  # chunks that are begun and not finished, in order
        self._items: dict[bytes, tuple[Chunk, int]] = {}  # the items of the open chunks, by key
        self._under_way: deque[_Started] = deque()
        self._failure: Exception | None = None  # the exception that ended the reading of chunks

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
        """The batches that are left to compute: of the open chunks, then of the next ones, which it opens.

        Each is a chunk, the tokens of its open items, the numbers of these items, and a batch of their rows.
        """
        for chunk in list(self._open):
            yield from self._planned(chunk)
        while (begun := self._next()) is not None:
            self._open.append(begun)
            begun.look_up(self._known, self._items)
            yield from self._planned(begun)

    def _next(self) -> Chunk | None:
        """The next chunk; ``None`` after the last one, or if reading it failed."""
        try:
            return next(self._chunks, None)
        except Exception as error:  # it is raised once the chunks before are finished
            self._failure = error
            return None

    def _planned(self, chunk: Chunk) -> Iterator[tuple[Chunk, Tokens, Items, Batch]]:
        items = chunk.open_items
        tokens = chunk.tokens.take(items)
        if len(items):
            self._budget.probe(int(tokens.lengths.mean() * (self._expected or chunk.size)), self._longest)
        for batch in self._engine.batches(tokens.lengths, self._budget.tokens):
            yield chunk, tokens, items, batch

    def _wait(self) -> None:
        """Waits for the batch that was started first, and keeps its logits."""
        chunk, items, wait = self._under_way.popleft()
        chunk.answer(items, wait())

    def _settle(self) -> None:
        """Waits for all batches under way, and keeps the logits of those that succeed."""
        while self._under_way:
            with suppress(Exception):
                self._wait()

    def _make_room(self, error: Exception) -> None:
        """Halves the batches after ``error``.

        Raises ``error`` if memory is not its cause, or if a batch of the longest text alone is too large.
        """
        self._settle()
        longest = max((int(chunk.tokens.lengths[chunk.open_items].max(initial=0)) for chunk in self._open), default=0)
        if not is_out_of_memory(error) or self._budget.tokens <= longest:
            raise error
        self._engine.release()
        self._budget.halve(longest)

    def _answered(self) -> Iterator[tuple[Chunk, Logits]]:
        """The chunks at the front that are finished."""
        while self._open and self._open[0].is_answered:
            # Closed before it leaves the queue: if memory runs out here, the chunk is closed again, and not lost.
            logits = self._open[0].close(self._known, self._items)
            yield self._open.popleft(), logits
