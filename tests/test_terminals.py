"""What the command line writes to terminals and pipes of every kind: it never fails, and never undoes what it did."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from sqlalchemy import Engine

from senti_tasks.warehouse.schema import reviews
from tests.situations import count, on_sqlite

pytestmark = on_sqlite
SENTI = [sys.executable, "-m", "senti_tasks"]
ROWS = 3_000


@pytest.fixture
def file(home: Path) -> Path:
    """More reviews with a refused row each than a pipe holds, and with characters that GBK has not."""
    found = home / "reviews🦜.csv"
    found.write_text("review,city\n" + "很好🦜,北京\n" * ROWS, "utf-8")
    return found


def run(shell: str, home: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    settings = {**os.environ, "SENTI_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1]), **environment}
    command = ["bash", "-o", "pipefail", "-c", shell.replace("SENTI", " ".join(SENTI))]
    return subprocess.run(command, env=settings, capture_output=True, check=False)


@pytest.mark.parametrize("encoding", ["gbk", "ascii", "gbk:strict", "latin-1"])
def test_a_terminal_without_the_glyph_gets_an_escape(encoding: str, engine: Engine, file: Path, home: Path) -> None:
    found = run(f"SENTI import '{file}'", home, PYTHONIOENCODING=encoding)
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"\\U0001f99c" in found.stdout
    assert count(engine, reviews) == ROWS
    found = run("SENTI import 'nothing🦜.csv'", home, PYTHONIOENCODING=encoding)
    assert (found.returncode, b"Traceback" in found.stderr) == (1, False)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_a_closed_stream_is_none(closed: str, engine: Engine, file: Path, home: Path) -> None:
    found = run(f"SENTI import '{file}' {closed}", home)
    assert (found.returncode, found.stderr) == (0, b"")
    assert count(engine, reviews) == ROWS


@pytest.mark.parametrize("options", ["", "--json"])
def test_a_reader_that_goes_away_ends_nothing(options: str, engine: Engine, file: Path, home: Path) -> None:
    copy = home / "more.csv"
    copy.write_text("review\n" + "太差\n" * ROWS, "utf-8")
    found = run(f"SENTI import '{file}' '{copy}' {options} | true", home)
    assert (found.returncode, found.stderr) == (0, b"")
    assert count(engine, reviews) == 2 * ROWS


def test_a_result_can_be_read_by_a_program_in_every_encoding(engine: Engine, file: Path, home: Path) -> None:
    found: Any = json.loads(run(f"SENTI import '{file}' --json", home, PYTHONIOENCODING="utf-8").stdout)
    assert found["imported"] == ROWS


def in_a_terminal(command: str, home: Path, columns: int, **environment: str) -> str:
    """What ``senti COMMAND`` writes to a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    settings = {**os.environ, "SENTI_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1]), "TERM": "xterm"}
    settings = {name: value for name, value in settings.items() if name not in ("NO_COLOR", "COLUMNS")} | environment
    with subprocess.Popen([*SENTI, *command.split()], env=settings, stdin=slave, stdout=slave, stderr=slave):
        os.close(slave)
        written = b""
        with suppress(OSError):  # Linux reports the end of a terminal as an error
            while part := os.read(master, 65_536):
                written += part
    os.close(master)
    return written.decode()


def visible(written: str) -> list[str]:
    """The lines without the sequences for colours."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written).splitlines()


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", ["status", "models list", "models show 2026-11-02-tiny", "--help"])
def test_every_line_fits_the_terminal(command: str, columns: int, champion: str, home: Path) -> None:
    command = command.replace("2026-11-02-tiny", champion)
    lines = visible(in_a_terminal(command, home, columns))
    assert max(map(cell_len, lines)) <= columns, "\n".join(lines)
    assert not [line for line in lines if "…" in line], "no heading, name or number is cut"


def test_status_is_a_dashboard_on_a_terminal_and_lines_elsewhere(champion: str, home: Path) -> None:
    shown = in_a_terminal("status", home, 80)
    assert all(title in shown for title in ("─ reviews ─", "─ models ─", "─ last runs ─", champion))
    piped = run("SENTI status", home).stdout.decode()
    assert "0 reviews, 0 labelled by people, 0 pending" in piped
    assert "─" not in piped
    assert "\x1b" not in piped


def test_no_color_is_obeyed(champion: str, home: Path) -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-9]")
    assert coloured.search(in_a_terminal("models list", home, 80))
    assert not coloured.search(in_a_terminal("models list", home, 80, NO_COLOR="1"))
