"""A long command is never silent: a line that moves on a terminal, a line now and then elsewhere."""

import io
import logging
import threading
from typing import Any

from rich.console import Console

from senti_tasks.cli.stages import Stages
from senti_tasks.progress import Progress

PATIENCE_S = 60.0
log = logging.getLogger("senti_tasks.jobs.anything")


class Written(io.StringIO):
    """What was written, and a signal for each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = threading.Semaphore(0)

    def write(self, text: str) -> int:
        self.writes.release()
        return super().write(text)

    def wait_for(self, writes: int) -> None:
        for _ in range(writes):
            assert self.writes.acquire(timeout=PATIENCE_S), "it has become silent"


def stages(*, terminal: bool, every_s: float = PATIENCE_S, **more: Any) -> tuple[Stages, Written]:
    out = Written()
    return Stages(Console(file=out, force_terminal=terminal, width=80, soft_wrap=True, **more), every_s), out


def test_the_line_moves_on_a_terminal_while_the_work_says_nothing() -> None:
    found, out = stages(terminal=True)
    with found.stage("training"):
        out.wait_for(20)
    assert "training" in out.getvalue()


def test_a_terminal_sees_share_rate_and_time_left() -> None:
    found, out = stages(terminal=True, color_system=None)
    with found.stage("loading") as stage:
        stage.watch(Progress("training, epoch 2 of 5", 300, 1_000, "reviews", 512.0, 65.0))
        out.wait_for(20)
    assert "training, epoch 2 of 5" in out.getvalue()
    assert "30 %  512 reviews/s  1:05 left" in out.getvalue()


def test_a_log_gets_a_line_with_the_newest_that_is_known() -> None:
    found, out = stages(terminal=False, every_s=0.001)
    with found.stage("making a snapshot"):
        out.wait_for(2)
        log.info("12 labelled reviews are usable;\nnow each gets its split")
        out.writes = threading.Semaphore(0)
        out.wait_for(4)
    lines = out.getvalue().splitlines()
    assert lines[0] == "making a snapshot (0:00 so far)"
    assert "making a snapshot: 12 labelled reviews are usable; now each gets its split (0:0" in lines[-1]
    assert "\x1b" not in out.getvalue()


def test_a_stage_that_ends_soon_leaves_only_what_it_says() -> None:
    found, out = stages(terminal=False)
    with found.stage("checking"):
        pass
    with found.stage("checking") as stage:
        stage.says("corpus c1: 2,600 train")
    assert out.getvalue() == "corpus c1: 2,600 train\n"


def test_warnings_stay_and_the_logger_is_as_before() -> None:
    found, out = stages(terminal=False)
    logger = logging.getLogger("senti_tasks")
    before = (logger.level, list(logger.handlers))
    with found.stage("training"):
        log.warning("the budget of 4:00 min ends the training")
    assert out.getvalue() == "the budget of 4:00 min ends the training\n"
    assert (logger.level, logger.handlers) == before


def test_a_count_has_a_rate_and_begins_again_with_the_next_range() -> None:
    found, _ = stages(terminal=False)
    with found.stage("scoring") as stage:
        for done in (1_000, 3_000, 500):
            stage.count(done, 5_000, "reviews")
            known = stage.progress
            assert known is not None
            assert (known.rate is None) == (done != 3_000)
