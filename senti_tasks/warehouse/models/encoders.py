"""The encoders that were pretrained on the reviews: what each was trained from, and where it lies."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.config import PRETRAINED
from senti_tasks.errors import RegistryError
from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import encoders, models


def register(connection: Connection, encoder: Mapping[str, Any]) -> str:
    """Registers a pretrained encoder; returns its version.

    An encoder with the same idempotency key stays as it is, and its version is returned: of two attempts of one
    training, the first to arrive wins.
    """
    connection.execute(insert(connection, encoders).values(encoder).on_conflict_do_nothing())
    registered = encoder_by_key(connection, encoder["idempotency_key"])
    if registered is None:
        raise RegistryError(f"version {encoder['version']} was registered by another training: run this one again")
    version: str = registered["version"]
    return version


def encoder_by_key(connection: Connection, idempotency_key: str) -> dict[str, Any] | None:
    """The encoder with this ``idempotency_key``, so that a retried task returns the same one."""
    row = (
        connection.execute(sa.select(encoders).where(encoders.c.idempotency_key == idempotency_key))
        .mappings()
        .one_or_none()
    )
    return None if row is None else dict(row)


def trained_on(connection: Connection, idempotency_keys: Collection[str]) -> list[str]:
    """The versions pretrained on the texts of these ``idempotency_keys``: each key has one encoder, or
    none yet."""
    found = (
        sa.select(encoders.c.version)
        .where(encoders.c.idempotency_key.in_(idempotency_keys))
        .order_by(encoders.c.version)
    )
    return list(connection.execute(found).scalars())


def fine_tuned(connection: Connection, versions: Collection[str]) -> list[str]:
    """The models whose training started from one of the encoders ``versions``."""
    started = models.c.base_model.in_([PRETRAINED + version for version in versions])
    return list(connection.execute(sa.select(models.c.version).where(started).order_by(models.c.version)).scalars())


def newest(connection: Connection) -> dict[str, Any]:
    """The encoder that was trained last. Raises ``RegistryError`` when there is none."""
    ordered = sa.select(encoders).order_by(encoders.c.trained_at.desc(), encoders.c.version.desc()).limit(1)
    row = connection.execute(ordered).mappings().one_or_none()
    if row is None:
        raise RegistryError(
            "no encoder was pretrained yet: run the pretrain_encoder DAG, or `senti pretrain --base-model NAME`"
        )
    return dict(row)


def encoder(connection: Connection, version: str) -> dict[str, Any]:
    """The encoder ``version``. Raises ``RegistryError`` naming the newest when there is no such encoder."""
    row = connection.execute(sa.select(encoders).where(encoders.c.version == version)).mappings().one_or_none()
    if row is None:
        raise RegistryError(f"there is no encoder {version!r}; the newest is {newest(connection)['version']}")
    return dict(row)
