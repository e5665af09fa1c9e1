"""Resolves the name of a base model, which may be an encoder in the warehouse (``pretrained:*``)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from senti_tasks.config import PRETRAINED, TFIDF
from senti_tasks.errors import BaseModelError
from senti_tasks.jobs.context import JobContext
from senti_tasks.training import model_folders
from senti_tasks.warehouse.models import encoders

NEWEST = f"{PRETRAINED}newest"


@dataclass(frozen=True)
class StartingPoint:
    """The base model of a fine-tuning, resolved."""

    base_model: str
    """A hub name, a folder, ``scratch:*`` or ``pretrained:VERSION``; never ``pretrained:newest``."""
    recipe: str
    """The name under which ``TrainConfig.for_base_model`` finds the recipe."""
    folder: Path | None = None
    """The local folder of an encoder in the warehouse, after checking its digest; otherwise ``None``."""


def starting_point(context: JobContext, base_model: str | None, corpus_base_model: str = "") -> StartingPoint:
    """Resolves ``base_model`` (``None``: SENTI_BASE_MODEL). Raises ``RegistryError`` if there is no such encoder.

    ``corpus_base_model`` is the base model that a corpus snapshot was made for. If it is an encoder of the warehouse,
    ``pretrained:newest`` means that encoder, also when there is a newer one.
    """
    name = _checked(context, base_model)
    if not name.startswith(PRETRAINED):
        return StartingPoint(name, name)
    if name == NEWEST and corpus_base_model.startswith(PRETRAINED):
        name = corpus_base_model
    encoder = _encoder(context, name)
    folder = context.fetch(encoder)
    return StartingPoint(PRETRAINED + encoder["version"], PRETRAINED + encoder["base_model"], folder)


def pretraining_base_model(context: JobContext, base_model: str | None) -> str:
    """The model that a pretraining starts from (``None``: SENTI_BASE_MODEL).

    For ``pretrained:*`` it is the model that this encoder itself started from. So each encoder learns from all texts
    afresh, and from no text that was erased since.
    """
    name = _checked(context, base_model)
    if name == TFIDF:
        raise BaseModelError(
            f"{TFIDF} has no encoder that could be pretrained: `senti retrain --base-model {TFIDF}` trains it; "
            "to pretrain, give --base-model scratch:small or another one"
        )
    return str(_encoder(context, name)["base_model"]) if name.startswith(PRETRAINED) else name


def _checked(context: JobContext, base_model: str | None) -> str:
    """The name of the base model. Raises ``BaseModelError`` at once for a folder that cannot be loaded later."""
    name = context.settings.base_model_named(base_model)
    if Path(name).is_dir():
        model_folders.check(Path(name), name)
    return name


def _encoder(context: JobContext, name: str) -> dict[str, Any]:
    with context.reading() as connection:
        if name == NEWEST:
            return encoders.newest(connection)
        return encoders.encoder(connection, name.removeprefix(PRETRAINED))
