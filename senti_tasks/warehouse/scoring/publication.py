"""Audits a run's staged labels and publishes them in one transaction: analysts see all of a run, or none of it."""

from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import AuditError, RunStateError
from senti_tasks.warehouse import partitions
from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.schema import (
    erased_reviews,
    review_label_history,
    review_labels,
    reviews,
    run_items,
    run_shards,
    run_summaries,
    scoring_errors,
    scoring_runs,
    staged_labels,
)
from senti_tasks.warehouse.scoring import publication_lock, rollups, watermarks
from senti_tasks.warehouse.scoring.runs import run

OFFENDERS_SHOWN = 5


def audit(
    connection: Connection, run_id: int, *, anyway: str | None = None, actor: str | None = None
) -> dict[str, Any]:
    """Runs every check of ``sql/checks`` on the run's staged labels, and marks the run as audited when all pass.

    Those in ``sql/checks/usual`` compare the run with the 28 before it. A person may overrule them: ``anyway`` says
    why, ``actor`` who, and both are recorded with what the checks found, once and for good: a run that waited for a
    freeze to end is not held up by them again. The others hold what publishing rests on.
    Raises ``AuditError`` naming each failed check and its first offending rows. A published run is not audited again.
    """
    found = run(connection, run_id)
    state = found["state"]
    if state in ("open", "abandoned"):
        raise RunStateError(f"run {run_id} is {state}: there is nothing to audit")
    strict, usual = sorted((SQL / "checks").glob("*.sql")), sorted((SQL / "checks" / "usual").glob("*.sql"))
    if state != "published":
        partitions.analyze(connection, staged_labels, run_id)
        failures = _failures(connection, run_id, strict)
        unusual = [] if failures or found["overruled"] else _failures(connection, run_id, usual)
        if failures or (unusual and anyway is None):
            remedy = (
                f"`senti score --run {run_id} --restart` gives the run up, and another one answers its reviews"
                if failures
                else f"`senti score --run {run_id} --publish-anyway REASON` overrules such a check"
            )
            raise AuditError(
                f"run {run_id} was not published, and yesterday's labels stand: {' | '.join(failures or unusual)}. "
                "The staged rows are kept in staged_labels; each check is a query in sql/checks that returns "
                f"offenders; {remedy}"
            )
        waiting = sa.and_(scoring_runs.c.run_id == run_id, scoring_runs.c.state.in_(["planned", "audited"]))
        overruled = {"overruled": " | ".join(unusual), "overruled_by": actor, "overruled_reason": anyway}
        connection.execute(
            sa.update(scoring_runs).where(waiting).values(state="audited", **overruled if unusual else {})
        )
    return {"run_id": run_id, "checks": [path.stem for path in (*strict, *usual)]}


def _failures(connection: Connection, run_id: int, checks: list[Path]) -> list[str]:
    """Each check that found offenders, with the first of them."""
    failures = []
    for path in checks:
        offenders = connection.execute(sa.text(path.read_text("utf-8")), {"run_id": run_id})
        if rows := offenders.fetchmany(OFFENDERS_SHOWN + 1):
            shown = "; ".join(str(dict(row._mapping)) for row in rows[:OFFENDERS_SHOWN])
            more = ", and more" if len(rows) > OFFENDERS_SHOWN else ""
            failures.append(f"{path.stem}: {shown}{more}")
    return failures


