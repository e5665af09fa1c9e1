"""A disk of a test's own that can be filled to its last byte."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NO_ROOM = re.compile(
    r"no room left on the disk of the warehouse at .*: nothing of this transaction was kept; make room"
)
BLOCK = 4_096


class Disk:
    """What is written to its ``folder`` fails while it is full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, leaving: int = 0) -> None:
        """Writes until ``leaving`` bytes are left."""
        with self._ballast.open("ab", buffering=0) as ballast:
            while shutil.disk_usage(self.folder).free > leaving:
                ballast.write(bytes(BLOCK))

    def remount(self, mode: str) -> None:
        """``ro`` as a disk is after a fault, ``rw`` as it is before."""
        subprocess.run(["mount", "-o", f"remount,{mode}", str(self.folder)], check=True)

    def make_room(self) -> None:
        self._ballast.unlink()


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Disk]:
    """A disk in memory at ``folder``; skips the test where this user may mount none."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip(f"no disk can be mounted here: {asked.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
