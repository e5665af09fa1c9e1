"""One of the processes of a training: ``python -m senti_tasks.training.processes.worker FOLDER``, under torchrun.

It calls the function that the launcher has left in the folder, and leaves what came of it there.
"""

import json
import logging
import os
import pickle
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist

from senti_tasks.errors import SentiError, TrainingStoppedError
from senti_tasks.training.processes.group import join

CALL, EVENTS, READY, OUTCOMES = "call.pickle", "events.jsonl", "process-0.pid", "outcome-*.pickle"
"""Names in the folder: the call, reports and log records of process 0, its id, and the outcome of each process."""


@dataclass(frozen=True)
class Outcome:
    """What came of the call in one process."""

    rank: int
    ended_at: float
    """Seconds since 1970."""
    result: Any = None
    error: SentiError | None = None
    crash: str = ""
    """The last line of any other error."""


class _Events(logging.Handler):
    """Appends reports and log records to a file, a line for each."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file.open("a", encoding="utf-8", buffering=1)

    def report(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps({"report": row}) + "\n")

    def emit(self, record: logging.LogRecord) -> None:
        self._file.write(json.dumps({"log": [record.name, record.levelno, record.getMessage()]}) + "\n")


def main(folder: Path) -> int:
    """Returns the exit status. After an error that only this process may have, 1: torchrun then ends the others."""
    threading.Thread(target=_end_with_the_launcher, daemon=True).start()
    rank = int(os.environ["RANK"])
    events = None
    if rank == 0:
        events = _Events(folder / EVENTS)
        logging.basicConfig(level=logging.INFO, handlers=[events])
    try:
        outcome = Outcome(rank, time.time(), result=_called(folder, events))
    except SentiError as error:
        outcome = Outcome(rank, time.time(), error=error)
    except Exception as error:
        traceback.print_exc()
        crash = traceback.format_exception_only(error)[-1].strip()
        outcome = Outcome(rank, time.time(), crash=crash)
    partial = folder / f"outcome-{rank}.partial"
    partial.write_bytes(pickle.dumps(outcome))
    partial.replace(partial.with_suffix(".pickle"))
    stopped_together = isinstance(outcome.error, TrainingStoppedError)
    failed = bool(outcome.crash or outcome.error) and not stopped_together
    if dist.is_initialized() and not failed:
        dist.destroy_process_group()
    return int(failed)


def _called(folder: Path, events: _Events | None) -> Any:
    with (folder / CALL).open("rb") as file:
        device, function, arguments = pickle.load(file)  # noqa: S301  # the launcher wrote it, in a folder of its own
    group = join(device, folder / READY)
    group.wait()
    if group.rank == 0:
        (folder / CALL).unlink()  # it holds reviews, as token ids: no kill may leave it behind
    return function(**arguments, report=events.report if events else None, group=group)


def _end_with_the_launcher() -> None:
    """Standard input is a pipe whose other end only the launcher holds: it closes when that ends, also by SIGKILL. A
    retry may then begin at once, and no process of this training may write beside it."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    # The launcher unpickles the class as a member of this module, which runs under another name here.
    from senti_tasks.training.processes import worker

    sys.exit(worker.main(Path(sys.argv[1])))
