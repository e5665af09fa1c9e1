"""Nights that are killed at random moments: one clean re-run, and the tables are as if nothing had happened.

A round: some reviews are edited and some are new, a child process runs the night and gets SIGKILL at a random moment of
it, another child runs it to its end. ``SENTI_KILLS`` says how many rounds (default 8), ``SENTI_KILL_SEED`` which ones.
"""

import os
import random
import signal
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.jobs import scoring
from senti_tasks.jobs.workplace import enter
from senti_tasks.text import digest
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import (
    label_rollups,
    review_label_history,
    review_labels,
    reviews,
    scoring_runs,
    staged_labels,
)
from tests.situations import PHRASES, WEDNESDAY, add_reviews, edit, rows

ROUNDS = int(os.environ.get("SENTI_KILLS", "8"))
SEED = int(os.environ.get("SENTI_KILL_SEED", "2026"))
REVIEWS = 400
CHANGES = 20


def run_night(origin: str, due: datetime) -> None:
    run = scoring.open_run(origin, due.isoformat())
    for shard in scoring.plan(run, 2):
        scoring.score_shard(run, shard)
    scoring.audit(run)
    scoring.publish(run)


def in_a_child(origin: str, due: datetime) -> int:
    """Starts the night in a fork of this process, which has loaded the model and holds no connection; gives its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        run_night(origin, due)
        os._exit(0)
    except BaseException:  # whatever it is: pytest's own clean-up is not the child's
        os._exit(1)


def kill_after(pid: int, seconds: float) -> bool:
    """Whether SIGKILL came before the child had ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


def finish(pid: int) -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the clean run failed"


@pytest.fixture
def shop(engine: Engine, champion: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Four hundred reviews, and the model in memory, which reads them sixty at a time."""
    scorer = scoring.scorer_of(enter(), champion)
    monkeypatch.setattr(scorer, "window_rows", 60)
    with database.writing(engine) as connection:
        add_reviews(connection, {key: text(key, 0) for key in range(REVIEWS)})
    return engine


def text(key: int, version: int) -> str:
    return f"{PHRASES[key % 12]}{PHRASES[(key + version) % 12]}第{key}条，第{version}次"


def change(engine: Engine, number: int, draw: random.Random, at: datetime) -> int:
    """Edits some reviews and adds some; returns how many had a label, which has to go to the history now."""
    edited = draw.sample(range(REVIEWS), CHANGES)
    first = REVIEWS + number * CHANGES
    with database.writing(engine) as connection:
        for key in edited:
            edit(connection, key, text(key, number + 1), at=at)
        add_reviews(connection, {key: text(key, 0) for key in range(first, first + CHANGES)}, at=at)
    return len(edited)


def check(engine: Engine, history: int, where: str) -> None:
    present = {row["review_id"]: digest(row["review_text"]) for row in rows(engine, reviews)}
    labels = rows(engine, review_labels)
    assert {row["review_id"]: row["text_digest"] for row in labels} == present, where
    assert len(labels) == len(present), where
    replaced = rows(engine, review_label_history)
    assert len(replaced) == history, where
    assert len({(row["review_id"], row["text_digest"]) for row in replaced}) == history, where
    runs: list[dict[str, Any]] = rows(engine, scoring_runs, order_by="run_id")
    assert {row["state"] for row in runs} == {"published"}, where
    assert [row["publish_seq"] for row in runs] == list(range(1, len(runs) + 1)), where
    counted = Counter((row["model_version"], row["local_day"], row["label"]) for row in labels)
    rolled = {
        (row["model_version"], row["local_day"], row["label"]): row["reviews"]
        for row in rows(engine, label_rollups)
        if row["reviews"]
    }
    assert rolled == counted, where


def test_killed_at_random_moments_nothing_is_lost_or_doubled(shop: Engine) -> None:
    draw = random.Random(f"{SEED} {shop.dialect.name}")  # noqa: S311  it has to be drawn again
    begun = time.monotonic()
    finish(in_a_child("uninterrupted", WEDNESDAY))
    duration = time.monotonic() - begun
    check(shop, 0, "uninterrupted")
    history, phases = 0, Counter[str]()
    for number in range(ROUNDS):
        due = WEDNESDAY + timedelta(hours=number + 1)
        history += change(shop, number, draw, due - timedelta(minutes=1))
        moment = draw.uniform(0, duration) if number % 3 else draw.uniform(0.6 * duration, 1.1 * duration)
        where = f"seed {SEED}, round {number}, killed after {moment:.3f} s of {duration:.3f} s"
        killed = kill_after(in_a_child(f"night {number}", due), moment)
        phases[phase(shop, f"night {number}") if killed else "over"] += 1
        finish(in_a_child(f"night {number}", due))
        check(shop, history, where)
    assert sum(phases.values()) == ROUNDS
    assert phases["over"] < ROUNDS, f"no kill came in time: {phases}"


def phase(engine: Engine, origin: str) -> str:
    """How far the night had come."""
    with database.reading(engine) as connection:
        state = connection.scalar(sa.select(scoring_runs.c.state).where(scoring_runs.c.origin == origin))
        staged = connection.scalar(sa.select(sa.func.count()).select_from(staged_labels))
    return f"{state}, staged" if staged and state == "planned" else str(state)


@pytest.mark.parametrize("origins", [("one", "one"), ("one", "another")], ids=["one night", "two nights"])
def test_two_scorers_started_together_end_as_if_one_after_the_other(origins: tuple[str, str], shop: Engine) -> None:
    pids = [in_a_child(origin, WEDNESDAY) for origin in origins]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert 0 in codes, "one of the two at least comes through; the other may have lost its shard to it"
    for origin in set(origins):
        finish(in_a_child(origin, WEDNESDAY))
    check(shop, 0, str(origins))
