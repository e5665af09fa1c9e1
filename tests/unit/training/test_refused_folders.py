"""A model folder that names code for a loader to run is refused before any loader sees it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import pytest
from transformers import PreTrainedTokenizerFast

from local import sample
from senti_tasks.config import TrainConfig
from senti_tasks.errors import ArtifactError, BaseModelError
from senti_tasks.scoring import loading
from senti_tasks.training import base_models
from tests.situations import SAMPLE_ROWS, build_model

CODE = """
from pathlib import Path
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, PreTrainedTokenizerFast
Path({mark!r}).write_text("the code has run")
class Configuration(BertConfig):
    model_type = {model_type!r}
class Classifier(BertForSequenceClassification):
    config_class = Configuration
class Predictor(BertForMaskedLM):
    config_class = Configuration
class Tokenizer(PreTrainedTokenizerFast):
    pass
"""
MODEL = {
    "AutoConfig": "attack.Configuration",
    "AutoModelForSequenceClassification": "attack.Classifier",
    "AutoModelForMaskedLM": "attack.Predictor",
}
TOKENIZER = {"AutoTokenizer": [None, "attack.Tokenizer"]}
MODEL_TYPES = ("bert", "unheard-of")


def tokenizer_of(folder: Path) -> Any:
    tokenizer_class: Any = PreTrainedTokenizerFast
    return tokenizer_class(tokenizer_file=str(folder / "tokenizer.json"))


def as_tokenizer(folder: Path) -> None:
    base_models.load_tokenizer(str(folder), ["房间很好"])


def as_base_model(folder: Path) -> None:
    base_models.load_classifier(str(folder), tokenizer_of(folder), TrainConfig())


def as_masked_language_model(folder: Path) -> None:
    base_models.load_masked_language_model(str(folder), tokenizer_of(folder), seed=1)


def as_scorer(folder: Path) -> None:
    loading.load(folder, device="cpu")


def as_variant(folder: Path) -> None:
    loading.load_classifier(folder)


LOADERS = (as_tokenizer, as_base_model, as_masked_language_model, as_scorer, as_variant)


def without_terminal() -> TextIO:
    return Path(os.devnull).open(encoding="utf-8")


def terminal_with_a_yes() -> TextIO:
    """A terminal at which somebody has typed y, to whatever is asked."""
    controlling, controlled = os.openpty()
    os.write(controlling, b"y\n" * 20)
    return os.fdopen(controlled, encoding="utf-8")


def pipe_of_yes() -> TextIO:
    """The end of ``yes |``."""
    reading, writing = os.pipe()
    os.write(writing, b"y\n" * 1000)
    os.close(writing)
    return os.fdopen(reading, encoding="utf-8")


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **fields}), "utf-8")


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that the code of the model folder writes."""
    return tmp_path / "mark"


@pytest.fixture(params=MODEL_TYPES)
def folder(request: pytest.FixtureRequest, tmp_path: Path, mark: Path) -> Path:
    folder = build_model(tmp_path / "model")
    (folder / "attack.py").write_text(CODE.format(mark=str(mark), model_type=request.param), "utf-8")
    change(folder / "config.json", model_type=request.param)
    return folder


@pytest.mark.parametrize("stdin", [without_terminal, terminal_with_a_yes, pipe_of_yes])
@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("names", ["model", "tokenizer", "both"])
def test_no_loader_runs_it_whatever_is_typed(
    names: str,
    load: Callable[[Path], None],
    stdin: Callable[[], TextIO],
    folder: Path,
    mark: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if names in ("model", "both"):
        change(folder / "config.json", auto_map=MODEL)
    if names in ("tokenizer", "both"):
        change(folder / "tokenizer_config.json", auto_map=TOKENIZER)
    with stdin() as answers:
        monkeypatch.setattr(sys, "stdin", answers)
        with pytest.raises((BaseModelError, ArtifactError), match="auto_map"):
            load(folder)
    assert not mark.exists()


@pytest.mark.parametrize("folder", ["unheard-of"], indirect=True)
def test_yes_on_the_command_line_runs_nothing(folder: Path, mark: Path, bare_home: Path) -> None:
    change(folder / "config.json", auto_map=MODEL)
    change(folder / "tokenizer_config.json", auto_map=TOKENIZER)
    senti = f"{sys.executable} -m senti_tasks"
    reviews = sample.write(bare_home / "sample.csv", SAMPLE_ROWS)
    script = f"{senti} migrate && {senti} import {reviews} && yes | {senti} retrain --base-model {folder}"
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=bare_home)
    assert found.returncode == 1
    assert "auto_map" in found.stderr.splitlines()[-1]
    assert not mark.exists()
