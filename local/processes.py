"""Processes that belong together: all that inherit one variable of their environment, whoever started them."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil


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
