"""Stages that overlap: each does its part of the next item while the one after it is busy with this one."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def ahead(source: Iterable[T], depth: int = 1) -> Generator[T, None, None]:
    """The items of ``source``, in order, fetched by a thread of their own, at most ``depth`` before they are asked for.

    What ``source`` raises is raised where its item would have come.
    """
    iterator = iter(source)
    end = object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        fetched: deque[Future[object]] = deque(thread.submit(next, iterator, end) for _ in range(depth))
        try:
            while (item := fetched.popleft().result()) is not end:
                fetched.append(thread.submit(next, iterator, end))
                yield item  # type: ignore[misc]  # what is not the end is an item
        finally:
            for future in fetched:
                future.cancel()


@contextmanager
def behind(write: Callable[[T], None]) -> Iterator[Callable[[T], None]]:
    """A function that hands items to ``write`` in a thread of its own, one at a time and in order.

    It waits while the item before is being written, so that one is waiting at most. What ``write`` raises comes out of
    the next call, or out of the block's end; after it nothing more is written.
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
