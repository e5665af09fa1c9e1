"""Tables at every width: nothing is broken that must be whole, and nothing is lost."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from senti_tasks.cli import tables
from senti_tasks.cli.dashboard import dashboard, shown_age
from senti_tasks.progress import Progress, shown_time

AT = datetime(2026, 11, 28, 1, 30, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {
        "version": f"2026-11-2{n}-a31f9c",
        "verdict": "promote",
        "accuracy": 0.92581,
        "rows": 12_345,
        "at": AT,
        "base": "google-bert/bert-base-chinese",
        "reason": "accuracy is 3.5 points above the baseline's (lower bound +0.6, allowed -4.0)",
    }
    for n in range(3)
]
COLUMNS = {name: name.replace("_", " ") for name in ROWS[0]}


def drawn(shown: Any, width: int, **more: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=width, soft_wrap=True, highlight=False, **more)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_every_table_fits_and_breaks_no_name_date_or_number(width: int) -> None:
    lines = drawn(tables.table(ROWS, COLUMNS, formats={"accuracy": "{:.1%}"}), width)
    assert max(map(cell_len, lines)) <= width
    shown = " ".join(lines)
    for whole in (
        "2026-11-20-a31f9c",
        "92.6%",
        "12,345",
        f"{AT.astimezone():%Y-%m-%d %H:%M}",
        "google-bert/bert-base-chinese",
    ):
        assert shown.count(whole) >= 1, (whole, lines)
    assert "…" not in shown


def test_a_wide_table_has_one_line_for_each_row() -> None:
    assert len(drawn(tables.table(ROWS, COLUMNS), 200)) == 1 + len(ROWS)


@pytest.mark.parametrize("width", [40, 80])
def test_a_text_is_cut_to_one_line_by_the_width_of_its_characters(width: int) -> None:
    rows = [{"day": "2026-11-22", "text": "敏感肌用着不刺痛，\n第一眼注意到的是一直往下掉！" * 20}]
    header, line = drawn(tables.table(rows, {"day": "day", "text": "text"}, one_line=("text",)), width)
    assert header.split() == ["day", "text"]
    assert cell_len(line) <= width
    assert line.rstrip().endswith("…")


def test_the_values_of_a_column_have_as_many_digits_as_its_format_says() -> None:
    rows = [{"accuracy": value} for value in (0.9, 0.92581, None)]
    lines = drawn(tables.table(rows, {"accuracy": "accuracy"}, formats={"accuracy": "{:.1%}"}), 80)
    assert [line.strip() for line in lines] == ["accuracy", "90.0%", "92.6%", "-"]
    assert len({len(line) for line in lines[1:]}) == 1


def test_verdicts_have_colour_on_a_terminal_only() -> None:
    table = tables.table([{"verdict": "refuse"}, {"verdict": "promote"}], {"verdict": "verdict"})
    coloured = "\n".join(drawn(table, 80, force_terminal=True, color_system="standard"))
    assert "\x1b[1;31mrefuse" in coloured
    assert "\x1b[32mpromote" in coloured
    assert "\x1b" not in "\n".join(drawn(table, 80))
    assert "\x1b[3" not in "\n".join(drawn(table, 80, force_terminal=True, no_color=True))


def status(**more: Any) -> dict[str, Any]:
    run = {"run_id": 7, "scope": "new", "model_version": "2026-11-20-a31f9c", "state": "published", "planned": 4_400}
    run |= {"labelled": 4_398, "failed": 2, "superseded": 0, "published_at": AT}
    counts = {"reviews": 4_400, "annotated": 3_351, "pending": 12, "held": [], "carried_over": 0, "missing": 0}
    names = {"champion": "2026-11-20-a31f9c", "in_service": None, "incoming": None, "frozen": None, "runs": [run]}
    return {**counts, **names, **more}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_dashboard_fits_and_says_what_waits(width: int) -> None:
    found = status(incoming="2026-11-21-b00000", missing=1_234)
    lines = drawn(dashboard(found, ["run 7 is held"], now=AT), width)
    shown = "\n".join(lines)
    assert max(map(cell_len, lines)) <= width
    for part in ("4,400", "no model yet", "2026-11-21-b00000", "1,234 labels", "• run 7 is held", "just now", "4,398"):
        assert part in shown


def test_a_warehouse_without_runs_has_a_dashboard_too() -> None:
    assert "none yet: senti score" in "\n".join(drawn(dashboard(status(runs=[]), [], now=AT), 80))


@pytest.mark.parametrize(
    ("seconds", "shown"), [(30, "just now"), (150, "2 min ago"), (7_300, "2 h ago"), (200_000, "2 d ago")]
)
def test_an_age_has_one_unit(seconds: int, shown: str) -> None:
    assert shown_age(datetime.fromtimestamp(AT.timestamp() - seconds, UTC), AT) == shown


@pytest.mark.parametrize(
    "progress",
    [
        Progress("training, epoch 2 of 5", 12_800, 144_000, "reviews", 512.0, 256.0),
        Progress("scoring", 0, 60_000, "reviews"),
        Progress("evaluating, epoch 1 of at most 1", 5, 10, "reviews", 2.5, 3_725.0),
    ],
)
def test_a_line_of_progress_can_be_read_back(progress: Progress) -> None:
    assert Progress.parse(str(progress)) == progress


def test_another_line_is_no_progress() -> None:
    assert Progress.parse("epoch 1 of 3: training loss 0.5980, validation loss 0.3226") is None


def test_times_are_minutes_and_seconds() -> None:
    assert [shown_time(seconds) for seconds in (0.4, 65, 3_725)] == ["0:00", "1:05", "1:02:05"]
