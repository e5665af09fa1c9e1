"""The shop whose nights go wrong."""

import pytest
from sqlalchemy import Engine

from senti_tasks.jobs.context import enter
from senti_tasks.jobs.scoring import loading
from senti_tasks.warehouse import database
from tests.faults.nights import PAGE, REVIEWS, text
from tests.situations import add_reviews


@pytest.fixture
def shop(engine: Engine, champion: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Four hundred reviews, and the model in memory, which reads them sixty at a time."""
    scorer = loading.scorer_of(enter(), champion)
    monkeypatch.setattr(scorer, "window_rows", PAGE)
    with database.writing(engine) as connection:
        add_reviews(connection, {key: text(key, 0) for key in range(REVIEWS)})
    return engine
