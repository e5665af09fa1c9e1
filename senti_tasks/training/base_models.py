"""What a training starts from: a model on the Hugging Face Hub, one in a local folder, an encoder that was pretrained
on this warehouse's reviews, or random weights.

The caller fetches the folder of a ``pretrained:*`` encoder and hands it over beside the name, so that its path, another
one on every machine, gets into no card and no checkpoint's identity.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    set_seed,
)

from senti_tasks import labels
from senti_tasks.artifacts import folder_digest
from senti_tasks.config import PRETRAINED, TrainConfig
from senti_tasks.errors import BaseModelError
from senti_tasks.labels import LabelSet
from senti_tasks.training import hub
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer, check_knows, fit_to_vocabulary

# Dropout within attention shuts out torch's fused kernel: a step on a CPU then takes a fifth longer.
_BOTH: dict[str, Any] = {"num_hidden_layers": 2, "attention_probs_dropout_prob": 0.0}
SCRATCH: dict[str, dict[str, Any]] = {
    "scratch:tiny": {**_BOTH, "hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512},
    "scratch:small": {**_BOTH, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024},
}
"""Shapes of the encoders with random weights; everything else is as in ``BertConfig``."""

_LONGEST = 512  # tokens; longer reviews are cut
_HEAD_DROPOUT = ("classifier_dropout", "seq_classif_dropout")  # what architectures call it


def describe(base_model: str) -> str:
    """One sentence on what ``base_model`` is, for model cards and every output that names it."""
    if shape := SCRATCH.get(base_model):
        return (
            f"{base_model} is not a pretrained model: it is a BERT of {shape['num_hidden_layers']} layers, "
            f"{shape['hidden_size']} wide, with random weights and a vocabulary built from the training texts."
        )
    if base_model.startswith(PRETRAINED):
        return (
            f"The base model is {base_model}, an encoder that `senti pretrain` trained on reviews without labels; "
            "its own card says what it started from."
        )
    kind = "the model in the local folder" if _is_folder(base_model) else "the Hugging Face Hub model"
    return f"The base model is {kind} {base_model}."


def revision_of(base_model: str, folder: Path | None = None) -> str | None:
    """What pins ``base_model``: a hub model's commit, ``sha256:…`` over a folder's files, ``None`` for ``scratch:*``,
    for ``pretrained:*`` the digest of its ``folder``.

    Raises ``BaseModelError`` when it does not exist or cannot be reached.
    """
    if base_model.startswith("scratch:"):
        _shape_of(base_model)
        return None
    if base_model.startswith(PRETRAINED):
        return folder_digest(_folder_of(base_model, folder=folder))
    if not _is_folder(base_model):
        return hub.newest_commit(base_model)
    folder = Path(base_model).expanduser()
    if not (folder / "config.json").is_file():
        raise BaseModelError(f"{folder} holds no model: expected a folder with config.json, written by save_pretrained")
    total = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        with path.open("rb") as file:
            total.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{total.hexdigest()}"


def load_tokenizer(
    base_model: str,
    texts: Sequence[str],
    revision: str | None = None,
    folder: Path | None = None,
    *,
    fitted: bool = True,
) -> PreTrainedTokenizerFast:
    """The tokenizer of ``base_model``, fitted to its vocabulary, its ``model_max_length`` set (512 at most).

    ``texts`` are those of the training split: ``scratch:*`` builds its vocabulary from them, and for every base model
    they show whether the vocabulary knows their language. ``revision`` is what ``revision_of`` says; without it a hub
    model is asked for its newest. ``folder`` is where a ``pretrained:*`` lies. ``fitted=False`` leaves it as it was
    shipped. Raises ``BaseModelError``.
    """
    if base_model.startswith("scratch:"):
        _shape_of(base_model)
        if not texts:
            raise BaseModelError(f"{base_model} builds its vocabulary from the training texts, and there are none")
        tokenizer = build_tokenizer(texts, _LONGEST)
    else:
        folder = _folder_of(base_model, revision, folder)
        with _BaseModelErrors(base_model):
            loaded = AutoTokenizer.from_pretrained(folder)
            positions = getattr(AutoConfig.from_pretrained(folder), "max_position_embeddings", None) or _LONGEST
        if not isinstance(loaded, PreTrainedTokenizerFast):
            raise BaseModelError(
                f"{base_model} has no fast tokenizer (tokenizer.json): save one with it, or take another"
            )
        tokenizer = loaded
        tokenizer.model_max_length = min(_LONGEST, positions, tokenizer.model_max_length)
    if not fitted:
        return tokenizer
    if not base_model.startswith(PRETRAINED):  # that one was fitted when its encoder was pretrained
        tokenizer = fit_to_vocabulary(tokenizer)
    check_knows(tokenizer, texts, base_model)
    return tokenizer


def load_classifier(
    base_model: str,
    tokenizer: PreTrainedTokenizerFast,
    config: TrainConfig,
    revision: str | None = None,
    label_set: LabelSet = labels.DEFAULT,
    folder: Path | None = None,
) -> PreTrainedModel:
    """``base_model`` with a classification head for ``label_set``, float32, on the CPU, in training's dropout.

    Weights that start random, the head's and all of ``scratch:*``, come from ``config.seed``. Weights are read from
    safetensors alone. Raises ``BaseModelError``.
    """
    names: dict[str, Any] = {"id2label": dict(label_set.names), "label2id": dict(label_set.numbers)}
    set_seed(config.seed)
    if base_model.startswith("scratch:"):
        return BertForSequenceClassification(
            BertConfig(
                **_shape_of(base_model),
                **names,
                vocab_size=len(tokenizer),
                pad_token_id=tokenizer.pad_token_id,
                classifier_dropout=config.dropout,
            )
        )
    folder = _folder_of(base_model, revision, folder, weights=True)
    with _BaseModelErrors(base_model):
        shape = AutoConfig.from_pretrained(folder, **names)
        for field in _HEAD_DROPOUT:
            if hasattr(shape, field):
                setattr(shape, field, config.dropout)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, config=shape, use_safetensors=True, ignore_mismatched_sizes=True, dtype="float32"
        )
    _check_belongs(model, tokenizer, base_model)
    return model  # type: ignore[no-any-return]


def load_masked_language_model(
    base_model: str, tokenizer: PreTrainedTokenizerFast, seed: int, revision: str | None = None
) -> PreTrainedModel:
    """``base_model`` with the head that predicts masked tokens, float32, on the CPU, in training's dropout.

    Weights that start random, all of ``scratch:*``, come from ``seed``. Weights are read from safetensors alone. Raises
    ``BaseModelError``, also for ``pretrained:*``: its base model is what a pretraining starts from again.
    """
    set_seed(seed)
    if base_model.startswith("scratch:"):
        return BertForMaskedLM(
            BertConfig(**_shape_of(base_model), vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
        )
    folder = _folder_of(base_model, revision, weights=True)
    with _BaseModelErrors(base_model, wanted="masked language model"):
        model = AutoModelForMaskedLM.from_pretrained(folder, use_safetensors=True, dtype="float32")
    _check_belongs(model, tokenizer, base_model)
    return model  # type: ignore[no-any-return]


def _check_belongs(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, base_model: str) -> None:
    embeddings = cast(torch.nn.Embedding, model.get_input_embeddings()).num_embeddings
    if len(tokenizer) > embeddings:
        raise BaseModelError(
            f"{base_model} has {embeddings} token embeddings and a tokenizer of {len(tokenizer)}: they do not belong "
            "together; take the folder as save_pretrained wrote it"
        )


class _BaseModelErrors:
    """Turns what transformers raises on a model that cannot be loaded into one ``BaseModelError``."""

    def __init__(self, base_model: str, wanted: str = "text classifier") -> None:
        self.base_model = base_model
        self.wanted = wanted

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError | ValueError | KeyError | RuntimeError | ImportError):
            return
        cause = str(error).strip().split("\n")[0][:200]
        if "model.safetensors" in str(error):
            raise BaseModelError(
                f"{self.base_model} has no model.safetensors: its weights, if any, are pickled, and loading a pickle "
                "runs the code in it; save it as safetensors (save_pretrained does), or take another base model"
            ) from error
        raise BaseModelError(
            f"{self.base_model} cannot be loaded as a {self.wanted} ({cause}): expected config.json, tokenizer.json "
            "and model.safetensors; give another base model, a local folder, or scratch:small"
        ) from error


def _folder_of(base_model: str, revision: str | None = None, folder: Path | None = None, weights: bool = False) -> Path:
    """Where ``from_pretrained`` finds it. Nothing in a model folder is run as code."""
    if base_model.startswith(PRETRAINED):
        if folder is None:
            raise BaseModelError(
                f"{base_model} is looked up in the warehouse, which only a job does: expected its folder"
            )
        return folder
    if _is_folder(base_model):
        return Path(base_model).expanduser()
    return hub.fetch(base_model, revision or hub.newest_commit(base_model), weights)


def _is_folder(base_model: str) -> bool:
    return base_model.startswith(("/", "./", "../", "~")) or Path(base_model).is_dir()


def _shape_of(base_model: str) -> dict[str, Any]:
    if base_model not in SCRATCH:
        raise BaseModelError(f"{base_model} is not a known shape: expected {' or '.join(SCRATCH)}")
    return SCRATCH[base_model]
