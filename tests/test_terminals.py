"""What the command line writes to terminals and pipes of every kind: it never fails, and never undoes what it did."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
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
