import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForMaskedLM,
)

from senti_tasks.config import TrainConfig
from senti_tasks.errors import BaseModelError
from senti_tasks.training.base_models import load_classifier, load_tokenizer
from senti_tasks.training.base_names import SCRATCH, describe, revision_of
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXTS = ["房间很好 wifi 很好"] * 5
SHAPE: dict[str, Any] = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
FIVE_LABELS: dict[str, Any] = {"num_labels": 5}
CONFIG = TrainConfig(dropout=0.25)


class Hub(BaseHTTPRequestHandler):
    """What the Hugging Face Hub's API and files look like: models are folders below ``root``."""

    def __init__(self, root: Path, *request: Any) -> None:
        self.root = root
        super().__init__(*request)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/api/models/"):
            name = "/".join(path.split("/")[3:5])
            if not (self.root / name).is_dir():
                self.answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
            elif path.endswith((name, f"{name}/revision/{COMMIT}")):
                self.answer(200, json.dumps({"id": name, "sha": COMMIT, "siblings": []}).encode())
            elif path.endswith(f"{name}/tree/{COMMIT}"):
                sizes = {one.name: one.stat().st_size for one in (self.root / name).iterdir()}
                tree = [{"type": "file", "path": file, "size": size, "oid": file} for file, size in sizes.items()]
                self.answer(200, json.dumps(tree).encode())
            else:
                self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        name, _, rest = path.removeprefix("/").partition("/resolve/")
        commit, _, file = rest.partition("/")
        if commit != COMMIT:
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif not (self.root / name / file).is_file():
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            self.answer(200, (self.root / name / file).read_bytes(), {"X-Repo-Commit": COMMIT, "ETag": f'"{file}"'})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for header, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *message: object) -> None:
        """Quiet."""


def save_encoder(folder: Path) -> Path:
    """A pretrained encoder as a hub has it: no classification head, a tokenizer without a length."""
    tokenizer = build_tokenizer(TEXTS, 10**30)
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(**SHAPE, vocab_size=len(tokenizer), max_position_embeddings=128))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def probe(endpoint: str, cache: Path, *names: str) -> list[dict[str, Any]]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "no_proxy": "127.0.0.1",
    }
    command = [sys.executable, str(Path(__file__).with_name("hub_probe.py")), *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A loopback hub with two models: one as it should be, one with pickled weights only."""
    root = tmp_path_factory.mktemp("hub")
    save_encoder(root / "owner" / "encoder")
    pickled = save_encoder(root / "owner" / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def answers(endpoint: str, cache: Path) -> dict[str, dict[str, Any]]:
    names = ["owner/encoder", "owner/pickled", "owner/nobody", "not a name"]
    return dict(zip(names, probe(endpoint, cache, *names), strict=True))


def test_a_hub_model_is_pinned_to_its_commit_and_loads(answers: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    weights = load_file(save_encoder(tmp_path) / "model.safetensors")
    assert answers["owner/encoder"] == {
        "embedding": pytest.approx(float(weights["bert.embeddings.word_embeddings.weight"].sum()), rel=1e-4),
        "revision": COMMIT,
        "tokens": ["wifi", "很", "好"],
        "max_length": 128,
        "dropout": 0.25,
        "labels": {"negative": 0, "positive": 1},
    }


def test_pickled_weights_are_refused(answers: dict[str, dict[str, Any]]) -> None:
    assert "owner/pickled has no model.safetensors" in answers["owner/pickled"]["error"]
    assert "that would run the code in it" in answers["owner/pickled"]["error"]


@pytest.mark.parametrize("name", ["owner/nobody", "not a name"])
def test_an_unknown_name_is_an_error_that_says_where_it_was_looked_for(
    answers: dict[str, dict[str, Any]], endpoint: str, name: str
) -> None:
    error = answers[name]["error"]
    assert f"{endpoint} knows no model '{name}'" in error
    assert "scratch:small" in error


def test_without_the_hub_the_cached_commit_is_used_and_anything_else_is_an_error(
    answers: dict[str, dict[str, Any]], cache: Path
) -> None:
    cached, missing = probe("http://127.0.0.1:9", cache, "owner/encoder", "owner/other")
    assert cached["revision"] == COMMIT
    assert "http://127.0.0.1:9 did not answer" in missing["error"]
    assert "set HF_ENDPOINT to a mirror" in missing["error"]


def test_a_local_folder_is_pinned_by_its_content(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "encoder")
    revision = revision_of(str(folder))
    tokenizer = load_tokenizer(str(folder), TEXTS)
    model = load_classifier(str(folder), tokenizer, CONFIG)
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert tokenizer.model_max_length == 128
    assert revision is not None
    assert revision.startswith("sha256:")
    (folder / "config.json").write_text((folder / "config.json").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert revision_of(str(folder)) != revision


def test_of_a_roberta_fewer_tokens_are_read_than_it_has_positions(tmp_path: Path) -> None:
    """Its positions start at pad_token_id + 1, which is 2 here."""
    folder = save_encoder(tmp_path / "encoder")
    shape = RobertaConfig(**SHAPE, vocab_size=64, max_position_embeddings=128, pad_token_id=1)
    RobertaForMaskedLM(shape).save_pretrained(folder)
    assert load_tokenizer(str(folder), TEXTS, fitted=False).model_max_length == 126


def test_a_folder_that_is_missing_or_empty_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="holds no model: expected a folder with"):
        revision_of(str(tmp_path / "nothing"))


def test_a_folder_with_pickled_weights_is_refused(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "encoder")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BaseModelError, match="that would run the code in it"):
        load_classifier(str(folder), load_tokenizer(str(folder), TEXTS), CONFIG)


def test_a_classifier_for_other_labels_gets_a_new_head(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "stars")
    tokenizer = load_tokenizer(str(folder), TEXTS)
    stars = BertConfig(**SHAPE, vocab_size=len(tokenizer), max_position_embeddings=128, **FIVE_LABELS)
    BertForSequenceClassification(stars).save_pretrained(folder)
    model = load_classifier(str(folder), tokenizer, CONFIG)
    assert model.config.num_labels == 2
    assert model(**tokenizer(["很好"], return_tensors="pt")).logits.shape == (1, 2)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "encoder")
    larger = build_tokenizer(["房间很好早餐前台"] * 2, 128)
    with pytest.raises(BaseModelError, match="do not belong together"):
        load_classifier(str(folder), larger, CONFIG)


def test_random_weights_are_those_of_the_seed() -> None:
    tokenizer = load_tokenizer("scratch:tiny", TEXTS)
    weights = [
        load_classifier("scratch:tiny", tokenizer, TrainConfig(seed=seed)).state_dict()["classifier.weight"]
        for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_every_random_encoder_says_that_it_is_not_pretrained() -> None:
    for name in SCRATCH:
        assert "not a pretrained model" in describe(name)
    assert describe("google-bert/bert-base-chinese").startswith("The base model is the Hugging Face Hub model")


def test_an_unknown_shape_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(BaseModelError, match="expected one of scratch:tiny, scratch:small, scratch:medium"):
        revision_of("scratch:huge")


def test_random_weights_need_texts_for_their_vocabulary() -> None:
    with pytest.raises(BaseModelError, match="there are none"):
        load_tokenizer("scratch:small", [])
