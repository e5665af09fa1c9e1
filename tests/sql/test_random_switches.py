"""Switches of models in a random order, among nights, edits, deletions and erasures: what holds after each of them.

``SENTI_SWITCHES=N`` plays N histories on each database instead of 3.
"""

import os
import random
import zlib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import RegistryError
from senti_tasks.jobs import models, scoring
from senti_tasks.jobs.operations import erasure, maintenance
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions, service
from senti_tasks.warehouse.schema import reviews
from senti_tasks.warehouse.scoring import publication, shards
from tests.recounts import check_rollups
from tests.situations import (
    MONDAY,
    PHRASES,
    add_model,
    add_reviews,
    delete,
    edit,
    judged,
    open_planned_run,
    promote,
    rows,
)

HISTORIES = int(os.environ.get("SENTI_SWITCHES", "3"))
STEPS = 30
VERSIONS = ("m1", "m2", "m3")
HARD = 7
"""A model cannot label one review of so many."""


class Shop:
    """A shop with three models, and what analysts saw after the step before."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine, self.draw = engine, random.Random(seed)  # noqa: S311  it has to be drawn again
        self.now, self.keys, self.calls = MONDAY, 0, 0
        self.shown: dict[Any, tuple[Any, ...]] = {}
        with database.writing(engine) as connection:
            for version in VERSIONS:
                add_model(connection, version)
            promote(connection, VERSIONS[0])

    def write(self) -> None:
        number = self.draw.randint(1, 4)
        keys = range(self.keys, self.keys + number)
        self.keys += number
        written = self.now - self.draw.choice((0, 0, 0, 30)) * timedelta(days=1)  # some were committed late
        with database.writing(self.engine) as connection:
            add_reviews(connection, {key: self.draw.choice(PHRASES) for key in keys}, now=written)

    def change(self) -> None:
        with database.writing(self.engine) as connection:
            if present := sorted(connection.execute(sa.select(reviews.c.review_id)).scalars()):
                edit(connection, self.draw.choice(present), self.draw.choice(PHRASES), now=self.now)

    def delete(self) -> None:
        with database.writing(self.engine) as connection:
            if present := sorted(connection.execute(sa.select(reviews.c.review_id)).scalars()):
                delete(connection, self.draw.choice(present))

    def erase(self) -> None:
        if self.keys:
            key = self.draw.randrange(self.keys)
            erasure.erase([str(key)], "一封信", "小李")
            self.shown.pop(key, None)

    def night(self) -> None:
        with database.reading(self.engine) as connection:
            version = promotions.in_service(connection)
        self.score(self.draw.choice(("new", "new", "reconcile", "all")), version)

    def score(self, scope: str, version: str) -> None:
        """A run; now and then something is edited or published while it is scored."""
        self.calls += 1
        with database.writing(self.engine) as connection:
            run = open_planned_run(connection, f"run {self.calls}", scope=scope, model=version)
        if scope == "rescore" and self.draw.random() < 0.5:
            self.draw.choice((self.write, self.change, self.night))()
        with database.writing(self.engine) as connection:
            claim = shards.claim(connection, run, 0)
            assert claim is not None
            chunk = shards.read_chunk(connection, run, 0, after=None, limit=1_000)
            if chunk:
                answers = judged(chunk)
                hard = [zlib.crc32(f"{version} {key}".encode()) % HARD == 0 for key in answers.review_ids]
                reasons = dict.fromkeys(np.flatnonzero(hard).tolist(), "the model cannot label it")
                answers = replace(answers, labels=np.where(hard, -1, answers.labels), reasons=reasons)
                claim = shards.stage(connection, claim, answers, cursor=chunk[-1].review_id)
            shards.accept(connection, claim)
        with database.writing(self.engine) as connection:
            publication.audit(connection, run)
        scoring.publish(run)

    def promote(self) -> None:
        with database.writing(self.engine) as connection:
            others = [version for version in VERSIONS if version != promotions.champion(connection)]
            promote(connection, self.draw.choice(others))

    def catch_up(self) -> None:
        with database.reading(self.engine) as connection:
            serving, incoming = promotions.in_service(connection), promotions.awaiting_service(connection)
        if (scope := scoring.scope_to_catch_up()) is not None:
            self.score(scope, incoming["model_version"] if incoming else serving)

    def roll_back(self) -> None:
        before = self.shown
        try:
            models.rollback("比昨天差", "小李")
        except RegistryError:
            return
        with database.reading(self.engine) as connection:
            serving = promotions.in_service(connection)
        for key, (is_current, _, made_by, *label) in self.seen().items():
            if is_current and made_by != serving:
                assert before[key][2:] == (made_by, *label), "it shows another label than before"

    def upkeep(self) -> None:
        maintenance.retain()
        maintenance.tidy()

    def seen(self) -> dict[Any, tuple[Any, ...]]:
        """Of each review that analysts see: whether the label is of its present text, the version, and the label."""
        versions: dict[Any, datetime] = {row["review_id"]: row["updated_at"] for row in rows(self.engine, reviews)}
        return {
            row["review_id"]: (
                row["review_id"] in versions and not row["stale"], versions.get(row["review_id"]),
                row["model_version"], row["label"], row["score"], row["label_name"],
            )
            for row in rows(self.engine, "review_sentiment")
        }  # fmt: skip

    def check(self, where: str) -> None:
        seen = self.seen()
        versions = {row["review_id"]: row["updated_at"] for row in rows(self.engine, reviews)}
        for key, (is_current, version, *_) in self.shown.items():
            assert key in seen, f"{where}: review {key} had a label"
            if is_current and versions.get(key) == version:
                assert seen[key][0], f"{where}: review {key} had a current label"
        self.shown = seen
        check_rollups(self.engine, where)
        (health,) = rows(self.engine, "service_health")
        with database.reading(self.engine) as connection:
            serving, incoming = promotions.in_service(connection), promotions.awaiting_service(connection)
            if incoming is not None and incoming["model_version"] != serving:
                missing = service.count_missing(connection, incoming["model_version"], serving)
                assert health["missing"] == missing, where


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_no_switch_loses_a_label(seed: int, engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_KEEP_MODELS", "1")
    shop = Shop(engine, seed)
    steps = (
        *(shop.write, shop.write, shop.change, shop.night, shop.night, shop.promote, shop.catch_up, shop.catch_up),
        *(shop.roll_back, shop.upkeep, shop.erase, shop.delete),
    )
    for number in range(STEPS):
        step = shop.draw.choice(steps)
        step()
        shop.check(f"step {number}, {step.__name__}")
        shop.now += timedelta(hours=1)
    for _ in range(3):
        shop.catch_up()
    assert scoring.scope_to_catch_up() is None
