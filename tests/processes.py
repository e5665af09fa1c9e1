"""Our programs as processes of their own, which can be killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEADLINE_S = 120


def start(module: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def kill_when(process: "subprocess.Popen[str]", happened: Callable[[], bool]) -> None:
    """SIGKILL as soon as ``happened``; fails when the process ends before."""
    for _ in range(DEADLINE_S * 20):
        if happened():
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            raise AssertionError(f"it ended before it could be killed: {process.communicate()[0]}")
    raise AssertionError("nothing happened")
