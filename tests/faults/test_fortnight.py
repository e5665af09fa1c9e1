"""A fortnight in the life of a shop, driven by a seed: what holds after every step, whatever the order of the steps.

``SENTI_FORTNIGHTS=N`` plays N fortnights on each database instead of one.
"""

import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.config import PlanConfig
from senti_tasks.errors import FrozenError, HeldRunError
from senti_tasks.jobs import models, scoring
from senti_tasks.jobs.operations import erasure, maintenance, upkeep
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.schema import review_labels, reviews, run_items, scoring_runs
from senti_tasks.warehouse.scoring import held_runs
from tests.recounts import check_rollups
from tests.situations import MONDAY, PHRASES, add_reviews, deploy, edit, rows

FORTNIGHTS = int(os.environ.get("SENTI_FORTNIGHTS", "1"))
SEED = int(os.environ.get("SENTI_FORTNIGHT_SEED", "2026"))
NIGHTS, NIGHTS_BEFORE = 14, 8
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
RANGE_ROWS = 40
"""Small, so that a re-scoring and a late night have several ranges."""


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    small = PlanConfig(shard_rows=15, range_rows=RANGE_ROWS)
    monkeypatch.setattr("senti_tasks.jobs.scoring.runs.PlanConfig", lambda: small)
    monkeypatch.setattr("senti_tasks.jobs.scoring.rescoring.PlanConfig", lambda: small)