def publish(connection: Connection, run_id: int, *, now: datetime) -> dict[str, Any]:
    """Merges the run's accepted labels into ``review_labels`` and records the run as published; returns its row.

    A label of a newer text is never replaced by one of an older text. What is replaced because the text was edited
    moves to ``review_label_history``. Publishing twice changes nothing. Raises ``RunStateError`` unless the run was
    audited.
    """
    held = publication_lock.take(connection)
    found = run(connection, run_id)
    if found["state"] == "published":
        return found
    if found["state"] != "audited":
        raise RunStateError(f"run {run_id} is {found['state']}, and only an audited run can be published")
    publication_lock.require_unfrozen(held, run_id)
    seq = held["publish_seq"] + 1
    again = found["scope"] == "all"
    publishing = _gather(connection, _judged(_accepted(found), again=again))
    _keep_history(connection, publishing, seq)
    rollups.add(connection, publishing)
    _merge(connection, publishing, seq)
    _record_errors(connection, publishing, now, again=again)
    counts = _summarise(connection, run_id, publishing)
    publishing.drop(connection)
    published = {
        "state": "published",
        "publish_seq": seq,
        "published_at": now,
        "seconds": (now - found["opened_at"]).total_seconds(),
        **counts,
        "superseded": found["planned"] - counts["labelled"] - counts["failed"],
    }
    connection.execute(sa.update(scoring_runs).where(scoring_runs.c.run_id == run_id).values(published))
    publication_lock.advance(connection, seq)
    if found["scope"] != "rescore":  # which answers a range of keys: the watermark moves when all ranges are covered
        watermarks.advance(connection, found["model_version"], min(found["due"], found["opened_at"]))
    return run(connection, run_id)


def _accepted(found: dict[str, Any]) -> sa.Subquery:
    """The run's answers from accepted shards, each with the version of the text that was planned and read. Reviews that
    were erased meanwhile are left out."""
    staged, item, shard = staged_labels, run_items, run_shards
    return (
        sa.select(
            sa.literal(found["model_version"], sa.Text).label("model_version"),
            sa.literal(found["variant"], sa.Text).label("variant"),
            item.c.review_updated_at,
            *(column for column in staged.c if column.name not in ("shard", "attempt")),
        )
        .join(
            item,
            sa.and_(
                item.c.run_id == staged.c.run_id,
                item.c.shard == staged.c.shard,
                item.c.review_id == staged.c.review_id,
            ),
        )
        .join(shard, sa.and_(shard.c.run_id == staged.c.run_id, shard.c.shard == staged.c.shard))
        .outerjoin(erased_reviews, erased_reviews.c.review_id == staged.c.review_id)
        .where(
            staged.c.run_id == found["run_id"],
            shard.c.accepted_attempt.is_not(None),
            erased_reviews.c.review_id.is_(None),
        )
        .subquery("answers")
    )


def _judged(answers: sa.Subquery, *, again: bool) -> sa.Select[Any]:
    """``answers``, and which of them are labels to publish: of reviews without a label, or with an older one.

    A label is older if its version is earlier than the answer's, or if it is not the version now in ``reviews``. The
    second case covers a restored backup, where versions go backwards. ``again`` also replaces a label of the same
    version. The publication lock is held, so the decision still holds when the labels are written.
    """
    old, answer = review_labels, answers.c
    other = answer.review_updated_at != old.c.review_updated_at
    # Not joined: it is looked up for the few reviews that have a label of another version.
    present = sa.select(reviews.c.updated_at).where(reviews.c.review_id == answer.review_id).scalar_subquery()
    newer = sa.or_(
        old.c.review_id.is_(None),
        sa.and_(
            answer.review_updated_at > old.c.review_updated_at,
            sa.func.coalesce(old.c.review_updated_at != present, sa.true()),
        ),
        *([~other] if again else []),
        sa.and_(other, answer.review_updated_at == present),
    )
    same_review = sa.and_(old.c.model_version == answer.model_version, old.c.review_id == answer.review_id)
    stands = sa.and_(answer.label.is_not(None), sa.func.coalesce(newer, sa.false()))
    return sa.select(
        *(answer[name] for name in LABEL_COLUMNS),
        answer.reason,
        stands.label("stands"),
        sa.and_(stands, old.c.review_id.is_not(None)).label("replaces"),
    ).select_from(answers.outerjoin(old, same_review))


LABEL_COLUMNS = [column.name for column in review_labels.c if column.name != "publish_seq"]


def _gather(connection: Connection, judged: sa.Select[Any]) -> sa.Table:
    """The answers in a temporary table: judged once, read by each statement of the publication."""
    gathered = judged.into("publishing", temporary=True)
    connection.execute(gathered)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE publishing (review_id, label, stands, replaces)")
    return gathered.table


