"""`make run` and `make up`, ended by Ctrl-C or SIGTERM, leave nothing running, and no traceback."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from local import processes
from local.airflow import HOME_VARIABLE
from tests.processes import ROOT
from tests.stacks import sleep_until


@pytest.mark.parametrize(
    ("module", "sent", "status"),
    [("local.demo", signal.SIGINT, 1), ("local.demo", signal.SIGTERM, 1), ("local.up", signal.SIGTERM, 0)],
)
def test_a_signal_ends_everything(module: str, sent: signal.Signals, status: int, bare_home: Path) -> None:
    subprocess.run([sys.executable, "-m", "senti_tasks", "migrate"], check=True, capture_output=True)
    output = bare_home / "output"
    with output.open("wb") as file:
        # a shell without job control has its background jobs, perhaps these tests, ignore SIGINT
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=os.environ,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
    home = str(bare_home / "var" / "airflow")
    sleep_until(lambda: processes.marked(HOME_VARIABLE, home), 240)
    process.send_signal(sent)
    assert process.wait(180) == status
    assert processes.marked(HOME_VARIABLE, home) == []
    written = output.read_text("utf-8")
    assert "Traceback" not in written
    assert "top" in written.splitlines()[-1], "it says that it stopped"


def test_the_sample_is_not_mixed_with_reviews_of_ones_own(bare_home: Path) -> None:
    own = bare_home / "own.csv"
    own.write_text("review,label\n很好,1\n太差,0\n", "utf-8")
    for arguments in (["migrate"], ["import", str(own)]):
        subprocess.run([sys.executable, "-m", "senti_tasks", *arguments], check=True, capture_output=True)
    done = subprocess.run([sys.executable, "-m", "local.demo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "holds 2 reviews of your own" in done.stderr