class Shop:
    """A shop with its model, and what was true of it after the step before."""

    def __init__(self, engine: Engine, home: Path, model_folder: Path, seed: int) -> None:
        self.engine = engine
        self.draw = random.Random(f"{SEED} {seed}")  # noqa: S311  it has to be drawn again
        self.day, self.keys, self.versions, self.calls = 0, 0, 1, 0
        self.home, self.model_folder = home, model_folder
        self.seen: dict[Any, datetime] = {}
        self.happened: Counter[str] = Counter()
        pool = [f"{one}{two}第{number}条" for number in range(3) for one in PHRASES for two in PHRASES]
        self.texts: dict[int, list[str]] = defaultdict(list)
        for row in scoring.predict(pool):
            self.texts[row["label"]].append(row["text"])

    @property
    def now(self) -> datetime:
        return MONDAY + self.day * DAY

    def key(self, kind: str) -> str:
        self.calls += 1
        return f"{kind}/{self.calls}"

    # What the shop does

    def write(self, number: int, labels: tuple[int, ...] = (0, 1)) -> None:
        if number == 0:
            return
        texts = {}
        for _ in range(number):
            self.keys += 1
            texts[self.keys] = self.draw.choice(self.texts[self.draw.choice(labels)])
        with database.writing(self.engine) as connection:
            add_reviews(connection, texts, now=self.now - self.draw.randrange(60) * timedelta(minutes=1))

    def commit_late(self, number: int) -> None:
        """Reviews with an ``updated_at`` that runs have passed already."""
        before = self.day
        self.day -= self.draw.choice((1, 1, 3))
        self.write(number)
        self.day = before

    def edit(self, number: int) -> None:
        with database.writing(self.engine) as connection:
            present = connection.execute(sa.select(reviews.c.review_id)).scalars().all()
            for key in self.draw.sample(sorted(present), number):
                edit(connection, key, self.draw.choice(self.texts[self.draw.choice((0, 1))]), now=self.now)

    def erase(self) -> None:
        number = self.draw.randint(1, 3)
        with database.reading(self.engine) as connection:
            present = sorted(connection.execute(sa.select(reviews.c.review_id)).scalars())
        erasure.erase([str(key) for key in self.draw.sample(present, number)], "一封信", "小李")

    # What runs

    def run(self, scope: str, *, between: Callable[[], None] = lambda: None) -> None:
        """A scoring run as the DAGs do it; ``between`` happens somewhere in the middle."""
        due = (self.now + HOUR).isoformat()
        run_ids = scoring.open_series(self.key(scope), due, scope)
        shards = scoring.list_shards(run_ids)
        pause = self.draw.randrange(len(shards) + 1)
        for number, shard in enumerate(shards):
            if number == pause:
                between()
                self.check(f"in the middle of {scope}")
            scoring.complete_shard(shard["run"], shard["shard"])
            self.check(f"after shard {number} of {scope}")
        try:
            scoring.publish_series(run_ids)
        except FrozenError:
            self.happened["frozen"] += 1
        except HeldRunError:
            self.happened["held"] += 1

    def catch_up(self, *, between: Callable[[], None] = lambda: None) -> None:
        """A run of ``rescore_reviews``."""
        if (scope := scoring.scope_to_catch_up()) is None:
            return
        self.run(scope, between=between)
        if scope == "rescore" and self.draw.random() < 0.7:
            scoring.catch_up(self.key("catch-up"), (self.now + HOUR).isoformat())

    # What people do

    def promote(self) -> None:
        self.versions += 1
        deploy(self.engine, self.model_folder, self.home, f"2026-11-02-model{self.versions}")
        self.happened["promotion"] += 1

    def roll_back(self) -> None:
        done = models.rollback("比昨天差", "小李")
        self.happened["rollback"] += 1
        self.happened["carried over"] += done["carried_over"]

    def freeze(self) -> None:
        upkeep.freeze("盘点", "小李")

    def decide(self) -> None:
        """A person publishes each held run anyway, or gives it up."""
        for run in self.held():
            if self.draw.random() < 0.5:
                scoring.abandon(run, "小李")
                self.happened["given up"] += 1
            else:
                with suppress(FrozenError):
                    scoring.publish_series([run], "大促销", "小李")
                self.happened["published anyway"] += 1

    # What has to be true

    def held(self) -> list[int]:
        with database.reading(self.engine) as connection:
            return [row["run_id"] for row in held_runs.waiting(connection)]

    def current(self) -> dict[Any, datetime]:
        """The reviews whose present text has a label that analysts see, and the version of that text."""
        stale = {row["review_id"] for row in rows(self.engine, "review_sentiment") if row["stale"]}
        labelled = {row["review_id"] for row in rows(self.engine, "review_sentiment")} - stale
        versions = {row["review_id"]: row["updated_at"] for row in rows(self.engine, reviews)}
        return {key: version for key, version in versions.items() if key in labelled}

    def check(self, where: str) -> None:
        where = f"day {self.day}: {where}"
        present = {row["review_id"]: row["updated_at"] for row in rows(self.engine, reviews)}
        current = self.current()
        lost = {key for key, version in self.seen.items() if present.get(key) == version and key not in current}
        assert not lost, f"{where}: these reviews had a current label: {sorted(lost)}"
        self.seen = current
        held = set(self.held())
        published = rows(self.engine, review_labels)
        runs = {row["run_id"]: row for row in rows(self.engine, scoring_runs)}
        waiting = {
            (runs[row["run_id"]]["model_version"], row["review_id"], row["review_updated_at"]): row["run_id"]
            for row in rows(self.engine, run_items)
            if row["run_id"] in held
        }
        # A run of the scope all may be held too; its reviews keep the labels that they had before.
        undecided = {
            row["review_id"]
            for row in published
            if (run := waiting.get((row["model_version"], row["review_id"], row["review_updated_at"]))) is not None
            and row["carried_from"] is None
            and (runs[run]["scope"] != "all" or runs[row["run_id"]]["published_at"] > runs[run]["held_at"])
        }
        assert not undecided, f"{where}: published although a person has not decided"
        check_rollups(self.engine, where)


@dataclass
class Plan:
    """On which days something special happens."""

    odd: int
    """Reviews of one label only, so that the night is held."""
    frozen: int
    """A day on which publishing may be frozen, also in the middle of a run."""
    steps: dict[int, list[Callable[[], None]]]


