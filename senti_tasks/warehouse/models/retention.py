"""Retention: which labels and artifacts of old models nothing needs any more, and their removal."""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.config import PRETRAINED
from senti_tasks.errors import NoChampionError, RegistryError
from senti_tasks.warehouse import partitions
from senti_tasks.warehouse.database import fetch_all
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.models.corpora import SUSPECTS_KEPT
from senti_tasks.warehouse.models.encoders import newest as newest_encoder
from senti_tasks.warehouse.schema import (
    champion_checks,
    corpora,
    encoders,
    gate_results,
    label_rollups,
    model_variants,
    models,
    product_rollups,
    review_label_history,
    review_labels,
    scoring_errors,
    scoring_runs,
    scoring_watermarks,
    text_snapshots,
)
from senti_tasks.warehouse.schema import promotions as promotion_rows
from senti_tasks.warehouse.scoring import held_runs, publication_lock

WITH_ARTIFACTS = (corpora, model_variants, encoders, text_snapshots)
"""The tables that record artifacts. That of a row of ``models`` is also the one of its variant fp32."""


def unneeded_versions(connection: Connection, *, keep: int) -> list[str]:
    """The versions, in order, whose labels can be removed: they are not in use, a rollback does not return to them,
    they are not among the last ``keep`` that were in service, and they have no held run."""
    needed = _versions_in_use(connection, keep=keep)
    needed.update(connection.execute(sa.select(scoring_runs.c.model_version).where(held_runs.IS_HELD)).scalars())
    with_labels = set(connection.execute(sa.select(label_rollups.c.model_version).distinct()).scalars())
    return sorted(with_labels - needed)


def _versions_in_use(connection: Connection, *, keep: int) -> set[str | None]:
    """Champion, model in service, the one that a rollback returns to, and the last ``keep`` that were in service."""
    served = [row["model_version"] for row in promotions.history(connection) if row["serving_since"] is not None]
    needed = {promotions.champion(connection), *list(dict.fromkeys(served))[:keep]}
    for find in (promotions.in_service, promotions.previous_champion):
        with suppress(NoChampionError, RegistryError):
            needed.add(find(connection))
    return needed


def drop_labels(connection: Connection, version: str) -> None:
    """Removes the labels, label history, errors and watermark of a model. A rollback to it then needs a re-scoring.

    Its unpublished runs are abandoned: if one were published later, the watermark would claim labels that were removed.
    On PostgreSQL the labels are a partition, which is dropped. Raises ``LockedError`` when a reader holds its lock for
    too long.
    """
    publication_lock.take(connection)
    unpublished = sa.and_(scoring_runs.c.model_version == version, scoring_runs.c.state != "published")
    connection.execute(sa.update(scoring_runs).where(unpublished).values(state="abandoned"))
    for table in (review_label_history, scoring_errors, label_rollups, product_rollups, scoring_watermarks):
        connection.execute(sa.delete(table).where(table.c.model_version == version))
    partitions.drop(connection, review_labels, version)  # last: its lock blocks readers of every model's labels
    partitions.create(connection, review_labels, version)  # the model may be promoted again


def needed_versions(connection: Connection, *, keep: int, before: datetime, judged_since: datetime) -> set[str]:
    """The versions whose artifacts must stay, with everything that their training and judgement rest on.

    They are those in use, the anchor, the last ``keep`` that were in service, those with an unfinished run, those
    trained since ``before``, and those that were trained, promoted or measured as champion since ``judged_since``,
    with the models that they were compared with. A model is judged right after its training.
    """
    recent = set(connection.execute(sa.select(models.c.version).where(models.c.trained_at >= judged_since)).scalars())
    conditions = (
        (models.c.version, models.c.trained_at >= before),
        (promotion_rows.c.model_version, promotion_rows.c.at >= judged_since),
        (promotion_rows.c.compared_with, promotion_rows.c.at >= judged_since),
        (champion_checks.c.model_version, champion_checks.c.checked_at >= judged_since),
        (gate_results.c.reference_version, gate_results.c.model_version.in_(recent)),
        (scoring_runs.c.model_version, scoring_runs.c.state.not_in(("published", "abandoned"))),
    )
    needed = _versions_in_use(connection, keep=keep) | {promotions.anchor(connection)} | recent
    for column, condition in conditions:
        needed.update(connection.execute(sa.select(column).where(condition)).scalars())
    return {version for version in needed if version is not None}


