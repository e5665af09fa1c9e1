"""The stages of a long command on standard error: a line that moves on a terminal, a line every 10 s elsewhere."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TimeElapsedColumn,
)
from rich.progress import (
    Progress as Live,
)
from rich.table import Column
from rich.text import Text

from senti_tasks import console
from senti_tasks.progress import LOG_EVERY_S, Progress, shown_rate, shown_time

_LOGGER = "senti_tasks"
_BAR = 10


class Stage:
    """A part of a command that takes time. What it shows is the newest of: its progress, a log line, its name."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.begun = time.monotonic()
        self.progress: Progress | None = None
        self.detail = ""
        self.result = ""
        self._first: tuple[float, int] | None = None

    def watch(self, progress: Progress) -> None:
        """Shows how far the work is. It is a ``progress.Watcher``."""
        self.progress = progress

    def count(self, done: int, total: int, unit: str, *, what: str | None = None) -> None:
        """As ``watch``, with rate and time left as they were since the first count."""
        now = time.monotonic()
        if self._first is None or done < self._first[1]:
            self._first = (now, done)  # the next range begins at 0
        seconds, more = now - self._first[0], done - self._first[1]
        rate = more / seconds if more > 0 and seconds > 0 else None
        left = (total - done) / rate if rate else None
        self.watch(Progress(what or self.what, done, total, unit, rate, left))

    def says(self, result: str) -> None:
        """What stands in the line that stays when the stage has ended."""
        self.result = result

    @property
    def line(self) -> str:
        """What it does, for a log."""
        if self.progress is not None:
            return str(self.progress)
        done = f"{self.what}: {self.detail}" if self.detail else self.what
        return f"{done} ({shown_time(time.monotonic() - self.begun)} so far)"


class Stages:
    """Shows stages, one after another. Log lines of senti_tasks are shown as details of the stage, warnings stay.

    On a terminal the line moves ten times a second, whatever the work does. Elsewhere, a stage that lasts prints a line
    every ``every_s`` seconds. A stage that has ended leaves one line in both cases, if it says something.
    """

    def __init__(self, out: Console | None = None, every_s: float = LOG_EVERY_S) -> None:
        self._out = out or console.open_console(stderr=True)
        self._every_s = every_s

    @contextmanager
    def stage(self, what: str) -> Iterator[Stage]:
        """Shows ``what`` as long as the block lasts."""
        stage = Stage(what)
        with _listening(stage, self._out), self._moving(stage) if self._out.is_terminal else self._ticking(stage):
            yield stage
        took = time.monotonic() - stage.begun
        if stage.result:
            self._out.print(Text(stage.result + (f" ({shown_time(took)})" if took >= 1 else "")))

    def note(self, line: str) -> None:
        """Prints a line that stays, above a stage that moves."""
        self._out.print(Text(line))

    @contextmanager
    def _moving(self, stage: Stage) -> Iterator[None]:
        columns = (
            SpinnerColumn(style="none"),
            _What(stage, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            _Bar(stage),
            _Figures(stage),
            TimeElapsedColumn(),
        )
        with Live(*columns, console=self._out, transient=True, expand=True) as live:
            live.add_task(stage.what, total=None)
            yield

    @contextmanager
    def _ticking(self, stage: Stage) -> Iterator[None]:
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(self._every_s):
                with suppress(ValueError, OSError):  # the stream was closed meanwhile
                    self._out.print(Text(stage.line))

        ticker = threading.Thread(target=tick, daemon=True, name="stage")
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()


@contextmanager
def _listening(stage: Stage, out: Console) -> Iterator[None]:
    """While this is open, ``stage`` shows the log lines of this product, and warnings are printed."""
    logger, handler = logging.getLogger(_LOGGER), _Lines(stage, out)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(logging.INFO, before) if before else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Lines(logging.Handler):
    def __init__(self, stage: Stage, out: Console) -> None:
        super().__init__(logging.INFO)
        self._stage = stage
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if record.levelno >= logging.WARNING:
            self._out.print(Text(line))
        elif Progress.parse(line) is None:  # progress comes to ``watch`` more often
            self._stage.detail, self._stage.progress = " ".join(line.split()), None


class _What(ProgressColumn):
    max_refresh = 0.1

    def __init__(self, stage: Stage, table_column: Column) -> None:
        super().__init__(table_column=table_column)
        self._stage = stage

    def render(self, task: Task) -> Text:
        if self._stage.progress is not None:
            return Text(self._stage.progress.what)
        detail = f": {self._stage.detail}" if self._stage.detail else ""
        return Text.assemble(self._stage.what, (detail, "dim"))


class _Bar(BarColumn):
    def __init__(self, stage: Stage) -> None:
        super().__init__(bar_width=_BAR, complete_style="green", finished_style="green")
        self._stage = stage

    def render(self, task: Task):  # type: ignore[no-untyped-def]  # its type is of a private module of rich
        if (found := self._stage.progress) is None:
            return Text("")
        task.total, task.completed = found.total, found.done
        return super().render(task)


class _Figures(ProgressColumn):
    max_refresh = 0.5

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def render(self, task: Task) -> Text:
        if (found := self._stage.progress) is None:
            return Text("")
        share = f"{100 * found.done // max(1, found.total):3d} %"
        rate = "" if found.rate is None else f"  {shown_rate(found.rate)} {found.unit}/s"
        left = "" if found.left_s is None else f"  {shown_time(found.left_s)} left"
        return Text(share + rate + left)
