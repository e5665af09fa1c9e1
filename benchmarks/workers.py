"""Workers: each builds a function once and then calls it on request, and measures the time and memory of each call.

On a CPU each worker is a separate process. On CUDA all workers are in the calling process.
"""

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
    """A call in a worker failed. The message is the reason in one line."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a call in a worker returned, and its time and memory."""

    value: Any
    seconds: float
    """Wall time of the call, in seconds, without the transfer of arguments and value between processes."""
    cpu_seconds: float
    """CPU time of all threads of the process during the call, in seconds."""
    peak_bytes: int
    """On a CPU: the largest RSS of the process so far, including Python and its libraries. On CUDA: the most memory
    that torch had allocated on the device for this worker's function."""
    rise_bytes: int
    """On a CPU: ``peak_bytes`` minus the RSS when the process started. On CUDA: the same as ``peak_bytes``."""


class Worker:
    """A process that builds a function, then calls it on request.

    The ``build`` function and its arguments must be picklable, and so must the arguments and values of each call.
    Processes are forked from a server that has only imported torch, transformers and the contenders. So they start
    fast, and their RSS includes those libraries. Their standard output goes to standard error.
    """

    def __init__(self, build: Callable[..., Callable[..., Any]], *arguments: Any) -> None:
        """Waits until ``build(*arguments)`` has returned the function. Raises ``WorkerError`` if it fails."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        self._connection, child_connection = context.Pipe()
        self._process = context.Process(target=_serve, args=(child_connection, build, arguments))
        self._process.start()
        child_connection.close()
        try:
            self._receive()
        except WorkerError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, *arguments: Any) -> Result:
        """Calls the function with ``arguments`` in the process, and waits for the result. Raises ``WorkerError``."""
        self._connection.send(arguments)
        return self._receive()

    def close(self) -> None:
        """Ends the process and waits for it."""
        self._connection.close()  # the process ends when its end of the pipe reports end of file
        self._process.join()

    def _receive(self) -> Result:
        try:
            message = self._connection.recv()
        except EOFError:
            self._process.join()
            raise WorkerError(f"its process ended with code {self._process.exitcode}") from None
        if isinstance(message, str):
            raise WorkerError(message)
        return message  # type: ignore[no-any-return]


class LocalWorker:
    """The same interface as ``Worker``, in the calling process.

    For CUDA: it cannot be used after a fork, and a new process takes 20 s to load its libraries. Memory is the memory
    that torch took from the device for this function. The memory of CUDA graphs is part of it, which torch does not
    count as allocated.
    """

    def __init__(self, build: Callable[..., Callable[..., Any]], *arguments: Any) -> None:
        """Calls ``build(*arguments)``, which returns the function. Raises ``WorkerError`` if it fails."""
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        self._function = _call(build, arguments)
        self._called = False
        self._held_bytes = torch.cuda.memory_reserved() - before
        self._peak_bytes = self._held_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._function

    def call(self, *arguments: Any) -> Result:
        """Calls the function with ``arguments``. Raises ``WorkerError`` if it fails."""
        torch.cuda.synchronize()
        if not self._called:  # the first call must not use memory that other functions left
            torch.cuda.empty_cache()
            self._called = True
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_reserved()
        started, cpu_started = time.perf_counter(), time.process_time()
        value = _call(self._function, arguments)
        torch.cuda.synchronize()
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        self._peak_bytes = max(self._peak_bytes, self._held_bytes + torch.cuda.max_memory_reserved() - before)
        self._held_bytes += torch.cuda.memory_reserved() - before
        return Result(value, seconds, cpu_seconds, self._peak_bytes, self._peak_bytes)


@contextmanager
def open_worker(
    device: str, build: Callable[..., Callable[..., Any]], *arguments: Any
) -> Iterator[Worker | LocalWorker]:
    """A worker for a function that computes on ``device`` (``cpu`` or ``cuda``). Raises ``WorkerError``."""
    with LocalWorker(build, *arguments) if device == "cuda" else Worker(build, *arguments) as worker:
        yield worker


def run_in_process(function: Callable[..., Any], *arguments: Any) -> Result:
    """Calls ``function`` once in a new process, which then ends. Raises ``WorkerError`` if the call fails."""
    with Worker(_identity, function) as worker:
        return worker.call(*arguments)


def _identity(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # any error: the other contenders continue
        raise WorkerError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _serve(connection: Connection, build: Callable[..., Callable[..., Any]], arguments: tuple[Any, ...]) -> None:
    """The main function of a worker process: one build, then one call for each tuple of arguments received.

    Sends a ``Result`` after each of them (its value is ``None`` after the build), or the error as a string and stops.
    """
    os.dup2(2, 1)  # some libraries print to standard output, which may carry the JSON
    options.configure_logging()
    start_bytes = resident_bytes()
    function: Callable[..., Any] = build
    while True:
        started, cpu_started = time.perf_counter(), time.process_time()
        try:
            value = function(*arguments)
        except Exception as error:  # any error: the other contenders continue
            connection.send(_one_line(error))
            return
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        if function is build:
            function, value = value, None
        peak = peak_resident_bytes()
        connection.send(Result(value, seconds, cpu_seconds, peak, peak - start_bytes))
        try:
            arguments = connection.recv()
        except (EOFError, OSError):
            return


def peak_resident_bytes() -> int:
    """The largest RSS of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_bytes() -> int:
    """The RSS of this process now, in bytes; the largest so far on systems without /proc (not Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return peak_resident_bytes()
