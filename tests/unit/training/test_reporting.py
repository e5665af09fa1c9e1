"""Figures of a training to MLflow, and nothing of MLflow where nobody asked for it."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from senti_tasks.config import TrainConfig
from senti_tasks.training.fine_tuning import train

ROOT = Path(__file__).parents[3]
ANSWER = """
import mlflow
(run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
print(run.info.status, run.data.params["learning_rate"], run.data.metrics["eval_rows"])
"""


@pytest.mark.usefixtures("small_encoder")
def test_without_being_asked_for_mlflow_is_not_even_imported(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one cannot be: a Trainer left to itself reports to whatever it finds installed."""
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").write_text("raise AssertionError", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    train(corpus_folder, "scratch:tiny", replace(tiny_config, epochs=1), tmp_path / "c", tmp_path / "o", device="cpu")
    assert "mlflow" not in sys.modules


@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed, as it need not be: mlflow-skinny")
def test_a_training_is_a_run_of_mlflow(corpus_folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "OMP_NUM_THREADS": "1"}

    def python(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout

    python("-m", "tests.small_training", str(corpus_folder), str(tmp_path), "3", "mlflow")
    assert python("-c", ANSWER).split() == ["FINISHED", "0.02", "20.0"]
