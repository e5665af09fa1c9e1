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
from senti_tasks.config import PRETRAINED, TFIDF, TrainConfig
from senti_tasks.errors import BaseModelError
from senti_tasks.labels import LabelSet
from senti_tasks.scoring.tokens import readable_tokens
from senti_tasks.training.base_names import folder_of, scratch_shape
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer, check_coverage, fit_to_vocabulary

_MAX_LENGTH = 512  # tokens


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
            scratch_shape(base_model)
        if not texts:
            raise BaseModelError(f"{base_model} builds its vocabulary from the training texts, and there are none")
        tokenizer = build_tokenizer(texts, _MAX_LENGTH)
    else:
        folder = folder_of(base_model, revision, folder)
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
    folder = folder_of(base_model, revision, folder, weights=True)
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
    folder = folder_of(base_model, revision, weights=True)
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


def _scratch_config(base_model: str, tokenizer: PreTrainedTokenizerFast, **more: Any) -> BertConfig:
    shape = scratch_shape(base_model)
    return BertConfig(**shape, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **more)
