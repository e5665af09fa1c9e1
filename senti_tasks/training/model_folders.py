"""Checks the folder of a base model in milliseconds, before anything heavy is imported or a corpus is read.

Models from people's disks fail in a few usual ways: files that a mirror or Git LFS did not deliver, weights as a
pickle, a vocabulary in another layout, and a configuration of another architecture than the vocabulary. Each has its
own message with the fix.
"""

import json
import struct
from pathlib import Path
from typing import Any

from senti_tasks.errors import BaseModelError
from senti_tasks.scoring import foreign_code

_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model.pt", "model.bin", "tf_model.h5")
_VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
_OF_SENTENCEPIECE = ("albert", "roberta", "xlm-roberta", "xlnet", "deberta-v2")
"""Architectures whose tokenizer is not read from a vocab.txt, which is the vocabulary of a BERT."""
_LFS = b"version https://git-lfs"
_LINES = 200  # of a vocabulary, looked at for its layout


def check(folder: Path, name: str, *, weights: bool = True) -> None:
    """Raises ``BaseModelError`` unless ``folder`` looks like a model with its tokenizer; ``name`` is for the message.

    ``weights=False`` does not look at the weights, which a folder from the hub gets only when they are needed.
    """
    if not folder.is_dir():
        raise BaseModelError(
            f"{name} holds no model: expected a folder with config.json, written by save_pretrained, found no folder"
        )
    config = _config(folder, name)
    _check_vocabulary(folder, name, config)
    if weights:
        _check_weights(folder, name)
    if found := foreign_code.named_in(folder):
        raise BaseModelError(
            f"{name} names code for its loader to run ({found}), and no code of a model is ever run: expected a "
            "model of an architecture that transformers has; take another base model, or a copy without this field if "
            "transformers has its architecture"
        )


