"""The registry of models: their training, their variants and their evaluations."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import RegistryError
from senti_tasks.warehouse import partitions
from senti_tasks.warehouse.database import fetch_all, fetch_one, insert_missing, upsert
from senti_tasks.warehouse.models import corpora
from senti_tasks.warehouse.schema import (
    champion_checks,
    gate_results,
    model_labels,
    model_metrics,
    model_variants,
    models,
    review_labels,
)


def register(
    connection: Connection, model: Mapping[str, Any], *, label_names: Mapping[int, str], variant: Mapping[str, Any]
) -> str:
    """Registers a trained model with its label names (by number) and its first servable variant; returns its version.

    If a model has the same idempotency key, it stays as it is and its version is returned: of two attempts of one
    training, the first to finish counts. Raises ``RegistryError`` if another training registered this version.
    """
    insert_missing(connection, models, model)
    registered = model_by_key(connection, model["idempotency_key"])
    if registered is None:
        raise RegistryError(
            f"version {model['version']} was registered by another training: trigger a new DAG run, or call "
            "`senti retrain` again, which gives this training another version"
        )
    version: str = registered["version"]
    names = [{"model_version": version, "label": label, "label_name": name} for label, name in label_names.items()]
    insert_missing(connection, model_labels, names)
    insert_missing(connection, model_variants, {"model_version": version, **variant})
    partitions.create(connection, review_labels, version)
    return version


def model_by_key(connection: Connection, idempotency_key: str) -> dict[str, Any] | None:
    """The model with this ``idempotency_key``; ``None`` if there is none. A retried task finds its model by it."""
    return fetch_one(connection, sa.select(models).where(models.c.idempotency_key == idempotency_key))


def model(connection: Connection, version: str) -> dict[str, Any]:
    """The model ``version``. Raises ``RegistryError`` with the newest versions when there is no such model."""
    found = fetch_one(connection, sa.select(models).where(models.c.version == version))
    if found is None:
        newest = sa.select(models.c.version).order_by(models.c.trained_at.desc()).limit(3)
        names = ", ".join(connection.execute(newest).scalars())
        hint = f"the newest are {names} (`senti models list`)" if names else "no model was trained yet: `senti retrain`"
        raise RegistryError(f"there is no model {version!r}; {hint}")
    return found


def lock_model(connection: Connection, version: str) -> None:
    """Locks the row of ``version`` until the transaction ends. Raises ``RegistryError`` as ``model`` does."""
    model(connection, version)
    connection.execute(sa.select(models.c.version).where(models.c.version == version).with_for_update(key_share=True))


def label_names(connection: Connection, version: str) -> dict[int, str]:
    """The names of the labels of ``version`` by number, in order of the numbers; empty if there is no such model."""
    found = sa.select(model_labels).where(model_labels.c.model_version == version).order_by(model_labels.c.label)
    return {row.label: row.label_name for row in connection.execute(found)}


def check_labels(connection: Connection, version: str, expected: Mapping[int, str]) -> None:
    """Raises ``RegistryError`` when the label names of ``version`` differ from ``expected``, those of a corpus."""
    found = label_names(connection, version)
    if found != expected:
        raise RegistryError(
            f"{version} gives the labels {', '.join(found.values()) or 'none'}, and the corpus has "
            f"{', '.join(expected.values())}: models of two label sets cannot be compared. A warehouse has one set "
            "(SENTI_LABELS), so this one was changed by hand: correct model_labels"
        )


def serving_variant(connection: Connection, version: str) -> dict[str, Any]:
    """The row of the variant of ``version`` that serves; each registered model has one."""
    (found,) = fetch_all(connection, sa.select(model_variants).filter_by(model_version=version, serves=True))
    return found


def variant_of(connection: Connection, version: str, variant: str) -> dict[str, Any] | None:
    """The row of ``variant`` of ``version``; ``None`` if there is none that could be loaded."""
    found = sa.select(model_variants).filter_by(model_version=version, variant=variant, verdict="proven")
    return fetch_one(connection, found)


def withdraw(connection: Connection, version: str, variant: str, *, instead: str, because: str, now: datetime) -> bool:
    """Takes ``variant`` of ``version`` out of service for good, and puts ``instead`` in its place; whether it served.

    Runs that are planned keep their variant. Raises ``RegistryError`` if there is no such variant ``instead``.
    """
    row, of_model = model_variants.c, model_variants.c.model_version == version
    withdrawn = sa.update(model_variants).where(of_model, row.variant == variant, row.serves)
    if connection.execute(withdrawn.values(serves=False, withdrawn_at=now, withdrawn_because=because)).rowcount == 0:
        return False
    put_in = sa.update(model_variants).where(of_model, row.variant == instead, row.verdict == "proven")
    if connection.execute(put_in.values(serves=True)).rowcount != 1:
        raise RegistryError(f"{version} has no variant {instead} that may serve: `senti models show {version}`")
    return True


def withdrawn(connection: Connection, version: str) -> dict[str, Any] | None:
    """The row of the variant of ``version`` that was withdrawn; ``None`` if none was."""
    found = sa.select(model_variants).where(model_variants.c.withdrawn_at.is_not(None))
    return fetch_one(connection, found.filter_by(model_version=version))


def score_bins(connection: Connection, version: str, variant: str) -> dict[str, Any] | None:
    """The bins of ``judging.score_bins`` of a variant; ``None`` if it has none."""
    found: dict[str, Any] | None = connection.scalar(
        sa.select(model_variants.c.score_bins).filter_by(model_version=version, variant=variant)
    )
    return found


def record_variants(connection: Connection, version: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """Stores the variants of ``version``, given by column name; returns the name of the one that serves. Nothing is
    stored when the model has its verdict: the variant that was judged must be the one that serves."""
    if _lock_verdict(connection, version) is None:
        values = [{"model_version": version, **row} for row in rows]
        connection.execute(upsert(connection, model_variants), values)
    variant: str = serving_variant(connection, version)["variant"]
    return variant


def record_metrics(connection: Connection, version: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Stores figures of an evaluation (subject, split, metric, value); they replace earlier ones of the same splits.
    Nothing is stored when the model has its verdict, which is based on the figures stored before."""
    if _lock_verdict(connection, version) is not None:
        return
    values = [{"model_version": version, **row} for row in rows]
    table = model_metrics
    splits = {row["split"] for row in values}
    connection.execute(sa.delete(table).where(table.c.model_version == version, table.c.split.in_(splits)))
    connection.execute(sa.insert(table), values)