def _keep_history(connection: Connection, publishing: sa.Table, seq: int) -> None:
    old, new = review_labels, publishing.c
    replaced = (
        sa.select(*old.c, sa.literal(seq, sa.BigInteger))
        .join(publishing, sa.and_(new.model_version == old.c.model_version, new.review_id == old.c.review_id))
        .where(new.replaces, new.text_hash != old.c.text_hash)
    )
    names = [*old.c.keys(), "replaced_by"]
    connection.execute(sa.insert(review_label_history).from_select(names, replaced))


def _merge(connection: Connection, publishing: sa.Table, seq: int) -> None:
    keys = ["model_version", "review_id"]
    new = publishing.c
    # In order of the key: rows that are neighbours in the index are written together.
    labels = sa.select(*(new[name] for name in LABEL_COLUMNS), sa.literal(seq, sa.BigInteger)).order_by(new.review_id)
    statement = insert(connection, review_labels)
    changed = {column.name: statement.excluded[column.name] for column in review_labels.c if column.name not in keys}
    replacing = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    # Most labels of a run are new. They are inserted apart: looking for rows to replace takes a fifth of the time.
    for way, rows in ((statement, new.stands & ~new.replaces), (replacing, new.replaces)):
        connection.execute(way.from_select([*LABEL_COLUMNS, "publish_seq"], labels.where(rows)))


def _record_errors(connection: Connection, publishing: sa.Table, now: datetime, *, again: bool) -> None:
    names = ["model_version", "review_id", "review_updated_at", "text_hash", "reason", "run_id"]
    failed = sa.select(*(publishing.c[name] for name in names), sa.literal(now, scoring_errors.c.failed_at.type)).where(
        publishing.c.reason.is_not(None)
    )
    connection.execute(
        insert(connection, scoring_errors).from_select([*names, "failed_at"], failed).on_conflict_do_nothing()
    )
    new, old = publishing.c, scoring_errors.c  # a full run may label what could not be labelled before
    now_labelled = sa.select(new.review_id).where(
        new.stands,
        new.model_version == old.model_version,
        new.review_id == old.review_id,
        new.review_updated_at == old.review_updated_at,
    )
    if again:
        connection.execute(sa.delete(scoring_errors).where(now_labelled.exists()))


def _summarise(connection: Connection, run_id: int, publishing: sa.Table) -> dict[str, int]:
    """Records the counts of the run per label: audits of later runs compare with them. Returns how
    many reviews it labelled, could not score, and read the beginning and the end of."""
    said, count, total = publishing.c, sa.func.count(), sa.func.sum
    truncated = total(sa.case((said.truncated, 1), else_=0)).label("truncated")
    sums = {"confidence_sum": total(said.confidence), "confidence_squares": total(said.confidence * said.confidence)}
    labels = sa.select(said.label, count.label("labels"), *(of.label(name) for name, of in sums.items()), truncated)
    rows = [dict(row) for row in connection.execute(labels.group_by(said.label)).mappings()]
    counts = {
        "labelled": sum(row["labels"] for row in rows if row["label"] is not None),
        "failed": sum(row["labels"] for row in rows if row["label"] is None),
        "truncated": sum(row.pop("truncated") for row in rows),
    }
    if summaries := [{"run_id": run_id, **row} for row in rows if row["label"] is not None]:
        connection.execute(sa.insert(run_summaries), summaries)
    return counts


def sweep(connection: Connection) -> None:
    """Drops plans and staged rows of runs that are over: what was published stands in ``review_labels``."""
    over = sa.select(scoring_runs.c.run_id).where(scoring_runs.c.state.in_(["published", "abandoned"]))
    for table in (staged_labels, run_items):
        left = sorted(int(key) for key in partitions.keys(connection, table))
        for run_id in connection.execute(over.where(scoring_runs.c.run_id.in_(left))).scalars().all():
            partitions.drop(connection, table, run_id)
