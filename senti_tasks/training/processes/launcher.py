"""Calls a training function in this process, or in several new ones through torchrun."""

import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import torch

from senti_tasks.errors import ConfigError, TrainingProcessError
from senti_tasks.scoring.devices import device_named
from senti_tasks.training.processes.group import ALONE
from senti_tasks.training.processes.worker import CALL, EVENTS, OUTCOMES, READY, Outcome

log = logging.getLogger(__name__)

_POLL_S = 0.1
_ROWS_EACH = 16  # fewer, and a process spends its time on the overhead of a step
_END_S = 30.0
_OUTPUT = "output.txt"
_SHOWN_LINES = 30
_PREFIX = "processes-"


def number_of_processes(wanted: str, device: str, batch_size: int, *, is_small: bool = False) -> int:
    """How many processes train on ``device`` for a value of SENTI_TRAINING_PROCESSES.

    ``auto`` is one for each GPU, or the next lower number that divides ``batch_size``. On a CPU it is one; for a small
    model (``is_small``) one for each thread of torch, as long as each has ``_ROWS_EACH`` rows of a batch. Raises
    ``ConfigError`` if there are fewer GPUs than wanted, or if ``batch_size`` cannot be divided.
    """
    gpus = torch.cuda.device_count() if device_named(device).type == "cuda" else None
    if wanted == "auto":
        most = gpus or 1
        if gpus is None and is_small:
            most = min(torch.get_num_threads(), batch_size // _ROWS_EACH)
        return next(number for number in range(max(1, most), 0, -1) if batch_size % number == 0)
    processes = int(wanted)
    if gpus is not None and processes > gpus:
        raise ConfigError(
            f"SENTI_TRAINING_PROCESSES is {processes}, and this machine has {gpus} GPU(s) for training: expected "
            "at most one process for each; set it to auto"
        )
    if batch_size % processes:
        raise ConfigError(
            f"SENTI_TRAINING_PROCESSES is {processes}, and batch_size is {batch_size}: expected a batch that can be "
            "divided among the processes; change one of the two, or set SENTI_TRAINING_PROCESSES to auto"
        )
    return processes


def run(
    function: Callable[..., Any],
    arguments: dict[str, Any],
    *,
    processes: int,
    device: str,
    folder: Path,
    report: Callable[[dict[str, Any]], None] | None,
) -> Any:
    """``function(**arguments, report=…, group=…)`` in each of ``processes``; returns the result of process 0.

    ``function`` is a function of a module, and the arguments can be pickled. One process is this one. Several are new
    ones, on one GPU each or on the CPU. A temporary subfolder of ``folder`` is used to exchange data. ``report`` is
    called, and log records are repeated, in this process. SIGTERM and SIGALRM go to process 0. The new processes end
    when this one ends, in whatever way.

    Raises what ``function`` raises if it is a ``SentiError``, and ``TrainingProcessError`` if a process ended in
    another way.
    """
    if processes == 1:
        return function(**arguments, report=report, group=ALONE)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_PREFIX}*"):  # of a killed call
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=folder) as name:
        exchange = Path(name)
        (exchange / CALL).write_bytes(pickle.dumps((device, function, arguments)))
        signals = _Signals(exchange / READY)
        with signals.handled():
            _supervise(exchange, processes, signals, report or (lambda row: None))
        outcomes = [pickle.loads(path.read_bytes()) for path in sorted(exchange.glob(OUTCOMES))]  # noqa: S301  # ours
        result = _result(outcomes, processes, exchange / _OUTPUT, signals)
    signals.repeat(only_undelivered=True)
    return result


class _Signals:
    """Keeps SIGTERM and SIGALRM until process 0 handles them, and passes them on then."""

    def __init__(self, ready_file: Path) -> None:
        self._ready_file = ready_file
        self._received: signal.Signals | None = None
        self._delivered = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Outside the main thread, Python allows no signal handler, and signals keep their usual effect."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in (signal.SIGTERM, signal.SIGALRM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def pass_on(self) -> None:
        if self._received is None or self._delivered:
            return
        with suppress(FileNotFoundError, ProcessLookupError):  # it does not handle signals yet, or no longer
            os.kill(int(self._ready_file.read_text(encoding="utf-8")), self._received)
            self._delivered = True

    def repeat(self, *, only_undelivered: bool = False) -> None:
        """Gives a signal that stopped no training its usual effect."""
        if self._received is not None and not (only_undelivered and self._delivered):
            signal.raise_signal(self._received)

    def _receive(self, number: int, frame: object) -> None:
        self._received, self._delivered = signal.Signals(number), False


def _supervise(exchange: Path, processes: int, signals: _Signals, report: Callable[[dict[str, Any]], None]) -> None:
    """Returns when all processes have ended. If this is interrupted, they end too."""
    with (exchange / _OUTPUT).open("wb") as output, (exchange / EVENTS).open("a+", encoding="utf-8") as events:
        events.seek(0)
        torchrun = subprocess.Popen(  # noqa: S603  # no shell, and no part of it comes from outside
            _command(exchange, processes),
            env=os.environ | _environment(processes),
            stdin=subprocess.PIPE,  # see ``worker``: the processes end when it closes
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for this process, which ends the others
        )
        try:
            ended = False
            while not ended:
                with suppress(subprocess.TimeoutExpired):
                    torchrun.wait(_POLL_S)
                    ended = True
                signals.pass_on()
                for line in _whole_lines(events):
                    _deliver(json.loads(line), report)
        finally:
            if torchrun.stdin:
                torchrun.stdin.close()
            try:
                torchrun.wait(_END_S)
            except subprocess.TimeoutExpired:
                torchrun.kill()
                torchrun.wait()


def _command(exchange: Path, processes: int) -> list[str]:
    torchrun = ["torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={processes}"]
    return [sys.executable, "-m", *torchrun, "-m", "senti_tasks.training.processes.worker", str(exchange)]


def _environment(processes: int) -> dict[str, str]:
    """Each process has a share of the threads. Connections use the loopback interface, so that the name of the machine
    need not resolve. Sums of NCCL have a fixed order (NVIDIA's Megatron-LM demands it in its deterministic mode)."""
    own = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // processes))}
    if sys.platform == "linux":
        own |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    return own | {"NCCL_ALGO": os.environ.get("NCCL_ALGO", "Ring")}


def _whole_lines(file: TextIO) -> Iterator[str]:
    """The lines that are complete since the last call. The rest of a line comes later."""
    while True:
        position = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(position)
            return
        yield line


def _deliver(event: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> None:
    if "report" in event:
        report(event["report"])
        return
    name, level, message = event["log"]
    logging.getLogger(name).log(level, "%s", message)


def _result(outcomes: list[Outcome], processes: int, output: Path, signals: _Signals) -> Any:
    """The result of process 0. Otherwise raises the error of the lowest rank that has one of ours, or else says how the
    first one ended."""
    for outcome in outcomes:
        if outcome.error:
            raise outcome.error
    crashed = sorted((outcome for outcome in outcomes if outcome.crash), key=lambda one: one.ended_at)
    if not crashed and len(outcomes) == processes:
        return outcomes[0].result
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    log.error("the last output of the processes of the training:\n%s", "\n".join(lines[-_SHOWN_LINES:]))
    signals.repeat()
    found = f"process {crashed[0].rank} ended with {crashed[0].crash}" if crashed else "one was killed or did not start"
    raise TrainingProcessError(
        f"expected {processes} processes to train together, and {found}: the last output is in the log; Airflow's "
        "retry continues from the newest checkpoint, and so does the same command; SENTI_TRAINING_PROCESSES=1 trains "
        "in one process"
    )
