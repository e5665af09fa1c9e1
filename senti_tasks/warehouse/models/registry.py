"""The models: what each was trained from, the variants of it that can serve, and how it was judged."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import RegistryError
from senti_tasks.warehouse import partitions
from senti_tasks.warehouse.database import insert
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

_VARIANT_KEY = ["model_version", "variant"]


def register(
    connection: Connection, model: Mapping[str, Any], *, label_names: Mapping[int, str], variant: Mapping[str, Any]
) -> str:
    """Registers a trained model with its label names and its first servable variant; returns its version.

    A model with the same idempotency key stays as it is, and its version is returned: of two attempts of
    one training, the first to arrive wins.
    """
    connection.execute(insert(connection, models).values(model).on_conflict_do_nothing())
    registered = model_by_key(connection, model["idempotency_key"])
    if registered is None:
        raise RegistryError(f"version {model['version']} was registered by another training: run this one again")
    version: str = registered["version"]
    names = [{"model_version": version, "label": label, "label_name": name} for label, name in label_names.items()]
    connection.execute(insert(connection, model_labels).on_conflict_do_nothing(), names)
    connection.execute(
        insert(connection, model_variants).values({"model_version": version, **variant}).on_conflict_do_nothing()
    )
    partitions.make(connection, review_labels, version)
    return version


def model_by_key(connection: Connection, idempotency_key: str) -> dict[str, Any] | None:
    row = (
        connection.execute(sa.select(models).where(models.c.idempotency_key == idempotency_key))
        .mappings()
        .one_or_none()
    )
    return None if row is None else dict(row)


def model(connection: Connection, version: str) -> dict[str, Any]:
    """The registered model ``version``. Raises ``RegistryError`` naming the newest ones when there is no such model."""
    row = connection.execute(sa.select(models).where(models.c.version == version)).mappings().one_or_none()
    if row is None:
        newest = connection.execute(sa.select(models.c.version).order_by(models.c.trained_at.desc()).limit(3)).scalars()
        known = ", ".join(newest)
        say = f"the newest are {known} (`senti models list`)" if known else "no model was trained yet: `senti retrain`"
        raise RegistryError(f"there is no model {version!r}; {say}")
    return dict(row)


def label_names(connection: Connection, version: str) -> dict[int, str]:
    """What the labels of ``version`` are called: number to name."""
    found = sa.select(model_labels).where(model_labels.c.model_version == version).order_by(model_labels.c.label)
    return {row.label: row.label_name for row in connection.execute(found)}


def check_labels(connection: Connection, version: str, expected: Mapping[int, str]) -> None:
    """Raises ``RegistryError`` when ``version`` gives other labels than ``expected``, those of a corpus."""
    found = label_names(connection, version)
    if found != expected:
        raise RegistryError(
            f"{version} gives the labels {', '.join(found.values()) or 'none'}, and the corpus has "
            f"{', '.join(expected.values())}: models of two label sets cannot be compared. A warehouse has one set "
            "(SENTI_LABELS), so this one was changed by hand: correct model_labels"
        )


def serving_variant(connection: Connection, version: str) -> dict[str, Any]:
    """The variant of ``version`` that serves: where it lies, its digest, its temperature."""
    row = connection.execute(
        sa.select(model_variants).where(model_variants.c.model_version == version, model_variants.c.serves)
    ).mappings()
    return dict(row.one())


def record_variants(connection: Connection, version: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """Stores the variants of ``version`` with the verdict on each; returns the one that serves.

    The one of ``rows`` that is marked so serves from then on, unless the model was judged meanwhile: what was judged is
    what runs.
    """
    if _verdict(connection, version) is None:
        statement = insert(connection, model_variants)
        replaced = {one.name: statement.excluded[one.name] for one in model_variants.c if one.name not in _VARIANT_KEY}
        values = [{"model_version": version, **row} for row in rows]
        connection.execute(statement.on_conflict_do_update(index_elements=_VARIANT_KEY, set_=replaced), values)
    variant: str = serving_variant(connection, version)["variant"]
    return variant


def record_metrics(connection: Connection, version: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Stores the figures (subject, split, metric, value) of an evaluation, instead of earlier ones on these splits.

    Those that a verdict rests on stay.
    """
    if _verdict(connection, version) is not None:
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
    """Stores the gate's verdict on ``version`` and every rule's figures and reason; a verdict once given stands.

    ``test_keys`` are the content hashes of the rows that judged, which are counted. Returns what stands: promote,
    champion (the model compared with, or ``None``) and reasons, of the rules that passed or, for a refusal, of those
    that did not; what was found in each slice is not among them.
    """
    if _verdict(connection, version) is None:
        connection.execute(
            sa.insert(gate_results),
            [{"model_version": version, "position": position, **rule} for position, rule in enumerate(rules)],
        )
        verdict = "promote" if promote else "refuse"
        connection.execute(sa.update(models).where(models.c.version == version).values(verdict=verdict))
        corpora.count_judgement(connection, test_keys)
    promote = _verdict(connection, version) == "promote"
    stands = judgement(connection, version)
    return {
        "promote": promote,
        "champion": compared_with(connection, version),
        "reasons": [rule["reason"] for rule in stands if rule["passed"] == promote and rule["slice"] is None],
    }


