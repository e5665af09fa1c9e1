"""A folder to a scorer: every variant, every architecture, and what to do when it cannot be."""

import json
import logging
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
)

from senti_tasks.errors import ArtifactError, ConfigError
from senti_tasks.scoring import devices, loading, token_budget
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.scoring.engines import bert_weights
from senti_tasks.scoring.engines.bert import Bert
from senti_tasks.scoring.engines.on_openvino import convert
from tests.situations import MODEL_LENGTH, PHRASES

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")  # it is how OpenVINO converts

TEXTS = ["".join(PHRASES[start * step % 12] for step in range(1, 2 + start % 4)) for start in range(120)]


@pytest.fixture
def copied(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


@pytest.fixture(scope="module")
def in_openvino(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier as an int8 variant is laid out, with the weights as they were: quantising is another matter."""
    folder = Path(shutil.copytree(model_folder, tmp_path_factory.mktemp("variants") / "int8"))
    openvino.save_model(
        convert(loading.load_classifier(model_folder)), folder / "openvino_model.xml", compress_to_fp16=False
    )
    (folder / "model.safetensors").unlink()
    return folder


def probabilities_of_transformers(folder: Path) -> np.ndarray:
    """By the book: the saved tokenizer, a padded batch, a softmax."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = tokenizer(TEXTS, padding=True, truncation=True, max_length=MODEL_LENGTH, return_tensors="pt")
    with torch.inference_mode():
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    probabilities: np.ndarray = torch.softmax(logits, dim=-1).numpy()
    return probabilities


# Architectures


def bert(**fields: Any) -> Any:
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    return BertForSequenceClassification(BertConfig(**shape, **fields))


def bert_with_relu(**fields: Any) -> Any:
    return bert(hidden_act="relu", **fields)


def electra(**fields: Any) -> Any:
    shape: dict[str, Any] = {"embedding_size": 16, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return ElectraForSequenceClassification(ElectraConfig(**shape, intermediate_size=64, **fields))


def distilbert(**fields: Any) -> Any:
    shape: dict[str, Any] = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    return DistilBertForSequenceClassification(DistilBertConfig(**shape, **fields))


@pytest.mark.parametrize("n_labels", [2, 5])
@pytest.mark.parametrize("model_of", [bert, bert_with_relu, electra, distilbert])
def test_any_classifier_gets_the_probabilities_of_transformers(
    model_of: Callable[..., Any], n_labels: int, model_folder: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    with torch.random.fork_rng():
        torch.manual_seed(2026)
        model = model_of(
            vocab_size=len(tokenizer),
            max_position_embeddings=MODEL_LENGTH,
            pad_token_id=tokenizer.pad_token_id,
            num_labels=n_labels,
            initializer_range=0.3,
        )
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    scorer = loading.load(tmp_path, "fp32", "cpu")
    found = scorer.predict(TEXTS).complete
    assert scorer.n_labels == n_labels
    assert len(np.unique(found.round(3), axis=0)) > 10
    np.testing.assert_allclose(found, probabilities_of_transformers(tmp_path), atol=1e-4)


# Forms


def test_bf16_gives_the_labels_of_fp32_where_the_model_is_sure(model_folder: Path, tmp_path: Path) -> None:
    loading.load_classifier(model_folder).to(torch.bfloat16).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))["dtype"] == "bfloat16"
    fp32 = loading.load(model_folder, "fp32", "cpu").predict(TEXTS)
    bf16 = loading.load(tmp_path, "bf16", "cpu").predict(TEXTS)
    sure = np.abs(fp32.scores - 0.5) > 0.05
    assert sure.sum() > len(TEXTS) // 2
    assert bf16.labels[sure].tolist() == fp32.labels[sure].tolist()
    np.testing.assert_allclose(bf16.scores, fp32.scores, atol=0.05)
    assert bf16.scores.tolist() != fp32.scores.tolist()


@pytest.mark.skipif("BF16" in devices.cpu_capabilities(), reason="this CPU computes in bf16")
def test_bf16_on_a_cpu_without_it_says_that_it_is_no_faster(
    model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        loading.load(model_folder, "bf16", "cpu")
    assert "this CPU does not compute in bf16" in caplog.text


def test_int8_gives_the_probabilities_it_was_built_from(model_folder: Path, in_openvino: Path) -> None:
    scorer = loading.load(in_openvino, "int8", "cpu")
    exactness = 0.05 if "BF16" in devices.cpu_capabilities() else 1e-4
    np.testing.assert_allclose(
        scorer.predict(TEXTS).complete,
        loading.load(model_folder, "fp32", "cpu").predict(TEXTS).complete,
        atol=exactness,
    )
    assert scorer.n_labels == 2


def test_a_loaded_scorer_reads_the_chunks_it_is_configured_for(model_folder: Path) -> None:
    assert loading.load(model_folder, "fp32", "cpu", ScoreConfig(chunk_rows=77)).chunk_rows == 77


def test_a_loaded_scorer_keeps_what_a_probe_found_under_device_variant_and_size(
    model_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token_budgets.json"
    for _ in range(2):
        scorer = loading.load(model_folder, "fp32", "cpu", probe_file=file)
        with caplog.at_level(logging.INFO):
            list(scorer.stream([("", TEXTS)], expected=1_000_000))
    ((key, budget),) = json.loads(file.read_text("utf-8")).items()
    assert key == f"{devices.description(torch.device('cpu'))}, fp32, 1x32x64"
    assert budget == token_budget.stored(file, key)
    assert caplog.text.count("are the fastest here") == 1


def test_a_configured_budget_is_not_probed_for(model_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "token_budgets.json"
    scorer = loading.load(model_folder, "fp32", "cpu", ScoreConfig(token_budget=512), probe_file=file)
    list(scorer.stream([("", TEXTS)], expected=1_000_000))
    assert not file.exists()


# What cannot be


@pytest.mark.parametrize("variant", ["fp16", "int4", "FP32", "", "auto"])
def test_an_unknown_variant_is_refused(variant: str, model_folder: Path) -> None:
    with pytest.raises(ConfigError, match=f"the variant of a model is one of fp32, bf16, int8, found {variant!r}"):
        loading.load(model_folder, variant, "cpu")


def test_int8_on_a_gpu_is_refused(in_openvino: Path) -> None:
    with pytest.raises(ConfigError, match="int8 runs on a CPU: set SENTI_DEVICE to cpu or auto here, or SENTI_VARIANT"):
        loading.load(in_openvino, "int8", "cuda")


@pytest.mark.parametrize("variant", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("device", ["gpu", "cuda:1", ""])
def test_an_unknown_device_is_refused_for_every_variant(device: str, variant: str, in_openvino: Path) -> None:
    with pytest.raises(ConfigError, match=r"SENTI_DEVICE must be auto, cpu or cuda "):
        loading.load(in_openvino, variant, device)


@pytest.mark.parametrize("variant", ["fp32", "bf16", "int8"])
def test_a_folder_that_is_not_there_is_no_model(variant: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nowhere is no model folder: .*; expected what save_pretrained writes"):
        loading.load(tmp_path / "nowhere", variant, "cpu")


@pytest.mark.parametrize("variant", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("lost", ["tokenizer.json", "tokenizer_config.json", "config.json"])
def test_a_folder_that_lacks_a_file_is_refused(lost: str, variant: str, copied: Path) -> None:
    (copied / lost).unlink()
    with pytest.raises(ArtifactError, match=r"is no model folder"):
        loading.load(copied, variant, "cpu")


@pytest.mark.parametrize("variant", ["fp32", "bf16"])
def test_a_folder_without_weights_is_refused(variant: str, copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"holds no classifier that can be loaded"):
        loading.load(copied, variant, "cpu")


def test_a_pickle_is_not_loaded(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(ArtifactError, match=r"holds no classifier that can be loaded"):
        loading.load(copied, "fp32", "cpu")


@pytest.mark.parametrize("share", [0, 0.5])
def test_weights_that_break_off_are_refused(share: float, copied: Path) -> None:
    weights = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(weights[: int(share * len(weights))])
    with pytest.raises(ArtifactError, match=r"holds no classifier that can be loaded"):
        loading.load(copied, "fp32", "cpu")


def test_weights_of_another_size_than_the_configuration_are_refused(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text("utf-8"))
    (copied / "config.json").write_text(json.dumps({**config, "hidden_size": 64}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"holds no classifier that can be loaded"):
        loading.load(copied, "fp32", "cpu")


def test_a_bert_is_read_without_transformers_to_the_same_bits(model_folder: Path) -> None:
    found = bert_weights.read(model_folder)
    assert found is not None
    n_labels, light = found
    full = Bert(loading.load_classifier(model_folder))
    assert n_labels == 2
    assert light.state_dict().keys() == full.state_dict().keys()
    for name, weight in full.state_dict().items():
        assert torch.equal(light.state_dict()[name], weight), name
    assert [layer.norm.eps for layer in (light, full)] == [light.norm.eps] * 2


def test_predicting_with_a_bert_imports_no_model_of_transformers(model_folder: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from senti_tasks.scoring import loading
print(loading.load(Path({str(model_folder)!r}), "fp32", "cpu").predict(["很好"]).labels.tolist())
sys.exit("transformers" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "field", ["vocab_size", "num_hidden_layers", "max_position_embeddings", "hidden_act", "id2label"]
)
def test_what_does_not_fit_is_left_to_transformers(field: str, copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text("utf-8"))
    other = {"hidden_act": "relu", "id2label": {"0": "a", "1": "b", "2": "c"}}.get(field, 9)
    (copied / "config.json").write_text(json.dumps({**config, field: other}), encoding="utf-8")
    assert bert_weights.read(copied) is None


def test_an_encoder_without_a_classifier_is_refused(model_folder: Path, copied: Path) -> None:
    """Its head would start random, and label by chance."""
    loading.load_classifier(model_folder).bert.save_pretrained(copied)
    with pytest.raises(ArtifactError, match=r"its weights lack classifier\.bias, classifier\.weight"):
        loading.load(copied, "fp32", "cpu")


def test_a_folder_without_an_openvino_model_is_refused(copied: Path) -> None:
    with pytest.raises(ArtifactError, match=r"holds no openvino_model\.xml that OpenVINO can load"):
        loading.load(copied, "int8", "cpu")


@pytest.mark.parametrize("file", ["openvino_model.xml", "openvino_model.bin"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_an_openvino_model_that_breaks_off_is_refused(
    share: float, file: str, in_openvino: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(in_openvino, tmp_path / "int8"))
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ArtifactError, match=r"holds no openvino_model\.xml that OpenVINO can load"):
        loading.load(folder, "int8", "cpu")


# The network


def test_loading_and_scoring_ask_nobody(model_folder: Path, in_openvino: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def refuse(*address: Any) -> None:
        asked.append(address)
        raise OSError("no network here")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for folder, variant in ((model_folder, "fp32"), (model_folder, "bf16"), (in_openvino, "int8")):
        assert loading.load(folder, variant, "cpu").predict(TEXTS).reasons == {}
    assert asked == []
