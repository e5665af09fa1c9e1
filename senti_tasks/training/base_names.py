"""The names of base models: what each stands for, its revision, its folder. Nothing here loads a model."""

import json
from pathlib import Path
from typing import Any

from senti_tasks.artifacts import files_digest, folder_digest
from senti_tasks.config import PRETRAINED, TFIDF
from senti_tasks.errors import BaseModelError
from senti_tasks.training import hub, model_folders

# torch has no fused attention kernel for dropout within attention: a step on a CPU then takes a fifth longer.
_NO_DROPOUT: dict[str, Any] = {"attention_probs_dropout_prob": 0.0}
SCRATCH: dict[str, dict[str, Any]] = {
    name: {
        **_NO_DROPOUT,
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": width // 64,
        "intermediate_size": 4 * width,
    }
    for name, layers, width in (("scratch:tiny", 2, 128), ("scratch:small", 2, 256), ("scratch:medium", 6, 384))
}
"""Name to the ``BertConfig`` values of an encoder with random weights. Other values are the defaults."""


_SMALL_WIDTH = 256


def describe(base_model: str) -> str:
    """One sentence about ``base_model``, for model cards and command output."""
    if base_model == TFIDF:
        return "tfidf is no BERT and not pretrained: it is TF-IDF of character n-grams with logistic regression."
    if shape := SCRATCH.get(base_model):
        return (
            f"{base_model} is not a pretrained model: it is a BERT of {shape['num_hidden_layers']} layers, "
            f"{shape['hidden_size']} wide, with random weights and a vocabulary built from the training texts."
        )
    if base_model.startswith(PRETRAINED):
        return (
            f"The base model is {base_model}, an encoder that `senti pretrain` trained on reviews without labels; "
            "its own card names its base model."
        )
    kind = "the model in the local folder" if _is_folder(base_model) else "the Hugging Face Hub model"
    return f"The base model is {kind} {base_model}."


def is_small(base_model: str, folder: Path | None = None) -> bool:
    """Whether a step of this model is too short for several threads: they wait for each other after each operation.

    So on a CPU each core computes a part of the batch with one thread (``launcher.number_of_processes``). ``folder`` is
    that of a ``pretrained:*`` encoder. Of a hub model the size is not known yet; hardly one is so small.
    """
    shape = SCRATCH.get(base_model)
    where = folder or Path(base_model).expanduser()
    if shape is None and (where / "config.json").is_file():
        shape = json.loads((where / "config.json").read_text(encoding="utf-8"))
    return shape is not None and shape.get("hidden_size", _SMALL_WIDTH + 1) <= _SMALL_WIDTH


def revision_of(base_model: str, folder: Path | None = None) -> str | None:
    """The revision to record for ``base_model``.

    A hub model: its commit. A local folder: ``sha256:…`` over its files, without sub-folders. ``pretrained:*``: the
    digest of ``folder``. ``scratch:*`` and ``tfidf``: ``None``. Raises ``BaseModelError`` if the model does not exist
    or cannot be reached.
    """
    if base_model == TFIDF:
        return None
    if base_model.startswith("scratch:"):
        scratch_shape(base_model)
        return None
    if base_model.startswith(PRETRAINED):
        return folder_digest(folder_of(base_model, folder=folder))
    if not _is_folder(base_model):
        return hub.newest_commit(base_model)
    local = Path(base_model).expanduser()
    model_folders.check(local, base_model)
    return f"sha256:{files_digest(local, (path for path in local.iterdir() if path.is_file()))}"


def folder_of(base_model: str, revision: str | None = None, folder: Path | None = None, weights: bool = False) -> Path:
    """The folder for ``from_pretrained``. Raises ``BaseModelError`` if it cannot be a model: see ``model_folders``."""
    if base_model.startswith(PRETRAINED):
        if folder is None:
            raise BaseModelError(
                f"{base_model} is looked up in the warehouse by a job: expected the folder of the encoder, found none"
            )
    elif _is_folder(base_model):
        folder = Path(base_model).expanduser()
    else:
        folder = hub.fetch(base_model, revision or hub.newest_commit(base_model), weights)
    model_folders.check(folder, base_model, weights=weights)
    return folder


def _is_folder(base_model: str) -> bool:
    return base_model.startswith(("/", "./", "../", "~")) or Path(base_model).is_dir()


def scratch_shape(base_model: str) -> dict[str, Any]:
    if base_model not in SCRATCH:
        raise BaseModelError(f"{base_model} is not a known shape: expected one of {', '.join(SCRATCH)}")
    return SCRATCH[base_model]