def compared_with(connection: Connection, version: str) -> str | None:
    """The champion that the gate compared ``version`` with; ``None`` when there was none, or no verdict."""
    rules = judgement(connection, version)
    return next((rule["reference_version"] for rule in rules if rule["reference"] == "champion"), None)


def is_superior(connection: Connection, version: str) -> bool:
    """Whether the gate found ``version`` significantly better than the models of its day, or had none to be compared
    with."""
    return any(rule["rule"] == "superiority" and rule["figure"] == 1 for rule in judgement(connection, version))


def _verdict(connection: Connection, version: str) -> str | None:
    """The verdict on ``version``, its row locked: two judgements of one model follow one another."""
    found: str | None = connection.execute(
        sa.select(models.c.verdict).where(models.c.version == version).with_for_update()
    ).scalar_one()
    return found


def judgement(connection: Connection, version: str) -> list[dict[str, Any]]:
    """The gate's rules on ``version``, in the order they were judged; empty before it was."""
    ordered = sa.select(gate_results).where(gate_results.c.model_version == version).order_by(gate_results.c.position)
    return [dict(row) for row in connection.execute(ordered).mappings()]


def variants(connection: Connection, version: str) -> list[dict[str, Any]]:
    """The servable variants of ``version``."""
    found = (
        sa.select(model_variants).where(model_variants.c.model_version == version).order_by(model_variants.c.variant)
    )
    return [dict(row) for row in connection.execute(found).mappings()]


def record_check(connection: Connection, row: Mapping[str, Any]) -> dict[str, Any]:
    """Stores how a champion does on labels that its corpus did not have; returns what stands: the first such row."""
    table = champion_checks
    connection.execute(insert(connection, table).values(row).on_conflict_do_nothing())
    key = {name: row[name] for name in ("model_version", "corpus")}
    return dict(connection.execute(sa.select(table).filter_by(**key)).mappings().one())


def checks(connection: Connection, version: str) -> list[dict[str, Any]]:
    """How ``version`` did on labels that arrived since its corpus, oldest first."""
    found = sa.select(champion_checks).where(champion_checks.c.model_version == version)
    return [dict(row) for row in connection.execute(found.order_by(champion_checks.c.checked_at)).mappings()]


def metric(connection: Connection, version: str, *, subject: str, split: str, name: str) -> float | None:
    """One figure of ``version``'s evaluation, if it has that."""
    key = {"model_version": version, "subject": subject, "split": split, "metric": name}
    found: float | None = connection.scalar(sa.select(model_metrics.c.value).filter_by(**key))
    return found


def metrics(connection: Connection, version: str) -> list[dict[str, Any]]:
    """Figures of ``version``'s evaluation: subject, split, metric, value."""
    found = sa.select(model_metrics).where(model_metrics.c.model_version == version)
    ordered = found.order_by(model_metrics.c.subject, model_metrics.c.metric)
    return [dict(row) for row in connection.execute(ordered).mappings()]


def trained_on(connection: Connection, names: Sequence[str]) -> list[str]:
    """The versions trained on one of the corpora ``names``."""
    found = sa.select(models.c.version).where(models.c.corpus.in_(names)).order_by(models.c.version)
    return list(connection.execute(found).scalars())
