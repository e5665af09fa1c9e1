"""Loads the base model that a training starts from, and its tokenizer.

A base model is one of four kinds (``tfidf`` is none of them: see ``tfidf``): a model on the Hugging Face Hub, a model
in a local folder, an encoder that ``senti pretrain`` trained (``pretrained:*``), or random weights (``scratch:*``). The
caller passes the folder of a ``pretrained:*`` encoder separately from its name. The path differs from machine to
machine, so it must not get into model cards or into the key of the checkpoint folder.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from senti_tasks.artifacts import files_digest, folder_digest
from senti_tasks.config import PRETRAINED, TFIDF, TrainConfig
from senti_tasks.errors import BaseModelError
from senti_tasks.labels import LabelSet
from senti_tasks.scoring.tokens import readable_tokens
from senti_tasks.training import hub, model_folders
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer, check_coverage, fit_to_vocabulary

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

_MAX_LENGTH = 512  # tokens


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


def revision_of(base_model: str, folder: Path | None = None) -> str | None:
    """The revision to record for ``base_model``.

    A hub model: its commit. A local folder: ``sha256:…`` over its files, without sub-folders. ``pretrained:*``: the
    digest of ``folder``. ``scratch:*`` and ``tfidf``: ``None``. Raises ``BaseModelError`` if the model does not exist
    or cannot be reached.
    """
    if base_model == TFIDF:
        return None
    if base_model.startswith("scratch:"):
        _scratch_shape(base_model)
        return None
    if base_model.startswith(PRETRAINED):
        return folder_digest(_model_folder(base_model, folder=folder))
    if not _is_folder(base_model):
        return hub.newest_commit(base_model)
    local = Path(base_model).expanduser()
    model_folders.check(local, base_model)
    return f"sha256:{files_digest(local, (path for path in local.iterdir() if path.is_file()))}"


def load_tokenizer(
    base_model: str,
    texts: Sequence[str],
    revision: str | None = None,
    folder: Path | None = None,
    *,
    fitted: bool = True,
) -> PreTrainedTokenizerFast:
    """The tokenizer of ``base_model``. Its ``model_max_length`` is what the model can read, 512 at most.

    ``texts`` are the texts of the training split. ``scratch:*`` builds its vocabulary from them, and so does ``tfidf``,
    whose tokenizer only counts characters for the summary of a corpus. For every base model they are used to check that
    the vocabulary covers their language. ``revision`` is the result of ``revision_of``; without it the newest commit of
    a hub model is used. ``folder`` is the folder of a ``pretrained:*`` encoder. ``fitted=False`` returns the tokenizer
    as it was published: not fitted to its vocabulary, and not checked. Raises ``BaseModelError``.
    """
    if base_model == TFIDF or base_model.startswith("scratch:"):
        if base_model != TFIDF:
            _scratch_shape(base_model)
        if not texts:
            raise BaseModelError(f"{base_model} builds its vocabulary from the training texts, and there are none")
        tokenizer = build_tokenizer(texts, _MAX_LENGTH)
    else:
        folder = _model_folder(base_model, revision, folder)
        with _load_errors(base_model):
            loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model_config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if not isinstance(loaded, PreTrainedTokenizerFast):
            raise BaseModelError(
                f"{base_model} has no fast tokenizer (tokenizer.json): save one with it, or take another base model"
            )
        tokenizer = loaded
        tokenizer.model_max_length = min(
            _MAX_LENGTH, readable_tokens(model_config.to_dict()) or _MAX_LENGTH, tokenizer.model_max_length
        )
    if not fitted:
        return tokenizer
    if not base_model.startswith(PRETRAINED):  # its tokenizer was fitted before pretraining
        tokenizer = fit_to_vocabulary(tokenizer)
    check_coverage(tokenizer, texts, base_model)
    return tokenizer


def load_classifier(
    base_model: str,
    tokenizer: PreTrainedTokenizerFast,
    config: TrainConfig,
    revision: str | None = None,
    label_set: LabelSet = labels.DEFAULT,
    folder: Path | None = None,
) -> PreTrainedModel:
    """``base_model`` with a classification head for ``label_set``, in float32, on the CPU.

    The dropout before the head is ``config.dropout``. ``config.seed`` seeds the random weights: those of the head, and
    all of ``scratch:*``. Weights are read from safetensors only. Raises ``BaseModelError``.
    """
    names: dict[str, Any] = {"id2label": dict(label_set.names), "label2id": dict(label_set.numbers)}
    set_seed(config.seed)
    if base_model.startswith("scratch:"):
        return BertForSequenceClassification(
            _scratch_config(base_model, tokenizer, classifier_dropout=config.dropout, **names)
        )
    folder = _model_folder(base_model, revision, folder, weights=True)
    with _load_errors(base_model):
        model_config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **names)
        for field in ("classifier_dropout", "seq_classif_dropout"):  # the name depends on the architecture
            if hasattr(model_config, field):
                setattr(model_config, field, config.dropout)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=model_config,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            dtype="float32",
        )
    return _checked(model, tokenizer, base_model)


def load_masked_language_model(
    base_model: str, tokenizer: PreTrainedTokenizerFast, seed: int, revision: str | None = None
) -> PreTrainedModel:
    """``base_model`` with a head that predicts masked tokens, in float32, on the CPU.

    ``seed`` seeds the random weights of ``scratch:*``. Weights are read from safetensors only. Raises
    ``BaseModelError``, also for ``pretrained:*``: to repeat a pretraining, give the base model that it started from.
    """
    set_seed(seed)
    if base_model.startswith("scratch:"):
        return BertForMaskedLM(_scratch_config(base_model, tokenizer))
    folder = _model_folder(base_model, revision, weights=True)
    with _load_errors(base_model, expected="masked language model"):
        model = AutoModelForMaskedLM.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, dtype="float32"
        )
    return _checked(model, tokenizer, base_model)


def _checked(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, base_model: str) -> PreTrainedModel:
    """``model``. Raises ``BaseModelError`` if it has fewer embeddings than ``tokenizer`` has tokens."""
    embeddings = cast(torch.nn.Embedding, model.get_input_embeddings()).num_embeddings
    if len(tokenizer) > embeddings:
        raise BaseModelError(
            f"{base_model} has {embeddings} token embeddings and a tokenizer of {len(tokenizer)}: they do not belong "
            "together; take the folder as save_pretrained wrote it"
        )
    return model


@contextmanager
def _load_errors(base_model: str, expected: str = "text classifier") -> Iterator[None]:
    """Raises ``BaseModelError`` for the errors that transformers raises if it cannot load a model."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        if "model.safetensors" in str(error):
            raise BaseModelError(
                f"{base_model} has no model.safetensors: its weights, if any, are pickled, and loading a pickle "
                "runs the code in it; save it as safetensors (save_pretrained does), or take another base model"
            ) from error
        cause = str(error).strip().split("\n")[0][:200]
        raise BaseModelError(
            f"{base_model} cannot be loaded as a {expected} ({cause}): expected config.json, tokenizer.json "
            "and model.safetensors; give another base model, a local folder, or scratch:small"
        ) from error


def _model_folder(
    base_model: str, revision: str | None = None, folder: Path | None = None, weights: bool = False
) -> Path:
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


def _scratch_config(base_model: str, tokenizer: PreTrainedTokenizerFast, **more: Any) -> BertConfig:
    shape = _scratch_shape(base_model)
    return BertConfig(**shape, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **more)


def _scratch_shape(base_model: str) -> dict[str, Any]:
    if base_model not in SCRATCH:
        raise BaseModelError(f"{base_model} is not a known shape: expected one of {', '.join(SCRATCH)}")
    return SCRATCH[base_model]
