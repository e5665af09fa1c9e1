"""A training that dies in the middle: the next call goes on, and ends with the weights of one that never died."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from senti_tasks.artifacts import weights_digest
from senti_tasks.corpus import snapshot
from senti_tasks.training import base_names, fine_tuning
from tests import small_training
from tests.made_up_reviews import made_up_reviews, splits_in_turn, write_corpus
from tests.processes import kill_when, start

EPOCHS = 15
STEPS = 8  # an epoch, of 60 reviews


def checkpoints(folder: Path) -> list[Path]:
    """The whole ones: the Trainer's state is written last."""
    return [state.parent for state in folder.glob("checkpoints/*/checkpoint-*/trainer_state.json")]


def test_a_killed_training_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setitem(base_names.SCRATCH, "scratch:tiny", small_training.SHAPE)
    examples, dropped = snapshot.clean(made_up_reviews(100))
    corpus = write_corpus(examples, splits_in_turn(examples), dropped, tmp_path / "first")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    kill_when(start("tests.small_training", str(corpus), str(killed), str(EPOCHS)), lambda: bool(checkpoints(killed)))
    steps = max(int(checkpoint.name.removeprefix("checkpoint-")) for checkpoint in checkpoints(killed))
    assert 0 < steps < STEPS * EPOCHS, "it was not killed in the middle"
    assert not (killed / "output").exists()

    def run(folder: Path, report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        places = (folder / "checkpoints", folder / "output")
        return fine_tuning.train(corpus, "scratch:tiny", small_training.config(EPOCHS), *places, report, device="cpu")

    trained: list[int] = []
    resumed = run(killed, lambda row: trained.append(row["epoch"]))
    assert trained == list(range(steps // STEPS + 1, EPOCHS + 1)), "it did not go on from its checkpoint"
    uninterrupted = run(whole, lambda row: None)
    assert resumed["history"] == uninterrupted["history"]
    assert resumed["weights_digest"] == uninterrupted["weights_digest"] == weights_digest(killed / "output")
