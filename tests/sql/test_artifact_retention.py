"""Which artifacts stay, what deleting the others leaves, and what a call that was killed leaves to the next one."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.artifacts import ArtifactStore
from senti_tasks.errors import ArtifactError, RegistryError
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.operations import maintenance
from senti_tasks.jobs.operations.erasure import erase_from_artifacts
from senti_tasks.warehouse import database, erasure
from senti_tasks.warehouse.models import encoders, promotions, registry, texts
from senti_tasks.warehouse.schema import (
    champion_checks,
    corpora,
    gate_results,
    model_variants,
    models,
    scoring_runs,
    text_snapshots,
)
from tests.situations import add_model, open_planned_run, promote, rows

NOW = datetime.now(UTC)
LONG_AGO, LATELY = NOW - timedelta(days=500), NOW - timedelta(days=30)
OLD, UNSERVED, IN_USE = "2025-01-05-aaaaaa", "2025-01-12-bbbbbb", "2026-01-04-cccccc"


def store(home: Path) -> ArtifactStore:
    return ArtifactStore(str(home / "var/artifacts"), home / "var/work")


def put(home: Path, kind: str, name: str) -> str:
    """An artifact with one file, as old as can be."""
    folder = home / "made"
    folder.mkdir(exist_ok=True)
    (folder / "content").write_text(f"{kind} {name}")
    artifact, _ = store(home).put(folder, kind, name)
    os.utime(home / "var/artifacts" / artifact / "content", (LONG_AGO.timestamp(),) * 2)
    return artifact


def add(engine: Engine, home: Path, version: str, *, trained_at: datetime = LONG_AGO, promoted: bool = False) -> None:
    """A model with a corpus, a variant int8 and an evaluation of its own."""
    artifact = put(home, "models", version)
    put(home, "evaluations", version)
    corpus = put(home, "corpora", f"{version}-corpus")
    with database.writing(engine) as connection:
        add_model(connection, version, artifact=artifact, corpus=corpus.removeprefix("corpora/"))
        moved = sa.update(corpora).where(corpora.c.corpus == corpus.removeprefix("corpora/"))
        connection.execute(moved.values(artifact=corpus, created_at=trained_at))
        connection.execute(sa.update(models).where(models.c.version == version).values(trained_at=trained_at))
        int8: dict[str, Any] = {
            "variant": "int8",
            "artifact": put(home, "variants", f"{version}-int8"),
            "digest": "0" * 64,
        }
        int8 |= {"verdict": "proven", "reason": "", "library": "", "temperature": 1.0, "serves": False}
        connection.execute(sa.insert(model_variants).values(model_version=version, **int8))
        if promoted:
            promote(connection, version, now=trained_at)


def names(found: dict[str, Any]) -> list[str]:
    return sorted(row["artifact"].rpartition("-")[0] for row in found["artifacts"])


def stored(home: Path) -> set[str]:
    root = home / "var/artifacts"
    return {f"{folder.parent.name}/{folder.name.rpartition('-')[0]}" for folder in root.glob("*/*")}


def of(version: str) -> set[str]:
    return {f"corpora/{version}-corpus", f"models/{version}", f"variants/{version}-int8", f"evaluations/{version}"}


@pytest.fixture
def shop(engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A model in use, and two old ones that never served, one of them without anything that needs it."""
    monkeypatch.setenv("SENTI_KEEP_MODELS", "1")
    add(engine, home, IN_USE, promoted=True)
    add(engine, home, UNSERVED)
    add(engine, home, OLD)
    for number in range(3):  # the newest corpora stay
        corpus = put(home, "corpora", f"newest-{number}").removeprefix("corpora/")
        with database.writing(engine) as connection:
            row = {"corpus": corpus, "idempotency_key": corpus, "due": NOW, "artifact": f"corpora/{corpus}"}
            connection.execute(sa.insert(corpora).values(**row, digest="", summary={}, created_at=NOW))
    return engine


def test_without_the_setting_it_is_only_told_what_could_go(shop: Engine, home: Path) -> None:
    before = stored(home)
    found = maintenance.retire_artifacts()
    assert set(names(found)) == of(OLD) | of(UNSERVED)
    assert (found["deleted"], found["days"], stored(home)) == (False, maintenance.DAYS_SHOWN, before)
    assert found["bytes"] == sum(row["bytes"] for row in found["artifacts"]) > 0


