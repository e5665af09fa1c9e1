"""A SQLite file that may not grow, as its disk or its owner would have it: a step that finds no room leaves nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from senti_tasks.errors import NoRoomError
from senti_tasks.jobs import scoring
from senti_tasks.warehouse.schema import review_labels, run_items, staged_labels
from tests.faults.disks import NO_ROOM
from tests.faults.scored_runs import check, complete_run
from tests.situations import WEDNESDAY, count, on_sqlite

pytestmark = on_sqlite
STEPS: dict[str, Callable[[int], Any]] = {
    "plan": lambda run: scoring.plan(run, 1),
    "score": lambda run: scoring.score_shard(run, 0),
    "audit": scoring.audit,
    "publish": scoring.publish,
}
WRITES = {"plan": run_items, "score": staged_labels, "publish": review_labels}


@contextmanager
def no_more_pages() -> Iterator[None]:
    """No file that is opened meanwhile grows: the limit that SQLite takes is never below what the file holds."""

    def limit(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    event.listen(Engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(Engine, "connect", limit)


@pytest.mark.parametrize("failing", WRITES)
def test_a_step_that_finds_no_room_says_so_and_the_run_goes_on_there(failing: str, shop: Engine) -> None:
    (run,) = scoring.open_series("run", WEDNESDAY.isoformat())
    before = list(STEPS)[: list(STEPS).index(failing)]
    for step in before:
        STEPS[step](run)
    with no_more_pages(), pytest.raises(NoRoomError, match=NO_ROOM):
        STEPS[failing](run)
    assert count(shop, WRITES[failing]) == 0
    complete_run("run", WEDNESDAY)
    check(shop, 0, failing)
