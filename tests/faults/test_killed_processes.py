"""Two processes that train one model, and one of them or the job ends: the next call ends with the same weights.

With ``SENTI_FAULTS=1``, some four minutes: each start of two processes imports torch three times.
"""

import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from senti_tasks.config import PretrainConfig
from senti_tasks.corpus import snapshot, unlabelled
from senti_tasks.corpus.near_duplicates import NearDuplicates
from senti_tasks.errors import TrainingProcessError, TrainingStoppedError
from senti_tasks.hours import Pause
from senti_tasks.training.fine_tuning import train
from senti_tasks.training.loop.interruptions import Interruptions
from senti_tasks.training.pretraining import pretrain
from tests import small_training
from tests.made_up_reviews import made_up_reviews, splits_in_turn, write_corpus
from tests.processes import kill_when, start

pytestmark = [
    pytest.mark.skipif(not os.environ.get("SENTI_FAULTS"), reason="SENTI_FAULTS=1: four minutes"),
    pytest.mark.usefixtures("one_thread"),
]

CONFIG = replace(small_training.config(epochs=12), learning_rate=0.005)


def run(corpus: Path, base: str, folder: Path, report: Any = None) -> dict[str, Any]:
    places = (folder / "checkpoints", folder / "output", report)
    return train(corpus, base, CONFIG, *places, device="cpu", processes="2")


def processes_of(folder: Path) -> dict[int, int]:
    """Process id of each living process of a training in ``folder``, by rank."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            variables = dict(part.partition(b"=")[::2] for part in (entry / "environ").read_bytes().split(b"\0"))
        except OSError:  # it has ended
            continue
        if b"senti_tasks.training.processes.worker" in command and any(
            part.startswith(bytes(folder) + b"/") for part in command
        ):
            found[int(variables.get(b"RANK", b"-1"))] = int(entry.name)
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="it finds processes in /proc")
def test_a_training_of_two_processes_repeats_bit_for_bit_whatever_ends_it(tmp_path: Path) -> None:
    """SIGTERM to the job; SIGKILL of process 1; SIGKILL of the job."""
    examples, dropped = snapshot.clean(made_up_reviews(100))
    corpus = write_corpus(examples, splits_in_turn(examples), dropped, tmp_path / "first")
    texts = list(snapshot.load(corpus)["train"]["text"])
    base = small_training.save_base_model(texts, tmp_path / "base", dropout=0.1)
    whole = run(corpus, base, tmp_path / "whole")

    def checked(folder: Path) -> None:
        resumed = run(corpus, base, folder)
        assert resumed["weights_digest"] == whole["weights_digest"]
        assert resumed["validation"] == whole["validation"]
        assert not processes_of(folder)

    stopped = tmp_path / "stopped"

    def terminate(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingStoppedError, match=r"the training was stopped by SIGTERM after step \d+ of 96: clear"):
        run(corpus, base, stopped, terminate)
    assert signal.getsignal(signal.SIGTERM) is before
    checked(stopped)

    broken = tmp_path / "broken"

    def kill(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            os.kill(processes_of(broken)[1], signal.SIGKILL)

    with pytest.raises(TrainingProcessError, match="expected 2 processes to train together, and"):
        run(corpus, base, broken, kill)
    assert not processes_of(broken)
    checked(broken)

    killed = tmp_path / "killed"
    job = start("tests.faults.test_killed_processes", str(corpus), base, str(killed))
    kill_when(job, lambda: bool(list(killed.glob("checkpoints/*/checkpoint-*/trainer_state.json"))))
    checked(killed)


def test_a_pretraining_in_two_processes_repeats_bit_for_bit_when_it_was_stopped(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    selection = unlabelled.Selection(NearDuplicates(), 10**6)
    selection.offer([(review.review_id, review.text) for review in made_up_reviews(200)], lambda keys: {})
    unlabelled.write(selection, texts)
    config = PretrainConfig.for_base_model("scratch:tiny", {"epochs": 2, "batch_size": 8, "held_out_share": 0.1})

    def run(name: str, **more: Any) -> dict[str, Any]:
        places = (tmp_path / name / "checkpoints", tmp_path / name / "output")
        return pretrain(texts, "scratch:tiny", config, *places, device="cpu", processes="2", **more)

    whole = run("whole")
    now = datetime.now(UTC)
    with pytest.raises(TrainingStoppedError, match="saved after step 1 of"):
        run("stopped", interruptions=Interruptions(pause=Pause(now, now + timedelta(hours=1))))
    assert run("stopped")["history"] == whole["history"]
    weights = [(tmp_path / name / "output" / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert weights[0] == weights[1]


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
