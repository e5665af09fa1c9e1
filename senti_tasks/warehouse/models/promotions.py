"""The append-only history of promotions. Of two promotions at the same time, only one succeeds.

The *champion* is the model promoted last; candidates are compared with it. The model *in service* is the one whose
labels analysts see: the champion, or its predecessor while the champion's re-scoring is running.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import NoChampionError, RegistryError
from senti_tasks.warehouse.database import fetch_all, fetch_one
from senti_tasks.warehouse.models.registry import lock_model, serving_variant
from senti_tasks.warehouse.schema import promotions
from senti_tasks.warehouse.scoring import watermarks

NO_CHAMPION = "no model has been promoted yet: run the retrain_sentiment DAG, or `senti retrain`"
_SERVING = promotions.c.serving_since.is_not(None)


def _newest(connection: Connection, *conditions: sa.ColumnElement[bool]) -> dict[str, Any] | None:
    return fetch_one(connection, sa.select(promotions).where(*conditions).order_by(promotions.c.seq.desc()).limit(1))


def champion(connection: Connection, *, at: datetime | None = None) -> str | None:
    """The version promoted last, now or as of ``at``; ``None`` if there is none. It may not be in service yet."""
    newest = _newest(connection) if at is None else _newest(connection, promotions.c.at <= at)
    return None if newest is None else newest["model_version"]


def in_service(connection: Connection) -> str:
    """The version whose labels analysts see and that scheduled runs use. Raises ``NoChampionError`` without one."""
    newest = _newest(connection, _SERVING)
    if newest is None:
        raise NoChampionError(NO_CHAMPION)
    version: str = newest["model_version"]
    return version


def awaiting_service(connection: Connection) -> dict[str, Any] | None:
    """The newest promotion, if it waits for its re-scoring to be complete; else ``None``."""
    newest = _newest(connection)
    return newest if newest is not None and newest["serving_since"] is None else None


def promote(
    connection: Connection,
    version: str,
    *,
    kind: str,
    compared_with: str | None,
    actor: str,
    reason: str,
    now: datetime,
    anchors: bool = False,
) -> dict[str, Any]:
    """Appends a promotion of ``version``; returns the row. If ``anchors``, later candidates are also compared with it.

    The model serves at once if none served before, or on a rollback if it still has its labels. Otherwise it serves
    when its re-scoring is complete.
    Raises ``RegistryError`` when the champion is no longer ``compared_with``, when ``version`` is the champion already,
    when its files were deleted by retention, or when another promotion was appended at the same time.
    """
    lock_model(connection, version)
    if (retired_at := serving_variant(connection, version)["retired_at"]) is not None:
        raise RegistryError(
            f"{version} cannot be promoted: its files were deleted on {retired_at:%Y-%m-%d}, because nothing needed "
            "them any more (SENTI_KEEP_ARTIFACTS_DAYS): restore them from a backup and set retired_at to NULL in "
            "model_variants, or train a new model"
        )
    newest = _newest(connection)
    present = None if newest is None else newest["model_version"]
    if present == version:
        raise RegistryError(f"{version} is the champion already")
    if present != compared_with:
        raise RegistryError(
            f"{version} was compared with {compared_with or 'no champion'}, and the champion is {present} by now: "
            "judge it again before promoting it"
        )
    previous = 0 if newest is None else newest["seq"]
    has_labels = kind == "rollback" and watermarks.of(connection, version) is not None
    serves = has_labels or _newest(connection, _SERVING) is None
    row = {
        "seq": previous + 1,
        "previous_seq": previous,
        "model_version": version,
        "kind": kind,
        "compared_with": compared_with,
        "actor": actor,
        "reason": reason,
        "at": now,
        "serving_since": now if serves else None,
        "anchors": anchors,
    }
    try:
        connection.execute(sa.insert(promotions).values(row))
    except sa.exc.IntegrityError as error:
        raise RegistryError(
            f"another promotion was recorded at the same time: look at it, then promote {version}"
        ) from error
    return row


def previous_champion(connection: Connection) -> str:
    """The version that served before the champion, to which a rollback returns.

    Promotions that were rolled back do not count. Raises ``RegistryError`` if there is none, and ``NoChampionError``
    without a champion.
    """
    if not (line := _lineage(connection)):
        raise NoChampionError(NO_CHAMPION)
    champion = line[-1]["model_version"]
    served = [row["model_version"] for row in line if row["serving_since"] or row["model_version"] == champion]
    if len(served) < 2:
        raise RegistryError(f"nothing served before {champion}: there is no model to roll back to")
    version: str = served[-2]
    return version


def anchor(connection: Connection) -> str | None:
    """The last version that was significantly better, or promoted by a person, and was not rolled back; else ``None``.

    Candidates are compared with it as well as with the champion. Without it, a loss each week that is too small to be
    significant would add up.
    """
    return next((row["model_version"] for row in reversed(_lineage(connection)) if row["anchors"]), None)


def _lineage(connection: Connection) -> list[dict[str, Any]]:
    """The promotions that led to the champion, oldest first, without those that were rolled back."""
    line: list[dict[str, Any]] = []
    for row in reversed(history(connection)):
        versions = [before["model_version"] for before in line]
        if row["kind"] == "rollback" and row["model_version"] in versions:
            del line[len(versions) - versions[::-1].index(row["model_version"]) :]
        else:
            line.append(row)
    return line


def was_promoted(connection: Connection, version: str, *, kind: str) -> bool:
    """Whether ``version`` was ever promoted with this ``kind``, even if it was rolled back."""
    same = sa.and_(promotions.c.model_version == version, promotions.c.kind == kind)
    return connection.scalar(sa.select(promotions.c.seq).where(same)) is not None


def start_service(connection: Connection, seq: int, *, now: datetime) -> bool:
    """Puts the model of promotion ``seq`` in service; returns ``True``. Does nothing and returns ``False`` if it is in
    service already, or if a later promotion was appended."""
    later = sa.select(promotions.c.seq).where(promotions.c.seq > seq).exists()
    updated = connection.execute(
        sa.update(promotions)
        .where(promotions.c.seq == seq, promotions.c.serving_since.is_(None), ~later)
        .values(serving_since=now)
    )
    return updated.rowcount == 1


def history(connection: Connection) -> list[dict[str, Any]]:
    """Every promotion, newest first."""
    return fetch_all(connection, sa.select(promotions).order_by(promotions.c.seq.desc()))
