"""Two processes that train one model together, on the CPU: the steps and errors of one, and weights that repeat."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from senti_tasks.config import TrainConfig
from senti_tasks.corpus import snapshot
from senti_tasks.errors import ConfigError, TrainingStoppedError
from senti_tasks.hours import Pause
from senti_tasks.progress import Progress
from senti_tasks.training.fine_tuning import train
from senti_tasks.training.loop.checkpoints import folder_for, newest
from senti_tasks.training.loop.interruptions import Interruptions
from senti_tasks.training.loop.sampling import SHARE, PartOfBatch
from senti_tasks.training.processes import launcher
from senti_tasks.training.processes.group import ALONE
from tests import small_training

pytestmark = pytest.mark.usefixtures("one_thread")

EPOCHS = ("epoch 1 of 2", "epoch 2 of 2")


@pytest.fixture(scope="module")
def base(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base model without dropout, so that random numbers change nothing."""
    texts = list(snapshot.load(corpus_folder)["train"]["text"])
    return small_training.save_base_model(texts, tmp_path_factory.mktemp("base"), dropout=0.0)


@pytest.fixture(scope="module")
def config() -> TrainConfig:
    return replace(small_training.config(epochs=2), dropout=0.0)


def test_two_processes_take_the_steps_of_one_also_when_stopped_in_between(
    corpus_folder: Path, base: str, config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """60 reviews in batches of 8: the last batch of an epoch has 4. The first attempt stops after its first step."""
    reported: dict[str, list[dict[str, Any]]] = {"one": [], "two": []}

    def run(name: str, processes: str, **more: Any) -> dict[str, Any]:
        places = (tmp_path / name / "checkpoints", tmp_path / name / "output", reported[name].append)
        return train(corpus_folder, base, config, *places, device="cpu", processes=processes, **more)

    one = run("one", "1")
    now = datetime.now(UTC)
    pause = Pause(now, now + timedelta(hours=3))
    with pytest.raises(TrainingStoppedError, match="a checkpoint was saved after step 1 of 16") as stopped:
        run("two", "2", interruptions=Interruptions(pause=pause))
    assert stopped.value.retry_at == pause.end
    (folder,) = (tmp_path / "two" / "checkpoints").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-1", "seconds.json"], "or files are left over"

    caplog.set_level("INFO", logger="senti_tasks")
    caplog.clear()  # a test before this one may have set another level
    two = run("two", "2")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("senti_tasks")]
    lines = [line for line in lines if Progress.parse(line) is None]
    assert [line.partition(":")[0] for line in lines] == [f"resuming from {folder / 'checkpoint-1'}", *EPOCHS]
    assert (one["processes"], two["processes"]) == (1, 2)
    assert (one["steps"], one["validation"]["rows"]) == (two["steps"], two["validation"]["rows"]) == (16, 20)
    assert len(reported["two"]) == 2
    for alone, together in zip(reported["one"], reported["two"], strict=True):
        if together["epoch"] == 1:  # after a resumption, the Trainer's mean covers the remaining steps
            together["train_loss"] = alone["train_loss"]
        assert together == pytest.approx(alone, rel=1e-3)
    files = [{path.name: path for path in (tmp_path / name / "output").iterdir()} for name in ("one", "two")]
    assert files[0].keys() == files[1].keys()
    weights = [load_file(paths["model.safetensors"])["classifier.weight"] for paths in files]
    # Only the head: AdamW enlarges the rounding of gradients that are almost 0, as those of the keys' biases are.
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-2, atol=1e-3)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint-8"
    folder.mkdir()
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state_0.pth"):
        (folder / name).touch()
    (folder / "trainer_state.json").write_text('{"global_step": 8}', encoding="utf-8")
    return folder


def test_a_checkpoint_is_complete_with_the_random_state_of_each_process(checkpoint: Path) -> None:
    (checkpoint / "rng_state_1.pth").touch()
    assert newest(checkpoint.parent, processes=2) == checkpoint
    (checkpoint / "rng_state_1.pth").unlink()
    assert newest(checkpoint.parent, processes=2) is None


def test_another_number_of_processes_is_another_training(
    corpus_folder: Path, config: TrainConfig, tmp_path: Path
) -> None:
    folders = {folder_for(tmp_path, corpus_folder, "base", None, config, processes=number) for number in (1, 2, 4)}
    assert len(folders) == 3
    assert folder_for(tmp_path, corpus_folder, "base", None, config) in folders


@pytest.mark.parametrize("rows", [8, 5, 1])
def test_the_weighted_mean_of_the_parts_is_the_mean_of_the_batch(rows: int) -> None:
    batch = [float(number) for number in range(10, 10 + rows)]
    parts = [PartOfBatch(lambda part: {"mean": sum(part) / len(part)}, rank, 3)(batch) for rank in range(3)]
    assert sum(part["mean"] * part[SHARE] for part in parts) / 3 == pytest.approx(sum(batch) / rows)


def test_a_batch_that_cannot_be_divided_is_refused_before_any_process_starts(
    corpus_folder: Path, config: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"SENTI_TRAINING_PROCESSES is 3, and batch_size is 8: expected a batch that"):
        train(corpus_folder, "scratch:tiny", config, tmp_path, tmp_path / "output", device="cpu", processes="3")
    assert not list(tmp_path.iterdir())


def test_auto_is_one_process_on_a_cpu_and_for_a_small_model_one_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launcher.number_of_processes("auto", "cpu", 8) == 1
    for threads, batch_size, processes in ((2, 16, 1), (2, 32, 2), (8, 64, 4), (3, 64, 2), (1, 64, 1), (4, 7, 1)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert launcher.number_of_processes("auto", "cpu", batch_size, is_small=True) == processes
        assert launcher.number_of_processes("auto", "cpu", batch_size) == 1
    assert launcher.number_of_processes("4", "cpu", 8) == 4


def test_one_process_is_this_one() -> None:
    def found(group: Any, report: Any, number: int) -> tuple[Any, ...]:
        return group, report, number

    assert launcher.run(found, {"number": 3}, processes=1, device="cpu", folder=Path("nowhere"), report=None) == (
        ALONE,
        None,
        3,
    )
