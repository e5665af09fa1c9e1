"""Which base model is meant, where it is an encoder of the warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from senti_tasks.config import PRETRAINED
from senti_tasks.jobs.context import JobContext
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import encoders

NEWEST = f"{PRETRAINED}newest"


@dataclass(frozen=True)
class StartingPoint:
    """What a fine-tuning starts from, once it is known which encoder ``pretrained:newest`` is."""

    base_model: str
    recipe: str
    """What ``TrainConfig.for_base_model`` knows the recipe by."""
    folder: Path | None = None
    """Where a ``pretrained:*`` lies on this machine, checked against its digest."""


def starting_point(context: JobContext, base_model: str | None, corpus_base_model: str = "") -> StartingPoint:
    """What ``base_model`` means, or the one of the settings. Raises ``RegistryError`` when there is no such encoder.

    ``pretrained:newest`` is the encoder that a corpus snapshot was made for, if ``corpus_base_model`` is one.
    """
    name = context.settings.base_model_named(base_model)
    if not name.startswith(PRETRAINED):
        return StartingPoint(name, name)
    if name == NEWEST and corpus_base_model.startswith(PRETRAINED):
        name = corpus_base_model
    found = _encoder(context, name)
    folder = context.store.fetch(found["artifact"], found["digest"])
    return StartingPoint(PRETRAINED + found["version"], PRETRAINED + found["base_model"], folder)


def _encoder(context: JobContext, name: str) -> dict[str, Any]:
    with database.reading(context.engine) as connection:
        if name == NEWEST:
            return encoders.newest(connection)
        return encoders.encoder(connection, name.removeprefix(PRETRAINED))


def own_base_model(context: JobContext, base_model: str | None) -> str:
    """What a pretraining starts from: for ``pretrained:*``, what that encoder was trained from, so that each one sees
    all texts afresh, and no text that was taken out of them since."""
    name = context.settings.base_model_named(base_model)
    if not name.startswith(PRETRAINED):
        return name
    own: str = _encoder(context, name)["base_model"]
    return own