def unneeded_artifacts(
    connection: Connection, *, keep: int, before: datetime, judged_since: datetime
) -> list[dict[str, Any]]:
    """The recorded artifacts made earlier than ``before`` that nothing needs, oldest first: artifact and made_at.

    Needed are the variants, corpora and encoders of ``needed_versions``, the texts of these encoders, the corpora on
    which a champion was measured since ``judged_since``, the newest encoder and its texts, and the newest corpora.
    """
    versions = needed_versions(connection, keep=keep, before=before, judged_since=judged_since)
    names, bases = _trained_from(connection, versions, judged_since)
    keys = sa.select(encoders.c.idempotency_key).where(encoders.c.version.in_(bases))
    recorded = (
        sa.select(model_variants.c.artifact, models.c.trained_at, models.c.version.in_(versions))
        .join(models, models.c.version == model_variants.c.model_version)
        .where(model_variants.c.artifact.is_not(None), model_variants.c.retired_at.is_(None)),
        _recorded(corpora, corpora.c.created_at, corpora.c.corpus.in_(names)),
        _recorded(encoders, encoders.c.trained_at, encoders.c.version.in_(bases)),
        _recorded(text_snapshots, text_snapshots.c.created_at, text_snapshots.c.idempotency_key.in_(keys)),
    )
    made_at: dict[str, datetime] = {}
    needed = set()
    for statement in recorded:
        for artifact, made, is_needed in connection.execute(statement):
            if is_needed or made >= before:
                needed.add(artifact)  # several rows may have the same artifact
            made_at[artifact] = made
    found = [{"artifact": artifact, "made_at": made} for artifact, made in made_at.items() if artifact not in needed]
    return sorted(found, key=lambda row: (row["made_at"], row["artifact"]))


def _recorded(table: sa.Table, made_at: sa.Column[Any], is_needed: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(table.c.artifact, made_at, is_needed).where(table.c.retired_at.is_(None))


def _trained_from(connection: Connection, versions: set[str], judged_since: datetime) -> tuple[set[str], set[str]]:
    """The names of the corpora, and the versions of the encoders, that ``unneeded_artifacts`` calls needed."""
    rows = fetch_all(connection, sa.select(models).where(models.c.version.in_(versions)))
    names = {row["corpus"] for row in rows}
    newest = sa.select(corpora.c.corpus).order_by(corpora.c.created_at.desc(), corpora.c.corpus.desc())
    measured = sa.select(champion_checks.c.corpus).where(champion_checks.c.checked_at >= judged_since)
    for statement in (newest.limit(SUSPECTS_KEPT), measured):
        names.update(connection.execute(statement).scalars())
    bases = {row["base_model"].removeprefix(PRETRAINED) for row in rows if row["base_model"].startswith(PRETRAINED)}
    with suppress(RegistryError):
        bases.add(newest_encoder(connection)["version"])
    return names, bases


def retire(connection: Connection, artifacts: Collection[str], *, now: datetime) -> None:
    """Records that ``artifacts`` are deleted. The caller deletes them after this transaction."""
    for table in WITH_ARTIFACTS:
        retired = sa.update(table).where(table.c.artifact.in_(artifacts), table.c.retired_at.is_(None))
        connection.execute(retired.values(retired_at=now))


def lock_models(connection: Connection) -> None:
    """Holds up promotions until the transaction ends. On SQLite BEGIN IMMEDIATE has done so."""
    connection.execute(sa.select(models.c.version).order_by(models.c.version).with_for_update(key_share=True)).all()


def recorded_artifacts(connection: Connection) -> tuple[set[str], set[str]]:
    """The artifacts that some row records, without and with its retirement. An artifact is in one of both: in the
    first if a row has it that was not retired."""
    present, retired = set[str](), set[str]()
    for table in WITH_ARTIFACTS:
        rows = sa.select(table.c.artifact, table.c.retired_at).where(table.c.artifact.is_not(None))
        for artifact, retired_at in connection.execute(rows):
            (present if retired_at is None else retired).add(artifact)
    return present, retired - present
