"""The registry of encoders that were pretrained on the reviews."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.config import PRETRAINED
from senti_tasks.errors import RegistryError
from senti_tasks.warehouse.database import fetch_one, insert_missing
from senti_tasks.warehouse.schema import encoders, models


def register(connection: Connection, encoder: Mapping[str, Any]) -> str:
    """Registers a pretrained encoder, given by column name; returns its version.

    If an encoder has the same idempotency key, it stays as it is and its version is returned: of two attempts of one
    training, the first to finish counts. Raises ``RegistryError`` if another training registered this version.
    """
    insert_missing(connection, encoders, encoder)
    registered = encoder_by_key(connection, encoder["idempotency_key"])
    if registered is None:
        raise RegistryError(
            f"version {encoder['version']} was registered by another training: trigger a new DAG run, or call "
            "`senti pretrain` again, which gives this training another version"
        )
    version: str = registered["version"]
    return version


def encoder_by_key(connection: Connection, idempotency_key: str) -> dict[str, Any] | None:
    """The encoder with this ``idempotency_key``; ``None`` if there is none. A retried task finds its encoder by it."""
    return fetch_one(connection, sa.select(encoders).where(encoders.c.idempotency_key == idempotency_key))


def trained_on(connection: Connection, idempotency_keys: Collection[str]) -> list[str]:
    """The versions, in order, of the encoders with these ``idempotency_keys``; a key may have none yet."""
    pretrained = encoders.c.idempotency_key.in_(idempotency_keys)
    return list(connection.execute(sa.select(encoders.c.version).where(pretrained).order_by("version")).scalars())


def fine_tuned(connection: Connection, versions: Collection[str]) -> list[str]:
    """The versions, in order, of the models whose training started from one of the encoders ``versions``."""
    started = models.c.base_model.in_([PRETRAINED + version for version in versions])
    return list(connection.execute(sa.select(models.c.version).where(started).order_by("version")).scalars())


def newest(connection: Connection) -> dict[str, Any]:
    """The encoder that was trained last. Raises ``RegistryError`` when there is none."""
    ordered = sa.select(encoders).order_by(encoders.c.trained_at.desc(), encoders.c.version.desc())
    found = fetch_one(connection, ordered.limit(1))
    if found is None:
        raise RegistryError(
            "no encoder was pretrained yet: run the pretrain_encoder DAG, or `senti pretrain --base-model NAME`"
        )
    return found


def encoder(connection: Connection, version: str) -> dict[str, Any]:
    """The encoder ``version``. Raises ``RegistryError`` with the newest version when there is no such encoder."""
    found = fetch_one(connection, sa.select(encoders).where(encoders.c.version == version))
    if found is None:
        raise RegistryError(f"there is no encoder {version!r}; the newest is {newest(connection)['version']}")
    return found
