"""What every transaction keeps to."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import publish_clock
from tests.situations import on_sqlite, rows

WRITERS, TIMES = 4, 25


@on_sqlite
def test_four_writers_that_read_first_all_succeed(engine: Engine) -> None:
    def count_up(_writer: int) -> None:
        own = database.connect(engine.url.render_as_string(hide_password=False))
        for _ in range(TIMES):
            with database.writing(own) as connection:
                seq = connection.execute(sa.select(publish_clock.c.publish_seq)).scalar_one()
                connection.execute(sa.update(publish_clock).values(publish_seq=seq + 1))
        own.dispose()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(count_up, range(WRITERS)))
    assert rows(engine, publish_clock)[0]["publish_seq"] == WRITERS * TIMES


def test_a_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    with pytest.raises(RuntimeError), database.writing(engine) as connection:
        connection.execute(sa.update(publish_clock).values(publish_seq=7))
        raise RuntimeError
    assert rows(engine, publish_clock)[0]["publish_seq"] == 0


def test_an_analyst_who_reads_does_not_hold_up_a_writer(engine: Engine) -> None:
    with database.reading(engine) as reader:
        assert reader.scalar(sa.select(publish_clock.c.publish_seq)) == 0
        with database.writing(engine) as connection:
            connection.execute(sa.update(publish_clock).values(publish_seq=1))
    assert rows(engine, publish_clock)[0]["publish_seq"] == 1
