"""The variants of a model: other numbers, the same labels, and no telemetry."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from senti_tasks.scoring.loading import load
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.training import variants
from tests.situations import PHRASES

ROOT = Path(__file__).parents[3]
TEXTS = ["".join(PHRASES[start * step % 12] for step in range(1, 2 + start % 4)) for start in range(200)]


@pytest.fixture
def fp32(model_folder: Path, one_thread: None) -> Predictions:
    return load(model_folder, "fp32", "cpu").predict(TEXTS)


def labels_of(folder: Path, variant: str) -> Predictions:
    return load(folder, variant, "cpu").predict(TEXTS)


def test_bf16_is_the_same_model_in_half_the_bytes(model_folder: Path, fp32: Predictions, tmp_path: Path) -> None:
    variants.build_bf16(model_folder, tmp_path / "bf16")
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (tmp_path / "bf16", model_folder)]
    assert sizes[0] < 0.6 * sizes[1]
    found = labels_of(tmp_path / "bf16", "bf16")
    assert variants.count_differing(fp32, found) <= 4
    np.testing.assert_allclose(found.scores, fp32.scores, atol=0.05)


def test_int8_gives_the_labels_of_fp32(model_folder: Path, fp32: Predictions, tmp_path: Path) -> None:
    variants.build_int8(model_folder, tmp_path / "int8", TEXTS[:50])
    found = labels_of(tmp_path / "int8", "int8")
    assert variants.count_differing(fp32, found) <= 6
    assert found.scores.tolist() != fp32.scores.tolist(), "it computes otherwise"


def test_int8_can_be_built_under_control_of_its_agreement(
    model_folder: Path, fp32: Predictions, tmp_path: Path
) -> None:
    variants.build_int8_controlled(model_folder, tmp_path / "int8", TEXTS[:50], TEXTS, fp32.labels, 0.98)
    assert variants.count_differing(fp32, labels_of(tmp_path / "int8", "int8")) <= 4


def test_int8_that_saw_one_text_alone_disagrees(model_folder: Path, fp32: Predictions, tmp_path: Path) -> None:
    """Which is what the comparison is for: it cuts off what other texts need."""
    variants.build_int8(model_folder, tmp_path / "int8", ["好"])
    assert variants.count_differing(fp32, labels_of(tmp_path / "int8", "int8")) > 6


def test_a_variant_tokenises_as_the_model_does(model_folder: Path, tmp_path: Path) -> None:
    variants.build_int8(model_folder, tmp_path / "int8", TEXTS[:4])
    long = ["很好" * 1_000]
    assert load(tmp_path / "int8", "int8", "cpu").predict(long).truncated.tolist() == [True]
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        assert (tmp_path / "int8" / name).read_bytes() == (model_folder / name).read_bytes()


def test_labels_that_differ_are_counted() -> None:
    one = Predictions(np.array([[0.9, 0.1], [0.2, 0.8]], np.float32), np.zeros(2, bool))
    other = Predictions(np.array([[0.6, 0.4], [0.7, 0.3]], np.float32), np.zeros(2, bool))
    assert variants.count_differing(one, other) == 1


def test_the_weights_of_bf16_are_those_of_fp32_rounded(model_folder: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file as load_tensors

    variants.build_bf16(model_folder, tmp_path / "bf16")
    rounded = load_tensors(tmp_path / "bf16" / "model.safetensors")
    for name, weight in load_file(model_folder / "model.safetensors").items():
        assert torch.equal(rounded[name], torch.from_numpy(weight).to(torch.bfloat16))


def test_building_and_scoring_every_variant_tells_nobody_anything(model_folder: Path, tmp_path: Path) -> None:
    """In an interpreter of its own, without pytest, which NNCF would notice; an audit hook hears every connection."""
    program = f"""
import sys
heard = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        heard.append(str(arguments))
sys.addaudithook(hook)
from pathlib import Path
from senti_tasks.training import variants
from senti_tasks.scoring.loading import load
model, output = Path({str(model_folder)!r}), Path({str(tmp_path)!r})
variants.build_bf16(model, output / "bf16")
variants.build_int8(model, output / "int8", {TEXTS[:4]!r})
variants.library("int8")
for variant, folder in [("fp32", model), ("bf16", output / "bf16"), ("int8", output / "int8")]:
    load(folder, variant, "cpu").predict({TEXTS[:4]!r})
import threading
for thread in threading.enumerate():
    if thread is not threading.current_thread() and not thread.daemon:
        thread.join(5)
print("HEARD", heard)
"""
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "HEARD []"
    assert len(found.stdout.splitlines()) == 1, "progress bars belong to nobody's output"
