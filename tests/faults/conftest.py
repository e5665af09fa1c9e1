"""The shop whose runs go wrong."""

import pytest
from sqlalchemy import Engine

from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.scoring import loading
from senti_tasks.warehouse import database
from tests.faults.scored_runs import CHUNK, REVIEWS, text
from tests.situations import add_reviews


@pytest.fixture
def shop(engine: Engine, champion: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Four hundred reviews, and the model in memory, which reads them sixty at a time."""
    scorer = loading.scorer_of(load_context(), champion)
    monkeypatch.setattr(scorer, "chunk_rows", CHUNK)
    with database.writing(engine) as connection:
        add_reviews(connection, {key: text(key, 0) for key in range(REVIEWS)})
    return engine
