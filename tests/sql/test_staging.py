"""Answers come back from ``staged_labels`` as they were staged, whatever the keys are, labelled or not."""

import uuid
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from senti_tasks.warehouse import database, migrations, partitions
from senti_tasks.warehouse.schema import staged_labels
from senti_tasks.warehouse.scoring import staging
from tests.situations import MONDAY, TUESDAY, rows

KEYS: dict[str, list[Any]] = {
    "bigint": [-(2**63), 0, 2**63 - 1],
    "text": ["", "评论:1", "a" * 3_000],
    "uuid": [str(uuid.UUID(int=number)) for number in (0, 7, 2**128 - 1)],
}


def answers(review_ids: list[Any], labels: list[int]) -> staging.Answers:
    return staging.Answers(
        review_ids,
        [f"{number:032x}" for number in range(3)],
        labels=np.array(labels),
        scores=np.array([0.1, 1 / 3, 1.0]),
        confidences=np.array([0.9, 2 / 3, 1.0]),
        truncated=np.array([False, True, False]),
        local_days=[MONDAY.date(), TUESDAY.date(), MONDAY.date().replace(1999)],
        products=["面馆", None, ""],
        scored_at=TUESDAY,
        reasons={place: f"没有标签 {place}" for place, label in enumerate(labels) if label < 0},
        characters=np.array([3, 0, 12]),
        unknown_characters=np.array([0, 0, 2]),
        unlike=np.array([False, False, True]),
        unlikeness=np.array([-0.5, 0, 2.25], dtype=np.float32),
        escalated=[False, True, None],
        checked_labels=[1, None, None],
    )


@pytest.mark.parametrize("labels", [[0, 1, 1], [0, -1, 1], [-1, -1, -1]], ids=["all", "some", "none"])
@pytest.mark.parametrize("id_type", KEYS)
def test_what_is_staged_comes_back(empty_url: str, id_type: str, labels: list[int]) -> None:
    engine = database.connect(empty_url)
    migrations.migrate(engine, review_id_type=id_type, reviews_table="reviews")
    keys = (
        [uuid.UUID(key) for key in KEYS[id_type]]
        if (id_type, engine.dialect.name) == ("uuid", "postgresql")
        else KEYS[id_type]
    )
    staged = answers(keys, labels)
    with database.writing(engine) as connection:
        partitions.create(connection, staged_labels, 3)
        staging.append(connection, 3, 2, 1, staged)
    found = {row["review_id"]: row for row in rows(engine, staged_labels)}
    assert len(found) == 3
    for place, key in enumerate(keys):
        known = labels[place] >= 0
        assert found[key] == {
            "run_id": 3,
            "shard": 2,
            "attempt": 1,
            "review_id": key,
            "text_hash": f"{place:032x}",
            "label": labels[place] if known else None,
            "score": staged.scores[place] if known else None,
            "confidence": staged.confidences[place] if known else None,
            "truncated": staged.truncated[place],
            "local_day": staged.local_days[place],
            "product": staged.products[place],
            "scored_at": TUESDAY,
            "reason": None if known else f"没有标签 {place}",
            "characters": (3, 0, 12)[place],
            "unknown_characters": (0, 0, 2)[place],
            "unlike": place == 2,
            "unlikeness": (-0.5, 0, 2.25)[place],
            "escalated": (False, True, None)[place],
            "checked_label": (1, None, None)[place],
        }
    engine.dispose()


def test_nothing_is_staged_of_no_answers(engine: sa.Engine) -> None:
    empty = staging.Answers([], [], *(np.empty(0),) * 4, [], [], TUESDAY, {})  # type: ignore[arg-type]
    with database.writing(engine) as connection:
        staging.append(connection, 1, 0, 1, empty)
    assert rows(engine, staged_labels) == []
