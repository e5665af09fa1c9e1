"""Contenders at work, which take turns when asked: each in a process of its own, on CUDA all in this one."""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from benchmarks import options

_PRELOADED = ["transformers.models.bert.modeling_bert", "benchmarks.lineup"]


class WorkerError(RuntimeError):
    """What a worker was asked for went wrong there; the message is the reason in one line."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker returned, and what it took."""

    value: Any
    seconds: float
    """Wall time in the worker, without what it takes to hand over arguments and value."""
    cpu_seconds: float
    """Of all its threads."""
    peak_bytes: int
    """The most memory that the process held so far (RSS), Python and its libraries included; on CUDA, the most that
    torch held there."""
    rise_bytes: int
    """``peak_bytes`` less what the process held before it did anything; on CUDA the same as ``peak_bytes``."""


class Worker:
    """A process that builds a function, and calls it when asked.

    Both have to be importable. Processes are forked from one that has imported torch and transformers and done nothing
    else, so they start fast, and count those libraries among their memory. Their output goes to standard error.
    """

    def __init__(self, build: Callable[..., Callable[..., Any]], *arguments: Any) -> None:
        """Waits until ``build(*arguments)`` has returned the function. Raises ``WorkerError``."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, build, arguments))
        self._process.start()
        theirs.close()
        try:
            self.built = self._answer()
        except WorkerError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, *arguments: Any) -> Answer:
        """Calls the function with ``arguments`` there, and waits for its answer. Raises ``WorkerError``."""
        self._connection.send(arguments)
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()  # it ends when it finds nobody at the other end
        self._process.join()

    def _answer(self) -> Answer:
        try:
            answer = self._connection.recv()
        except EOFError:
            self._process.join()
            raise WorkerError(f"its process ended with code {self._process.exitcode}") from None
        if isinstance(answer, str):
            raise WorkerError(answer)
        return answer  # type: ignore[no-any-return]


class InProcess:
    """The same without a process: for CUDA, which does not survive a fork, and whose libraries take 20 s to load.

    Memory is what torch holds on the device for this function: what ``build`` left there, and the most on top of it.
    """

    def __init__(self, build: Callable[..., Callable[..., Any]], *arguments: Any) -> None:
        before = torch.cuda.memory_allocated()
        self._function = _attempt(build, arguments)
        self._held = torch.cuda.memory_allocated() - before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._function

    def ask(self, *arguments: Any) -> Answer:
        """Calls the function with ``arguments``. Raises ``WorkerError``."""
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        started, cpu_started = time.perf_counter(), time.process_time()
        value = _attempt(self._function, arguments)
        torch.cuda.synchronize()
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        peak = self._held + torch.cuda.max_memory_allocated() - before
        return Answer(value, seconds, cpu_seconds, peak, peak)


@contextmanager
def worker(device: str, build: Callable[..., Callable[..., Any]], *arguments: Any) -> Iterator[Worker | InProcess]:
    """A worker for what computes on ``device``, ``cpu`` or ``cuda``."""
    with InProcess(build, *arguments) if device == "cuda" else Worker(build, *arguments) as at_work:
        yield at_work


def in_a_process(function: Callable[..., Any], *arguments: Any) -> Answer:
    """Calls ``function`` once, in a process that ends thereafter. Raises ``WorkerError``."""
    with Worker(_itself, function) as worker:
        return worker.ask(*arguments)


def _itself(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # whatever it is, the others go on
        raise WorkerError(_in_a_line(error)) from error


def _in_a_line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0] if said else ''}"


def _serve(connection: Connection, build: Callable[..., Callable[..., Any]], arguments: tuple[Any, ...]) -> None:
    os.dup2(2, 1)  # some libraries print
    options.quieten()
    before = resident()
    todo: Callable[..., Any] = build
    while True:
        started, cpu_started = time.perf_counter(), time.process_time()
        try:
            value = todo(*arguments)
        except Exception as error:  # whatever it is, the others go on
            connection.send(_in_a_line(error))
            return
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        if todo is build:
            todo, value = value, None
        connection.send(Answer(value, seconds, cpu_seconds, *_memory(before)))
        try:
            arguments = connection.recv()
        except (EOFError, OSError):
            return


def _memory(before: int) -> tuple[int, int]:
    peak = peak_resident()
    return peak, peak - before


def peak_resident() -> int:
    """The most memory that this process ever held, in bytes (RSS)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident() -> int:
    """The memory that this process holds now, in bytes (RSS); where Linux does not tell, the most it ever held."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return peak_resident()
