"""Pipeline stages that overlap: one thread prepares the next item, and another writes the one before."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def ahead(source: Iterable[T], depth: int = 1) -> Generator[T, None, None]:
    """The items of ``source``, in order. A second thread reads up to ``depth`` items in advance.

    An exception of ``source`` is raised here, in the place of the item.
    """
    iterator = iter(source)
    end = object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        fetched: deque[Future[object]] = deque(thread.submit(next, iterator, end) for _ in range(depth))
        try:
            while (item := fetched.popleft().result()) is not end:
                fetched.append(thread.submit(next, iterator, end))
                yield item  # type: ignore[misc]  # every other object is an item
        finally:
            for future in fetched:
                future.cancel()


@contextmanager
def behind(write: Callable[[T], None]) -> Iterator[Callable[[T], None]]:
    """A function that passes items to ``write`` in a second thread, one at a time and in order.

    A call waits until the item before it is written. An exception of ``write`` is raised by the next call, or at the
    end of the block. Nothing is written after it.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        under_way: Future[None] | None = None

        def put(item: T) -> None:
            nonlocal under_way
            if under_way is not None:
                under_way.result()
            under_way = thread.submit(write, item)

        yield put
        if under_way is not None:
            under_way.result()
