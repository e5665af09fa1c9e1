"""The registry as a person uses it: look at models, overrule the gate, roll back."""

from __future__ import annotations

from typing import Any

from senti_tasks.jobs.context import load_context, now
from senti_tasks.warehouse import database, overview
from senti_tasks.warehouse.models import corpora, promotions, registry


def scorecards() -> list[dict[str, Any]]:
    """One row of ``model_scorecard`` per model, newest first."""
    context = load_context()
    with database.reading(context.engine) as connection:
        return overview.view(connection, "model_scorecard", order_by="trained_at")


def show(version: str) -> dict[str, Any]:
    """Everything recorded of one model: lineage, corpus summary, training, metrics, the gate's rules, its
    promotions."""
    context = load_context()
    with database.reading(context.engine) as connection:
        model = registry.model(connection, version)
        return {
            **model,
            "corpus_summary": corpora.corpus(connection, model["corpus"])["summary"],
            "variants": registry.variants(connection, version),
            "metrics": registry.metrics(connection, version),
            "gate": registry.judgement(connection, version),
            "checks": registry.checks(connection, version),
            "promotions": [row for row in promotions.history(connection) if row["model_version"] == version],
        }


def promote(version: str, reason: str, actor: str) -> dict[str, Any]:
    """A person's promotion, recorded with its reason.

    It is an overruling unless the gate let the model through, in a comparison with the present champion.
    """
    context = load_context()
    with database.writing(context.engine) as connection:
        verdict, champion = registry.model(connection, version)["verdict"], promotions.champion(connection)
        agreed = verdict == "promote" and registry.compared_with(connection, version) == champion
        row = promotions.promote(
            connection,
            version,
            kind="person" if agreed else "overruling",
            compared_with=champion,
            actor=actor,
            reason=reason,
            now=now(),
            anchors=True,
        )
    return {"model": version, "verdict": verdict, **_answer(row)}


def rollback(reason: str, actor: str) -> dict[str, Any]:
    """Puts the model that served before the champion back into service, at once: its labels are still there."""
    context = load_context()
    with database.writing(context.engine) as connection:
        champion, version = promotions.champion(connection), promotions.previous_champion(connection)
        row = promotions.promote(
            connection, version, kind="rollback", compared_with=champion, actor=actor, reason=reason, now=now()
        )
    return {"model": version, "instead_of": champion, **_answer(row)}


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    return {"seq": row["seq"], "kind": row["kind"], "serves": row["serving_since"] is not None}
