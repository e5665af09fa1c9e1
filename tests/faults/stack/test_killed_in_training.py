"""A worker is killed in a training. With ``SENTI_FAULTS=1`` (``make faults``), some 15 minutes."""

import logging
import os
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from local import sample
from senti_tasks.warehouse import database, schema
from tests.situations import SAMPLE_ROWS
from tests.stacks import Shop, opened_stack, sleep_until

pytestmark = pytest.mark.skipif(not os.environ.get("SENTI_FAULTS"), reason="SENTI_FAULTS=1 (make faults): 15 minutes")
log = logging.getLogger(__name__)

WORKERS = {"worker-default": "default", "worker-one": "gpu", "worker-two": "gpu"}
TRAINING = {"base_model": "scratch:tiny", "config": {"epochs": 3}, "gate": {"margin": 0.99}}
PATIENCE_S = 600


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Without a champion: the first training has none to be compared with."""
    with opened_stack(settings={"OMP_NUM_THREADS": "1", "SENTI_NO_TRAINING": ""}, workers=WORKERS) as opened:
        yield opened


def test_a_worker_is_killed_in_training_and_the_weights_are_those_of_an_undisturbed_one(shop: Shop) -> None:
    stack = shop.stack
    file = sample.write(stack.folder / "sample.csv", SAMPLE_ROWS)
    done = stack.container("importer").run("senti", "import", str(file), "--json")
    assert done.returncode == 0, done.stderr
    digests = []
    for kills in (True, False):
        run = stack.trigger("retrain_sentiment", TRAINING)
        task = stack.running("retrain_sentiment", run, "train", timeout=300)
        begun = time.monotonic()
        if kills:
            for worker in ("worker-one", "worker-two"):
                stack.kill(worker)

            def again(run: str = run, tries: int = task.try_number) -> bool:
                states = [one for one in stack.task_states("retrain_sentiment", run) if one.task_id == "train"]
                return any(one.try_number > tries and one.state in ("running", "success") for one in states)

            log.info("kill -9 of a worker in training: runs again after %.0f s", sleep_until(again, PATIENCE_S))
        assert stack.wait("retrain_sentiment", run, timeout=PATIENCE_S) == "success", stack.failure(
            "retrain_sentiment", run
        )
        log.info("training over after %.0f s", time.monotonic() - begun)
        with database.reading(shop.engine) as connection:
            newest = sa.select(schema.models.c.training).order_by(schema.models.c.trained_at.desc()).limit(1)
            digests.append(connection.scalar(newest)["weights_digest"])  # type: ignore[index]
    assert digests[0] == digests[1]
