"""Which model is in use: an append-only history, in which two promotions at once cannot both win.

The *champion* is the model promoted last: what a candidate must measure up to. The model *in service* is the one whose
labels analysts see: the champion, or its predecessor while the champion's re-scoring is under way.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import NoChampionError, RegistryError
from senti_tasks.warehouse.models.registry import model
from senti_tasks.warehouse.schema import promotions
from senti_tasks.warehouse.scoring import watermarks

NO_CHAMPION = "no model has been promoted yet: run the retrain_sentiment DAG, or `senti retrain`"


def _newest(connection: Connection, *, serving: bool) -> dict[str, Any] | None:
    newest = sa.select(promotions).order_by(promotions.c.seq.desc()).limit(1)
    if serving:
        newest = newest.where(promotions.c.serving_since.is_not(None))
    row = connection.execute(newest).mappings().one_or_none()
    return None if row is None else dict(row)


def champion(connection: Connection) -> str | None:
    """The version promoted last: what a candidate must measure up to. It may still wait for its labels to serve."""
    newest = _newest(connection, serving=False)
    return None if newest is None else newest["model_version"]


def champion_at(connection: Connection, time: datetime) -> str | None:
    """The version that was the champion at ``time``; ``None`` if there was none."""
    before = sa.select(promotions.c.model_version).where(promotions.c.at <= time)
    found: str | None = connection.scalar(before.order_by(promotions.c.seq.desc()).limit(1))
    return found


def in_service(connection: Connection) -> str:
    """The version whose labels analysts see, and that scheduled runs score with. Raises ``NoChampionError`` without
    one."""
    newest = _newest(connection, serving=True)
    if newest is None:
        raise NoChampionError(NO_CHAMPION)
    version: str = newest["model_version"]
    return version


def incoming(connection: Connection) -> dict[str, Any] | None:
    """The promotion that waits for its re-scoring to be complete, if there is one."""
    newest = _newest(connection, serving=False)
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
    """Appends a promotion of ``version``; returns the row. ``anchors``: later candidates are compared with it too.

    It serves at once where nothing served before, and after a rollback to a model that still has its labels; otherwise
    when its re-scoring is complete.
    Raises ``RegistryError`` when the champion is no longer ``compared_with``, when ``version`` is the champion already,
    or when another promotion was appended meanwhile.
    """
    model(connection, version)
    newest = _newest(connection, serving=False)
    present = None if newest is None else newest["model_version"]
    if present == version:
        raise RegistryError(f"{version} is the champion already")
    if present != compared_with:
        raise RegistryError(
            f"{version} was compared with {compared_with or 'no champion'}, and the champion is {present} by now: "
            "judge it again before promoting it"
        )
    previous = 0 if newest is None else newest["seq"]
    kept = kind == "rollback" and watermarks.of(connection, version) is not None
    serves = kept or _newest(connection, serving=True) is None
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
    """The version that served before the champion: where a rollback goes. Raises ``RegistryError`` without one."""
    newest = _newest(connection, serving=False)
    if newest is None:
        raise NoChampionError(NO_CHAMPION)
    served = [
        row["model_version"]
        for row in _line(connection)
        if row["serving_since"] is not None or row["model_version"] == newest["model_version"]
    ]
    if len(served) < 2:
        raise RegistryError(f"nothing served before {newest['model_version']}: there is no model to roll back to")
    version: str = served[-2]
    return version


def anchor(connection: Connection) -> str | None:
    """The last version promoted because it was significantly better, or by a person, and not rolled back since.

    Candidates are compared with it as well as with the champion, which may be a hair worse than its predecessor every
    week, and would slide without it.
    """
    return next((row["model_version"] for row in reversed(_line(connection)) if row["anchors"]), None)


def _line(connection: Connection) -> list[dict[str, Any]]:
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
    """Whether a promotion of ``version`` of this kind is on record, whatever became of it since."""
    such = sa.and_(promotions.c.model_version == version, promotions.c.kind == kind)
    return connection.execute(sa.select(promotions.c.seq).where(such)).first() is not None


def start_service(connection: Connection, seq: int, *, now: datetime) -> bool:
    """Lets promotion ``seq`` serve, unless a later promotion was appended or it serves already; returns whether it
    did."""
    later = sa.select(promotions.c.seq).where(promotions.c.seq > seq).exists()
    updated = connection.execute(
        sa.update(promotions)
        .where(promotions.c.seq == seq, promotions.c.serving_since.is_(None), ~later)
        .values(serving_since=now)
    )
    return updated.rowcount == 1


def history(connection: Connection) -> list[dict[str, Any]]:
    """Every promotion, newest first."""
    return [dict(row) for row in connection.execute(sa.select(promotions).order_by(promotions.c.seq.desc())).mappings()]