def _config(folder: Path, name: str) -> dict[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        other = (
            " (bert_config.json is there: rename it to config.json)" if (folder / "bert_config.json").is_file() else ""
        )
        raise BaseModelError(
            f"{name} holds no model: expected a folder with config.json, written by save_pretrained{other}"
        )
    content = _content(file, name)
    try:
        config = json.loads(content.decode())
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise BaseModelError(
            f"{name}: config.json is not JSON, but starts with {content[:30]!r}: it may be the page of a download that "
            "failed; download it again"
        )
    if not isinstance(config.get("model_type"), str):
        names = ", ".join(config.get("architectures") or ["BertForMaskedLM"])
        raise BaseModelError(
            f"{name}: config.json has no model_type, so nobody knows what the weights are: add "
            f'"model_type": "bert" to it if they are those of a BERT ({names})'
        )
    return config


def _check_vocabulary(folder: Path, name: str, config: dict[str, Any]) -> None:
    found = [file for file in _VOCABULARIES if (folder / file).is_file()]
    if not found:
        raise BaseModelError(
            f"{name} has no vocabulary: expected tokenizer.json or vocab.txt beside config.json; download it too, or "
            "save the tokenizer into the folder (tokenizer.save_pretrained)"
        )
    if "tokenizer.json" in found:
        _check_json(folder / "tokenizer.json", name)
        return
    if "vocab.txt" not in found:
        return
    lines = _lines(folder / "vocab.txt", name)
    numbered = [line for line in lines[:_LINES] if line.rpartition("\t")[2].strip().isdigit() and "\t" in line]
    if len(numbered) > len(lines[:_LINES]) / 2:
        raise BaseModelError(
            f"{name}: each line of vocab.txt is a token, a tab and a number, and a BERT's has a token only: "
            "`cut -f1 vocab.txt > tokens.txt`, and put that in its place"
        )
    if missing := [token for token in ("[UNK]", "[CLS]", "[SEP]", "[PAD]") if token not in lines]:
        raise BaseModelError(
            f"{name}: vocab.txt has no {', '.join(missing)}, so it is not the vocabulary of a BERT: take the vocab.txt "
            "that belongs to these weights"
        )
    size = config.get("vocab_size")
    if isinstance(size, int) and len(lines) > size:
        raise BaseModelError(
            f"{name}: vocab.txt has {len(lines):,} tokens and config.json says {size:,}: they do not belong together; "
            "take both from the same download"
        )
    model_type, stated = config["model_type"], _tokenizer_class(folder, name)
    if model_type in _OF_SENTENCEPIECE and not str(stated).startswith("BertTokenizer"):
        raise BaseModelError(_other_architecture(name, model_type))


def _other_architecture(name: str, model_type: str) -> str:
    problem = f"{name}: config.json says {model_type}, but vocab.txt is the vocabulary of a BERT"
    if model_type == "albert":
        return (
            f'{problem}, as in Chinese ALBERTs: write {{"tokenizer_class": "BertTokenizer"}} into its '
            "tokenizer_config.json"
        )
    return (
        f'{problem}: Chinese models that are called RoBERTa are BERTs; write "model_type": "bert" into config.json if '
        'its weights have names such as bert.encoder.…, or else "tokenizer_class": "BertTokenizer" into '
        "tokenizer_config.json"
    )


def _tokenizer_class(folder: Path, name: str) -> object:
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return None
    content = _check_json(file, name)
    return content.get("tokenizer_class") if isinstance(content, dict) else None


def _check_weights(folder: Path, name: str) -> None:
    files = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        content = _check_json(index, name)
        parts = set(content.get("weight_map", {}).values()) if isinstance(content, dict) else set()
        if missing := sorted(part for part in parts if not (folder / str(part)).is_file()):
            raise BaseModelError(f"{name} lacks {', '.join(missing[:3])}, which {index.name} names: download it too")
    elif not (folder / "model.safetensors").is_file():
        converted = ""
        if any((folder / file).is_file() for file in _PICKLES):
            converted = (
                '. If you trust its author, convert it once: python -c "from transformers import AutoModelForMaskedLM '
                "as M; M.from_pretrained('FOLDER').save_pretrained('FOLDER')\""
            )
        raise BaseModelError(
            f"{name} has no model.safetensors: expected it beside config.json; download it too, or take another base "
            f"model. Weights as a pickle (pytorch_model.bin) are not read: that would run the code in it{converted}"
        )
    for file in files:
        _check_safetensors(file, name)


def _check_safetensors(file: Path, name: str) -> None:
    """The header is 8 bytes of length and JSON with the offsets of each tensor (https://huggingface.co/docs/safetensors)."""
    content = _content(file, name, most=8)
    size = file.stat().st_size
    length = struct.unpack("<Q", content)[0] if len(content) == 8 else 0
    header: Any = None
    if 0 < length <= size - 8:
        with file.open("rb") as opened:
            opened.seek(8)
            try:
                header = json.loads(opened.read(length).decode())
            except ValueError:
                header = None
    if not isinstance(header, dict):
        raise BaseModelError(f"{name}: {file.name} is not in the format safetensors: download it again")
    ends = [tensor["data_offsets"][1] for key, tensor in header.items() if key != "__metadata__"]
    if max(ends, default=0) > size - 8 - length:
        raise BaseModelError(
            f"{name}: {file.name} has {size:,} bytes and should have {8 + length + max(ends):,}: the download broke "
            "off; download it again"
        )


def _content(file: Path, name: str, most: int = -1) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(max(most, len(_LFS)) if most >= 0 else -1)
    except OSError as error:
        raise BaseModelError(f"{name}: {file.name} cannot be read ({error.strerror})") from error
    if content.startswith(_LFS):
        raise BaseModelError(
            f"{name}: {file.name} is a pointer of Git LFS and not the file: run `git lfs pull` in that folder"
        )
    return content if most < 0 else content[:most]


def _check_json(file: Path, name: str) -> Any:
    content = _content(file, name)
    try:
        return json.loads(content.decode())
    except ValueError as error:
        raise BaseModelError(
            f"{name}: {file.name} is not JSON, but starts with {content[:30]!r}: download it again"
        ) from error


def _lines(file: Path, name: str) -> list[str]:
    try:
        return _content(file, name).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BaseModelError(f"{name}: {file.name} is not UTF-8: download it again, or convert it") from error
