"""Folders as people have them: each fault is one error with its fix, found without loading anything."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AlbertConfig, AlbertForMaskedLM, BertConfig, BertForMaskedLM

from senti_tasks.config import TrainConfig
from senti_tasks.errors import BaseModelError
from senti_tasks.training import model_folders
from senti_tasks.training.base_models import load_classifier, load_tokenizer

ROOT = Path(__file__).parents[3]
TEXTS = ["房间很好"] * 5
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"房间很好早餐前台差"]
SHAPE: dict[str, Any] = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BERT as people upload it: vocab.txt, and no tokenizer.json."""
    found = tmp_path / "model"
    BertForMaskedLM(BertConfig(**SHAPE, vocab_size=len(TOKENS))).save_pretrained(found)
    (found / "vocab.txt").write_text("\n".join(TOKENS) + "\n", "utf-8")
    return found


def change(folder: Path, **fields: Any) -> None:
    file = folder / "config.json"
    config = {**json.loads(file.read_text("utf-8")), **fields}
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}), "utf-8")


def load(folder: Path) -> None:
    tokenizer = load_tokenizer(str(folder), TEXTS)
    load_classifier(str(folder), tokenizer, TrainConfig())


def test_a_bert_with_a_plain_vocabulary_is_taken(folder: Path) -> None:
    model_folders.check(folder, "it")
    load(folder)


def numbered(folder: Path) -> None:
    lines = [f"{token}\t{number}" for number, token in enumerate(TOKENS)]
    (folder / "vocab.txt").write_text("\n".join(lines), "utf-8")


def truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def write(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a number beside each token": (numbered, r"`cut -f1 vocab.txt"),
    "no model_type": (lambda folder: change(folder, model_type=None), r'add "model_type": "bert"'),
    "an ALBERT": (lambda folder: change(folder, model_type="albert"), r'"tokenizer_class": "BertTokenizer"'),
    "a RoBERTa": (lambda folder: change(folder, model_type="roberta"), r'write "model_type": "bert" into config.json'),
    "no weights": (remove("model.safetensors"), r"has no model.safetensors: expected it beside"),
    "pickled weights": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        r"convert it once: python -c",
    ),
    "no config": (remove("config.json"), r"holds no model: expected a folder with config.json"),
    "no vocabulary": (remove("vocab.txt"), r"has no vocabulary: expected tokenizer.json or vocab.txt"),
    "a smaller model": (lambda folder: change(folder, vocab_size=5), r"vocab.txt has 14 tokens and config.json says 5"),
    "another vocabulary": (write("vocab.txt", "很\n好\n".encode()), r"has no \[UNK\], \[CLS\], \[SEP\], \[PAD\]"),
    "a vocabulary in GBK": (write("vocab.txt", "很好".encode("gbk")), r"vocab.txt is not UTF-8"),
    "a pointer of LFS": (write("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n"), r"git lfs pull"),
    "a web page": (write("config.json", b"<!DOCTYPE html><html>"), r"may be the page of a download that failed"),
    "weights cut off": (truncated, r"the download broke off"),
    "weights of zeros": (write("model.safetensors", bytes(4_000)), r"is not in the format safetensors"),
    "an empty file": (write("model.safetensors", b""), r"is not in the format safetensors"),
    "a broken tokenizer.json": (write("tokenizer.json", b"{"), r"tokenizer.json is not JSON"),
    "a missing part": (
        write("model.safetensors.index.json", b'{"weight_map": {"a": "model-00002-of-00002.safetensors"}}'),
        r"lacks model-00002-of-00002.safetensors",
    ),
    "code": (lambda folder: change(folder, auto_map={"AutoModel": "attack.Model"}), r"no code of a model is ever run"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_error_with_its_fix(fault: str, folder: Path) -> None:
    spoil, fix = FAULTS[fault]
    spoil(folder)
    with pytest.raises(BaseModelError, match=fix) as raised:
        model_folders.check(folder, "the model")
    assert str(raised.value).startswith("the model")
    with pytest.raises(BaseModelError, match=fix):
        load(folder)


def test_what_the_message_says_of_an_albert_helps(folder: Path) -> None:
    shape = AlbertConfig(**SHAPE, embedding_size=16, vocab_size=len(TOKENS))
    AlbertForMaskedLM(shape).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}', "utf-8")
    model_folders.check(folder, "it")
    load(folder)


def test_what_the_message_says_of_a_numbered_vocabulary_helps(folder: Path) -> None:
    numbered(folder)
    subprocess.run(["bash", "-c", "cut -f1 vocab.txt > tokens.txt && mv tokens.txt vocab.txt"], cwd=folder, check=True)
    load(folder)


def test_a_retraining_fails_before_it_reads_reviews_or_loads_a_library(folder: Path, bare_home: Path) -> None:
    change(folder, model_type=None)
    program = f"""
import sys
from senti_tasks.jobs import corpora
from senti_tasks.jobs.operations import upkeep
upkeep.migrate()
try:
    corpora.snapshot_corpus("2026-11-22T02:00:00+08:00", "weekly", {str(folder)!r})
except Exception as error:
    print(type(error).__name__, "torch" in sys.modules, "transformers" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["BaseModelError", "False", "False"]
