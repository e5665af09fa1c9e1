"""Nights that are killed at random moments: one clean re-run, and the tables are as if nothing had happened.

A round: some reviews are edited and some are new, a child process runs the night and gets SIGKILL at a random moment of
it, another child runs it to its end. ``SENTI_KILLS`` says how many rounds (default 8), ``SENTI_KILL_SEED`` which ones;
``--log-cli-level=INFO`` shows how far the nights had come.
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

from tests.faults.nights import SEED, change, check, phase, run_night
from tests.situations import WEDNESDAY

log = logging.getLogger(__name__)

ROUNDS = int(os.environ.get("SENTI_KILLS", "8"))


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
        killed = kill_after(in_a_child(f"night {number}", due), moment)
        phases[phase(shop, f"night {number}") if killed else "over"] += 1
        finish(in_a_child(f"night {number}", due))
        check(shop, history, where)
    log.info("%d rounds: %s", ROUNDS, dict(phases))
    assert sum(phases.values()) == ROUNDS
    assert phases["over"] < ROUNDS, f"no kill came in time: {phases}"


@pytest.mark.parametrize("origins", [("one", "one"), ("one", "another")], ids=["one night", "two nights"])
def test_two_scorers_started_together_end_as_if_one_after_the_other(origins: tuple[str, str], shop: Engine) -> None:
    pids = [in_a_child(origin, WEDNESDAY) for origin in origins]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert 0 in codes, "one of the two at least comes through; the other may have lost its shard to it"
    for origin in set(origins):
        finish(in_a_child(origin, WEDNESDAY))
    check(shop, 0, str(origins))
