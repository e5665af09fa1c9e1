"""A connection that is cut in the middle of a statement, or that loses the answer to a COMMIT: nobody knows then."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import UnreachableError
from senti_tasks.jobs import scoring
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import review_labels, run_shards, scoring_runs, staged_labels
from tests.faults.scored_runs import CHUNK, REVIEWS, check, complete_run, score_run
from tests.faults.wires import Cut, Wire
from tests.situations import WEDNESDAY, count, on_postgresql, rows

pytestmark = on_postgresql
UNREACHABLE = "cannot reach the warehouse at .*: is SENTI_DATABASE_URL right, and the server running"


@pytest.fixture
def wire(shop: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    with tempfile.TemporaryDirectory(prefix="senti-wire-") as folder, Wire(Path(folder), shop.url).open() as wire:
        monkeypatch.setenv("SENTI_DATABASE_URL", wire.url)
        yield wire


def score(wire: Wire, cut: Cut) -> None:
    """Scores the run's one shard, six chunks and a bit, until the wire is cut."""
    (run,) = scoring.open_series("run", WEDNESDAY.isoformat())
    scoring.plan(run, 1)
    wire.cut = cut
    with pytest.raises(UnreachableError, match=UNREACHABLE):
        scoring.score_shard(run, 0)
    assert wire.cut is None


def pages_staged(engine: Engine) -> float:
    """How many, where the shard's mark and the rows agree."""
    (shard,) = rows(engine, run_shards)
    staged = rows(engine, staged_labels, order_by="review_id")
    assert shard["cursor"] == staged[-1]["review_id"]
    return len(staged) / CHUNK


def finish(engine: Engine) -> None:
    complete_run("run", WEDNESDAY)
    check(engine, 0, "the next attempt")


@pytest.mark.parametrize("after_bytes", [0, 1_000])
def test_a_chunk_whose_copy_is_cut_is_not_staged_and_the_next_attempt_goes_on_there(
    after_bytes: int, wire: Wire, shop: Engine
) -> None:
    score(wire, Cut(b"COPY ", number=3, after_bytes=after_bytes))
    assert pages_staged(shop) == 2
    finish(shop)


def test_a_chunk_whose_commit_got_no_answer_is_staged_and_not_staged_again(wire: Wire, shop: Engine) -> None:
    score(wire, Cut(b"COPY ", number=3))
    assert pages_staged(shop) == 3
    finish(shop)


def publish(wire: Wire, cut: Cut) -> None:
    """Takes a run as far as its publication, in which the wire is cut."""
    run = score_run("run", WEDNESDAY)
    wire.cut = cut
    with pytest.raises(UnreachableError, match=UNREACHABLE):
        scoring.publish(run)
    assert wire.cut is None


def test_a_publication_that_is_cut_before_its_commit_leaves_nothing(wire: Wire, shop: Engine) -> None:
    publish(wire, Cut(b"UPDATE publication_lock", number=2, after_bytes=0))
    assert count(shop, review_labels) == 0
    assert [row["state"] for row in rows(shop, scoring_runs)] == ["audited"]
    finish(shop)


def test_a_publication_whose_commit_got_no_answer_stands_and_is_not_made_again(wire: Wire, shop: Engine) -> None:
    publish(wire, Cut(b"UPDATE publication_lock"))
    assert count(shop, review_labels) == REVIEWS
    finish(shop)


def test_a_session_that_an_administrator_ends_says_so_and_the_next_attempt_goes_on(shop: Engine) -> None:
    (run,) = scoring.open_series("run", WEDNESDAY.isoformat())
    scoring.plan(run, 1)
    others = sa.text(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with pytest.raises(UnreachableError, match=UNREACHABLE), database.writing(shop) as ended:
        ended.execute(sa.update(run_shards).values(cursor=REVIEWS))
        with database.writing(shop) as administrator:
            assert administrator.execute(others).scalars().all() == [True]
        ended.execute(sa.update(run_shards).values(cursor=REVIEWS))
    finish(shop)
