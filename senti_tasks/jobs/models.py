"""What people do with the model registry: look at models, promote one by hand, roll back, export one."""

from pathlib import Path
from typing import Any

from senti_tasks.errors import RegistryError
from senti_tasks.jobs.context import load_context, now
from senti_tasks.jobs.operations import alerts
from senti_tasks.warehouse import overview
from senti_tasks.warehouse.models import corpora, promotions, registry, service


def scorecards() -> list[dict[str, Any]]:
    """One row of ``model_scorecard`` per model, newest first."""
    with load_context().reading() as connection:
        return overview.read_view(connection, "model_scorecard", order_by="trained_at")


def show(version: str) -> dict[str, Any]:
    """Everything recorded about one model: its row of ``models``, and corpus_summary, variants, metrics, gate (rules),
    checks (as champion) and promotions. Raises ``RegistryError`` if there is no such model."""
    with load_context().reading() as connection:
        model = registry.model(connection, version)
        return {
            **model,
            "corpus_summary": corpora.corpus(connection, model["corpus"])["summary"],
            "variants": registry.variants(connection, version),
            "metrics": registry.metrics(connection, version),
            "gate": registry.judgement(connection, version),
            "checks": registry.champion_checks_of(connection, version),
            "promotions": [row for row in promotions.history(connection) if row["model_version"] == version],
        }


def export(version: str, folder: Path) -> dict[str, Any]:
    """Writes the fp32 variant of a model to ``folder``, which must not exist or be empty, as transformers saves models.

    Its temperature is inside: the softmax of its logits is the calibrated probability. Returns model, folder and
    temperature. Raises ``RegistryError`` if there is no such model, and ``ConfigError`` if the folder holds something.
    """
    context = load_context()  # first, because the hub's client reads HF_ENDPOINT when it is imported
    from senti_tasks.training import exporting

    with context.reading() as connection:
        registry.model(connection, version)
        (fp32,) = (row for row in registry.variants(connection, version) if row["variant"] == "fp32")
    exporting.export(context.fetch(fp32), fp32["temperature"], folder)
    return {"model": version, "folder": str(folder), "temperature": fp32["temperature"]}


def promote(version: str, reason: str, actor: str, instead_of: str | None = None) -> dict[str, Any]:
    """Promotes a model in the name of a person, and records the reason.

    ``instead_of``: the champion that the person saw. Raises ``RegistryError`` if it is another one by now.

    Its kind is ``person`` if the model passed the gate in a comparison with the present champion; otherwise it is
    ``overruling``. Returns model, verdict (of the gate), seq, kind and serves.
    """
    with load_context().writing() as connection:
        verdict, champion = registry.model(connection, version)["verdict"], promotions.champion(connection)
        _require_champion(champion, instead_of)
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
    answer = _answer(row)
    alerts.tell_promotion(version, actor, reason, serves=answer["serves"], seq=answer["seq"])
    return {"model": version, "verdict": verdict, **answer}


def rollback(reason: str, actor: str, instead_of: str | None = None) -> dict[str, Any]:
    """Promotes the previous champion again. It serves at once, unless its labels were dropped. ``instead_of`` is that
    of ``promote``.

    Returns model, instead_of (the former champion), seq, kind, serves and carried_over (reviews that it has not
    labelled yet, and that show the label they had). Raises ``RegistryError`` if nothing served before.
    """
    with load_context().writing() as connection:
        _require_champion(promotions.champion(connection), instead_of)
        row = service.roll_back(connection, actor=actor, reason=reason, now=now())
    answer = {"model": row["model_version"], "instead_of": row["compared_with"], **_answer(row)}
    done = {"serves": answer["serves"], "seq": answer["seq"]}
    alerts.tell_promotion(answer["model"], actor, reason, **done, is_rollback=True)
    return {**answer, "carried_over": row["carried_over"]}


def _require_champion(champion: str | None, seen: str | None) -> None:
    if seen is not None and champion != seen:
        raise RegistryError(
            f"{champion or 'no model'} is the champion by now, and {seen} was when this was decided: look again, then "
            "decide anew"
        )


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    return {"seq": row["seq"], "kind": row["kind"], "serves": row["serving_since"] is not None}
