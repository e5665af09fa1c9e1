"""Runs that are killed at random moments: one clean re-run, and the tables are as if nothing had happened.

A round: some reviews are edited and some are new, a child process does a run and gets SIGKILL at a random moment of
it, another child runs it to its end. ``SENTI_KILLS`` says how many rounds (default 8), ``SENTI_KILL_SEED`` which ones;
``--log-cli-level=INFO`` shows how far the runs had come.
"""

import logging
import os
import random
import signal
import time
from collections import Counter
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.faults.scored_runs import SEED, change, check, complete_run, phase
from tests.situations import WEDNESDAY

log = logging.getLogger(__name__)

ROUNDS = int(os.environ.get("SENTI_KILLS", "8"))


def in_a_child(idempotency_key: str, due: datetime) -> int:
    """Starts the run in a fork of this process, which has loaded the model and holds no connection; gives its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        complete_run(idempotency_key, due)
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


def test_killed_at_random_moments_nothing_is_lost_or_doubled(shop: Engine) -> None:
    draw = random.Random(f"{SEED} {shop.dialect.name}")  # noqa: S311  it has to be drawn again
    finish(in_a_child("first", WEDNESDAY))
    history, phases = change(shop, 0, draw, WEDNESDAY), Counter[str]()
    begun = time.monotonic()
    finish(in_a_child("uninterrupted", WEDNESDAY + timedelta(hours=1)))
    duration = time.monotonic() - begun
    check(shop, history, "uninterrupted")
    for number in range(1, ROUNDS + 1):
        due = WEDNESDAY + timedelta(hours=number + 1)
        history += change(shop, number, draw, due - timedelta(minutes=1))
        moment = draw.uniform(0, duration) if number % 3 else draw.uniform(0.6 * duration, 1.1 * duration)
        where = f"seed {SEED}, round {number}, killed after {moment:.3f} s of {duration:.3f} s"
        killed = kill_after(in_a_child(f"run {number}", due), moment)
        phases[phase(shop, f"run {number}") if killed else "over"] += 1
        finish(in_a_child(f"run {number}", due))
        check(shop, history, where)
    log.info("%d rounds: %s", ROUNDS, dict(phases))
    assert sum(phases.values()) == ROUNDS
    assert phases["over"] < ROUNDS, f"no kill came in time: {phases}"


@pytest.mark.parametrize("idempotency_keys", [("one", "one"), ("one", "another")], ids=["one run", "two runs"])
def test_two_scorers_started_together_end_as_if_one_after_the_other(
    idempotency_keys: tuple[str, str], shop: Engine
) -> None:
    pids = [in_a_child(idempotency_key, WEDNESDAY) for idempotency_key in idempotency_keys]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert 0 in codes, "one of the two at least comes through; the other may have lost its shard to it"
    for idempotency_key in set(idempotency_keys):
        finish(in_a_child(idempotency_key, WEDNESDAY))
    check(shop, 0, str(idempotency_keys))