def test_with_the_setting_they_go_and_their_rows_stay(
    shop: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_KEEP_ARTIFACTS_DAYS", "100")
    before = stored(home)
    assert set(names(maintenance.retire_artifacts())) == of(OLD) | of(UNSERVED)
    assert stored(home) == before - of(OLD) - of(UNSERVED)
    retired = {row["model_version"] for row in rows(shop, model_variants) if row["retired_at"] is not None}
    assert retired == {OLD, UNSERVED}
    assert len(rows(shop, models)) == 3
    assert maintenance.retire_artifacts()["artifacts"] == []


def _compared(connection: sa.Connection) -> None:
    add_model(connection, "judged lately")
    connection.execute(sa.update(models).where(models.c.version == "judged lately").values(trained_at=LATELY))
    rule = {"model_version": "judged lately", "position": 0, "rule": "better", "passed": True, "reason": ""}
    connection.execute(sa.insert(gate_results).values(**rule, reference_version=OLD))


def _promoted(connection: sa.Connection) -> None:
    promote(connection, OLD, now=LATELY)
    promotions.start_service(connection, 2, now=LATELY)
    for version in ("next", "newest"):  # which serve since
        add_model(connection, version)
        promotions.start_service(connection, promote(connection, version, now=NOW)["seq"], now=NOW)


def _measured(connection: sa.Connection) -> None:
    (corpus,) = connection.execute(sa.select(models.c.corpus).where(models.c.version == OLD)).scalars()
    row = {"model_version": OLD, "corpus": corpus, "rows": 1, "alarm": False, "reason": "", "checked_at": LATELY}
    connection.execute(sa.insert(champion_checks).values(row))


def _anchors(connection: sa.Connection) -> None:
    promote(connection, OLD, now=LONG_AGO, anchors=True)
    promotions.start_service(connection, 2, now=LONG_AGO)
    for version in ("next", "newest"):
        add_model(connection, version)
        promotions.start_service(connection, promote(connection, version, now=LONG_AGO)["seq"], now=NOW)


def _scores(connection: sa.Connection) -> None:
    open_planned_run(connection, "unfinished", model=OLD)


@pytest.mark.parametrize("use", [_compared, _promoted, _measured, _anchors, _scores])
def test_what_a_judgement_of_the_last_year_rests_on_stays_whatever_the_setting(
    use: Any, shop: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_KEEP_ARTIFACTS_DAYS", "7")
    with database.writing(shop) as connection:
        use(connection)
    maintenance.retire_artifacts()
    assert of(OLD) <= stored(home)
    assert not of(UNSERVED) & stored(home)


def test_what_a_model_was_trained_on_and_started_from_stays_with_it(shop: Engine, home: Path) -> None:
    def pretrained(name: str) -> None:
        with database.writing(shop) as connection:
            artifact, digest = put(home, "texts", name), "0" * 64
            common = {"idempotency_key": name, "base_model": "scratch:tiny", "digest": digest}
            snapshot = {"texts": artifact, "due": LONG_AGO, "artifact": artifact, "counts": {}, "created_at": LONG_AGO}
            texts.record_snapshot(connection, {**common, **snapshot})
            encoder = {"version": name, "config": {}, "code_version": "0", "normaliser_version": 1, "training": {}}
            encoder |= {"artifact": put(home, "encoders", name), "trained_at": LONG_AGO}
            encoders.register(connection, {**common, **encoder})

    for name in ("2024-used", "2024-unused", "2025-newest"):
        pretrained(name)
    with database.writing(shop) as connection:
        started = sa.update(models).where(models.c.version == IN_USE)
        connection.execute(started.values(base_model="pretrained:2024-used"))
    found = names(maintenance.retire_artifacts(delete=True))
    assert {name for name in found if "2024" in name} == {"encoders/2024-unused", "texts/2024-unused"}
    assert [row["retired_at"] is None for row in rows(shop, text_snapshots, order_by="idempotency_key")] == [
        *(False, True, True)
    ]


def test_a_model_whose_files_are_gone_cannot_be_promoted_or_loaded(shop: Engine, home: Path) -> None:
    maintenance.retire_artifacts(delete=True)
    with database.writing(shop) as connection, pytest.raises(RegistryError, match="its files were deleted on"):
        promote(connection, OLD)
    with database.reading(shop) as connection:
        row = registry.serving_variant(connection, OLD)
    with pytest.raises(ArtifactError, match=r"was deleted on .*SENTI_KEEP_ARTIFACTS_DAYS"):
        load_context().fetch(row)


def test_a_deletion_that_was_killed_is_completed_by_the_next_one(
    shop: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: ArtifactStore, artifact: str) -> None:
        raise KeyboardInterrupt(artifact)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ArtifactStore, "remove", killed)
        maintenance.retire_artifacts(delete=True)
    assert of(OLD) <= stored(home)
    assert set(names(maintenance.retire_artifacts(delete=True))) == of(OLD) | of(UNSERVED)
    assert not (of(OLD) | of(UNSERVED)) & stored(home)


def test_what_killed_attempts_left_goes_by_its_age(shop: Engine, home: Path) -> None:
    left = put(home, "models", "2025-01-05-nobody")
    fresh = put(home, "corpora", "2026-11-22-nobody")
    os.utime(home / "var/artifacts" / fresh / "content")
    maintenance.retire_artifacts(delete=True)
    assert not store(home).holds(left)
    assert store(home).holds(fresh)


def test_checkpoints_that_nobody_continued_go_and_one_in_use_stays(shop: Engine, home: Path) -> None:
    context = load_context()
    for name in ("left", "fresh"):
        with context.resumable_folder("training", name) as folder:
            folder.mkdir(parents=True)
            if name == "left":
                os.utime(folder, (LONG_AGO.timestamp(),) * 2)
    with context.resumable_folder("pretraining", "in use") as held:
        held.mkdir(parents=True)
        os.utime(held, (LONG_AGO.timestamp(),) * 2)
        assert len(maintenance.retire_artifacts()["checkpoints"]) == 2
        (removed,) = maintenance.retire_artifacts(delete=True)["checkpoints"]
    assert "training" in removed
    assert not Path(removed).exists()
    assert held.exists()


def test_a_run_that_was_given_up_needs_nothing(shop: Engine, home: Path) -> None:
    with database.writing(shop) as connection:
        _scores(connection)
        connection.execute(sa.update(scoring_runs).values(state="abandoned"))
    maintenance.retire_artifacts(delete=True)
    assert not of(OLD) & stored(home)


def test_an_erasure_passes_over_corpora_that_were_deleted(
    shop: Engine, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with database.writing(shop) as connection:
        connection.execute(sa.delete(corpora).where(corpora.c.corpus.like("newest-%")))
        connection.execute(sa.update(corpora).values(retired_at=NOW))
        erasure.erase(connection, [1], actor="somebody", reason="asked", now=NOW)
    assert erase_from_artifacts(load_context())["corpora"] == []
    assert "corpora/" not in "".join(name for name in stored(home) if "-corpus" in name)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