def planned(shop: Shop) -> Plan:
    draw, first = shop.draw, shop.day
    odd = first + draw.randrange(3)
    promoted = first + draw.randint(1, 4)
    again = promoted + draw.randint(2, 5)
    steps: dict[int, list[Callable[[], None]]] = defaultdict(list)
    steps[promoted].append(shop.promote)
    steps[again].append(shop.promote)
    steps[again + draw.randint(1, 3)].append(shop.roll_back)
    steps[first + draw.randrange(NIGHTS)].append(shop.erase)
    steps[odd + draw.randint(1, 3)].append(shop.decide)
    return Plan(odd, draw.choice((promoted, again)), steps)


def play(shop: Shop) -> None:
    for _ in range(NIGHTS_BEFORE):
        shop.write(shop.draw.randint(12, 20))
        shop.run("new")
        shop.day += 1
    plan = planned(shop)
    for _ in range(NIGHTS):
        for step in plan.steps[shop.day]:
            step()
            shop.check(step.__name__)
        live(shop, plan)
        for run in runs_of_the_day(shop, plan):
            run()
            shop.check("a run")
        if shop.day > plan.frozen and shop.draw.random() < 0.6:
            upkeep.unfreeze("小李")
        if shop.draw.random() < 0.2:
            maintenance.retain()
            maintenance.tidy()
            shop.check("upkeep")
        shop.day += 1
    settle(shop)


def live(shop: Shop, plan: Plan) -> None:
    """What happens to the reviews on a day."""
    draw = shop.draw
    if shop.day == plan.odd:
        shop.write(60, labels=(draw.choice((0, 1)),))
    else:
        shop.write(draw.randint(5, 25))
    shop.edit(draw.randrange(4))
    shop.commit_late(draw.randrange(3))
    if shop.day == plan.frozen and draw.random() < 0.5:
        shop.freeze()
    shop.check("the day")


def runs_of_the_day(shop: Shop, plan: Plan) -> list[Callable[[], None]]:
    """The night and some runs of other DAGs, in a random order."""
    draw = shop.draw

    def surprise() -> None:
        shop.edit(draw.randrange(3))
        shop.write(draw.randrange(4))
        if shop.day == plan.frozen and draw.random() < 0.5:
            shop.freeze()

    runs: list[Callable[[], None]] = [lambda: shop.run("new", between=surprise)]
    runs += [lambda: shop.catch_up(between=surprise)] * draw.choice((0, 1, 2))
    if draw.random() < 0.2:
        runs.append(lambda: shop.run("reconcile"))
    if draw.random() < 0.1:
        runs.append(lambda: shop.run("all"))
    draw.shuffle(runs)
    return runs


def settle(shop: Shop) -> None:
    """After a quiet day nothing is left to do, and every review has a label of the model in service."""
    upkeep.unfreeze("小李")
    while shop.held():
        shop.decide()
        shop.check("the last decisions")
    for _ in range(3):
        shop.day += 1
        shop.run("reconcile")
        shop.decide()
        shop.catch_up()
        shop.check("the end")
    assert scoring.scope_to_catch_up() is None
    maintenance.tidy()  # abandons what was scored for a model that is no longer in use
    with database.reading(shop.engine) as connection:
        assert promotions.in_service(connection) == promotions.champion(connection)
    unfinished = [row for row in rows(shop.engine, scoring_runs) if row["state"] not in ("published", "abandoned")]
    assert not unfinished
    assert set(shop.current()) == {row["review_id"] for row in rows(shop.engine, reviews)}
    assert not [row for row in rows(shop.engine, "review_sentiment") if row["carried_over"]]


@pytest.fixture
def shops(engine: Engine, champion: str, home: Path, model_folder: Path) -> Iterator[Callable[[int], Shop]]:
    yield lambda seed: Shop(engine, home, model_folder, seed)


@pytest.mark.parametrize("seed", range(FORTNIGHTS))
def test_nothing_is_lost_doubled_or_published_unasked(shops: Callable[[int], Shop], seed: int) -> None:
    shop = shops(seed)
    try:
        play(shop)
    except BaseException as error:
        error.add_note(f"SENTI_FORTNIGHT_SEED={SEED}, fortnight {seed}, day {shop.day}: {dict(shop.happened)}")
        raise
    assert shop.happened["promotion"] == 2
    assert shop.happened["rollback"] == 1