def record_judgement(
    connection: Connection,
    version: str,
    *,
    promote: bool,
    rules: Iterable[Mapping[str, Any]],
    test_keys: Sequence[str] = (),
) -> dict[str, Any]:
    """Stores the gate's verdict on ``version`` and the figures and reason of each rule. A stored verdict never changes.

    ``test_keys`` are the content hashes of the test rows; the ledger counts for each that it judged one more model.
    Returns the stored verdict: promote, champion (the version compared with, or ``None``) and reasons. These are of the
    rules that passed or, for a refusal, of the rules that failed; rules on slices are left out.
    """
    if _lock_verdict(connection, version) is None:
        connection.execute(
            sa.insert(gate_results),
            [{"model_version": version, "position": position, **rule} for position, rule in enumerate(rules)],
        )
        verdict = "promote" if promote else "refuse"
        connection.execute(sa.update(models).where(models.c.version == version).values(verdict=verdict))
        corpora.count_judgement(connection, test_keys)
    promote = _lock_verdict(connection, version) == "promote"
    stored = judgement(connection, version)
    return {
        "promote": promote,
        "champion": compared_with(connection, version),
        "reasons": [rule["reason"] for rule in stored if rule["passed"] == promote and rule["slice"] is None],
    }


def compared_with(connection: Connection, version: str) -> str | None:
    """The champion that the gate compared ``version`` with; ``None`` if there was no champion or is no verdict."""
    rules = judgement(connection, version)
    return next((rule["reference_version"] for rule in rules if rule["reference"] == "champion"), None)


def is_superior(connection: Connection, version: str) -> bool:
    """Whether the gate found ``version`` significantly better than the models it was compared with, if any."""
    return any(rule["rule"] == "superiority" and rule["figure"] == 1 for rule in judgement(connection, version))


def _lock_verdict(connection: Connection, version: str) -> str | None:
    """The verdict on ``version``. Locks its row, so that two judgements of a model run one after the other."""
    locked = sa.select(models.c.verdict).where(models.c.version == version).with_for_update()
    found: str | None = connection.execute(locked).scalar_one()
    return found


def judgement(connection: Connection, version: str) -> list[dict[str, Any]]:
    """The results of the gate's rules on ``version``, in the order they were judged; empty without a verdict."""
    return fetch_all(connection, sa.select(gate_results).filter_by(model_version=version).order_by("position"))


def variants(connection: Connection, version: str) -> list[dict[str, Any]]:
    """The variants of ``version``, servable or refused, in order of their names."""
    return fetch_all(connection, sa.select(model_variants).filter_by(model_version=version).order_by("variant"))


def record_champion_check(connection: Connection, row: Mapping[str, Any]) -> dict[str, Any]:
    """Stores a champion's figures on the labels of a newer corpus; returns the stored row. A row that exists for this
    model and corpus stays, and is returned."""
    insert_missing(connection, champion_checks, row)
    key = {name: row[name] for name in ("model_version", "corpus")}
    (stored,) = fetch_all(connection, sa.select(champion_checks).filter_by(**key))
    return stored


def champion_checks_of(connection: Connection, version: str) -> list[dict[str, Any]]:
    """The figures of ``version`` on labels of newer corpora, oldest first."""
    return fetch_all(connection, sa.select(champion_checks).filter_by(model_version=version).order_by("checked_at"))


def metric(connection: Connection, version: str, *, subject: str, split: str, name: str) -> float | None:
    """One figure of ``version``'s evaluation; ``None`` if there is no such figure."""
    key = {"model_version": version, "subject": subject, "split": split, "metric": name}
    found: float | None = connection.scalar(sa.select(model_metrics.c.value).filter_by(**key))
    return found


def metrics(connection: Connection, version: str) -> list[dict[str, Any]]:
    """The figures of ``version``'s evaluation, in order of subject and metric: subject, split, metric, value."""
    return fetch_all(
        connection, sa.select(model_metrics).filter_by(model_version=version).order_by("subject", "metric")
    )


def trained_on(connection: Connection, names: Sequence[str]) -> list[str]:
    """The versions, in order, of the models trained on one of the corpora ``names`` whose weights still exist."""
    exists = sa.exists().where(
        model_variants.c.model_version == models.c.version, model_variants.c.retired_at.is_(None)
    )
    found = sa.select(models.c.version).where(models.c.corpus.in_(names), exists).order_by("version")
    return list(connection.execute(found).scalars())


def failed_rules(connection: Connection, versions: Sequence[str]) -> dict[str, list[str]]:
    """By model: the reasons of the rules of the gate that failed, without those about single slices, in order."""
    rule = gate_results.c
    failed = sa.select(rule.model_version, rule.reason).where(
        rule.model_version.in_(versions), rule.passed.is_(sa.false()), rule.slice.is_(None)
    )
    reasons: dict[str, list[str]] = {}
    for row in connection.execute(failed.order_by(rule.model_version, rule.position)):
        reasons.setdefault(row.model_version, []).append(row.reason)
    return reasons
