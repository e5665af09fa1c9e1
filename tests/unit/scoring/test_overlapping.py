"""Stages that overlap: nothing is lost, nothing comes out of order, and no thread outlives its work."""

import threading
from collections.abc import Iterator

import pytest

from senti_tasks.scoring.pipeline import ahead, behind

PATIENCE = 30
"""Seconds after which something that was to happen has not."""


class Source:
    """Counts from 0 in whatever thread asks, and tells how far it was asked."""

    def __init__(self, count: int, broken_at: int | None = None) -> None:
        self.pulled = 0
        self.threads: set[threading.Thread] = set()
        self._reached = threading.Condition()
        self._count = count
        self._broken_at = broken_at

    def __iter__(self) -> Iterator[int]:
        for number in range(self._count):
            if number == self._broken_at:
                raise OSError(f"no item {number}")
            with self._reached:
                self.pulled += 1
                self.threads.add(threading.current_thread())
                self._reached.notify_all()
            yield number

    def has_pulled(self, count: int) -> bool:
        with self._reached:
            return self._reached.wait_for(lambda: self.pulled >= count, PATIENCE)

    @property
    def is_read_by_somebody(self) -> bool:
        return any(thread.is_alive() for thread in self.threads)


# Ahead


@pytest.mark.parametrize("depth", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_what_is_fetched_ahead_keeps_its_order(count: int, depth: int) -> None:
    assert list(ahead(Source(count), depth)) == list(range(count))


@pytest.mark.parametrize("depth", [1, 3])
def test_the_next_items_are_fetched_while_the_reader_is_busy_and_no_more(depth: int) -> None:
    source = Source(100)
    items = ahead(source, depth)
    assert source.pulled == 0
    for asked in (1, 2, 3):
        next(items)
        assert source.has_pulled(asked + depth)
        assert source.pulled == asked + depth
    items.close()
    assert source.pulled == 3 + depth


def test_the_source_is_read_in_a_thread_of_its_own() -> None:
    source = Source(3)
    list(ahead(source))
    assert len(source.threads) == 1
    assert threading.current_thread() not in source.threads


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("broken_at", [0, 1, 3])
def test_an_error_of_the_source_comes_where_its_item_would_have(broken_at: int, depth: int) -> None:
    items = ahead(Source(5, broken_at), depth)
    read = [next(items) for _ in range(broken_at)]
    assert read == list(range(broken_at))
    with pytest.raises(OSError, match=f"no item {broken_at}"):
        next(items)
    assert list(items) == []


def test_the_thread_ends_with_the_source() -> None:
    source = Source(3)
    list(ahead(source))
    assert not source.is_read_by_somebody


def test_the_thread_ends_with_an_error_of_the_source() -> None:
    source = Source(3, broken_at=1)
    with pytest.raises(OSError, match="no item 1"):
        list(ahead(source))
    assert not source.is_read_by_somebody


def test_the_thread_ends_when_the_reader_stops_early() -> None:
    source = Source(100)
    items = ahead(source, depth=2)
    next(items)
    items.close()
    assert not source.is_read_by_somebody
    assert source.pulled <= 3


def test_the_thread_ends_when_the_reader_fails() -> None:
    source = Source(100)

    def read() -> None:
        for item in ahead(source):
            raise ValueError(f"cannot use {item}")

    with pytest.raises(ValueError, match="cannot use 0"):
        read()
    assert not source.is_read_by_somebody


# Behind


class Writer:
    """Keeps what it was given, waits where it is told to, and fails at one item."""

    def __init__(self, broken_at: int | None = None, waits_at: int | None = None) -> None:
        self.written: list[int] = []
        self.attempted: list[int] = []
        self.threads: set[threading.Thread] = set()
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self._alone = threading.Lock()
        self._broken_at = broken_at
        self._waits_at = waits_at

    def __call__(self, item: int) -> None:
        assert self._alone.acquire(blocking=False), "two items are written at a time"
        try:
            self.threads.add(threading.current_thread())
            self.attempted.append(item)
            if item == self._waits_at:
                self.begun.set()
                assert self.go_on.wait(PATIENCE)
            if item == self._broken_at:
                raise OSError(f"no space for {item}")
            self.written.append(item)
        finally:
            self._alone.release()


def test_what_is_written_behind_is_written_in_order_one_at_a_time() -> None:
    write = Writer()
    with behind(write) as put:
        for item in range(200):
            put(item)
    assert write.written == list(range(200))
    assert len(write.threads) == 1
    assert threading.current_thread() not in write.threads


def test_a_block_that_writes_nothing_ends_well() -> None:
    write = Writer()
    with behind(write):
        pass
    assert write.written == []


def test_the_block_goes_on_while_an_item_is_being_written() -> None:
    write = Writer(waits_at=0)
    with behind(write) as put:
        put(0)
        assert write.begun.wait(PATIENCE)
        assert write.written == []  # and yet this line is reached
        write.go_on.set()
        put(1)
        assert write.written[0] == 0  # a call waits for the item before
    assert write.written == [0, 1]


def test_an_error_of_the_writer_comes_out_of_the_next_call() -> None:
    write = Writer(broken_at=1)

    def work() -> None:
        with behind(write) as put:
            put(0)
            put(1)
            with pytest.raises(OSError, match="no space for 1"):
                put(2)
            put(3)

    with pytest.raises(OSError, match="no space for 1"):
        work()
    assert write.attempted == [0, 1]


def test_an_error_of_the_writer_comes_out_of_the_end() -> None:
    write = Writer(broken_at=1)
    reached = False
    with pytest.raises(OSError, match="no space for 1"), behind(write) as put:
        put(0)
        put(1)
        reached = True
    assert reached


def test_an_error_of_the_block_comes_out_after_what_was_handed_in_is_written() -> None:
    write = Writer(waits_at=0)

    def work() -> None:
        with behind(write) as put:
            put(0)
            assert write.begun.wait(PATIENCE)
            write.go_on.set()
            raise ValueError("the scorer failed")

    with pytest.raises(ValueError, match="the scorer failed"):
        work()
    assert write.written == [0]
    assert not any(thread.is_alive() for thread in write.threads)
