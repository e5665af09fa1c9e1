"""Python examples of README and docs/ run as printed, and so do the commands of the pages that lead through a task."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

import senti_tasks
from local import sample
from senti_tasks import cli
from senti_tasks.jobs import imports, scoring
from senti_tasks.training import base_names
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.scoring import held_runs
from tests.docs.blocks import PAGES, ROOT, arguments, blocks, named_files, shell_lines, variables
from tests.situations import SAMPLE_ROWS, WEDNESDAY, add_reviews, deploy, on_sqlite

pytestmark = on_sqlite

WITH_PYTHON = [page for page in PAGES if blocks(page, "python") and page.name != "README.zh-CN.md"]
"""The Chinese README has the examples of the English one, as another test holds."""
SMALL = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


@dataclass
class Shell:
    """Types the commands of a page, in this process."""

    home: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def type(self, line: str, code: int = 0, **values: str) -> str:
        """Types ``line`` with ``values`` for its placeholders; returns what it prints."""
        words = [values.get(word, word) for word in arguments(line)]
        if words == ["rm", "-r", "var"]:
            shutil.rmtree(self.home / "var")
            return ""
        assert words[0] == "senti", line
        with self.monkeypatch.context() as patch:
            for name, value in variables(line).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", words)
            self.capsys.readouterr()
            try:
                cli.main()
                ended = 0
            except SystemExit as exit_:
                ended = exit_.code if isinstance(exit_.code, int) else 1
        printed = self.capsys.readouterr()
        assert ended == code, f"{line}: {printed.out}{printed.err}"
        return printed.out + printed.err


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    """``scratch:tiny``, smaller still, and without the minute that int8 takes."""
    monkeypatch.setitem(base_names.SCRATCH, "scratch:tiny", SMALL)
    monkeypatch.setenv("SENTI_VARIANT", "fp32")


@pytest.fixture
def shell(home: Path, small: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(home)
    return Shell(home, monkeypatch, capsys)


@pytest.fixture
def after_make_run(shell: Shell, engine: Engine, model_folder: Path) -> Engine:
    """A warehouse as `make run` leaves it: the sample, a model in service, and a published run."""
    imports.import_reviews(sample.write(shell.home / "sample.csv", SAMPLE_ROWS), {})
    deploy(engine, model_folder, shell.home)
    shell.type("senti score")
    return engine


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_examples_run(page: Path, shell: Shell, after_make_run: Engine) -> None:
    found: dict[str, Any] = {"__name__": "example"}
    for example in blocks(page, "python"):
        exec(compile(example, str(page), "exec"), found)  # noqa: S102  our own pages
    if "probabilities" in found:  # those of plain transformers
        theirs = found["probabilities"].detach().numpy()[0]
        assert abs(theirs - found["model"].probabilities(["味道不错，还会再来"])[0]).max() < 1e-5


def test_the_commands_and_the_query_of_the_readme_run(shell: Shell, bare_home: Path) -> None:
    sample.write(shell.home / "comments.csv", 50)
    typed = [line for line in shell_lines(ROOT / "README.md") if line.startswith("senti") and "doctor" not in line]
    printed = [shell.type(line) for line in typed]
    assert len(typed) == 3
    assert "50 imported" in printed[-1]
    (query,) = blocks(ROOT / "README.md", "sql")
    assert list(senti_tasks.read_sql(query).columns) == ["product", "reviews", "negative", "negative_percent"]


def steps(page: str) -> list[str]:
    return shell_lines(ROOT / "docs" / page)


def test_stars_become_labels_as_the_page_says(bare_home: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "docs" / "how-to" / "star-ratings.md"
    monkeypatch.setenv("SENTI_DATABASE_URL", "sqlite:///two.db")
    for name, text in named_files(page).items():
        (shell.home / name).write_text(text, "utf-8")
    migrate, look, store, status, three = steps("how-to/star-ratings.md")
    shell.type(migrate)
    shell.type(look)
    assert "0 reviews" in shell.type(status)
    shell.type(store)
    counts = json.loads(shell.type(f"{status} --json"))
    assert (counts["reviews"], counts["annotated"]) == (4, 3)
    monkeypatch.setenv("SENTI_DATABASE_URL", "sqlite:///three.db")
    shell.type(three)


def test_a_model_is_rolled_back_as_the_page_says(shell: Shell, after_make_run: Engine, model_folder: Path) -> None:
    newer = deploy(after_make_run, model_folder, shell.home, "2026-11-09-newer")
    shell.type("senti score --scope rescore")
    assert json.loads(shell.type(f"senti models export {newer} exported --json"))["temperature"] == 1
    assert (shell.home / "exported" / "model.safetensors").is_file()
    listed, rollback, status, score = steps("how-to/rollback.md")
    assert newer in shell.type(listed)
    shell.type(rollback)
    shell.type(status)
    shell.type(score)
    with database.reading(after_make_run) as connection:
        assert promotions.in_service(connection) == "2026-11-02-tiny"


def test_a_held_run_is_decided_as_the_page_says(shell: Shell, after_make_run: Engine) -> None:
    status, report, publish, give_up = steps("how-to/held-run.md")
    for decision, first in ((publish, -9), (give_up, -7)):
        with database.writing(after_make_run) as connection:
            add_reviews(connection, {first: "很好", first + 1: "太差"}, now=WEDNESDAY)
        (run,) = scoring.open_series(f"score_reviews/{first}", "2026-11-04T02:00:00+08:00", "reconcile")
        scoring.plan(run)
        scoring.score_shard(run, 0)
        with database.writing(after_make_run) as connection:
            held_runs.hold(connection, run, because="shares_are_as_usual: ...", now=WEDNESDAY)
        assert f"senti score --run {run} --publish-anyway REASON" in " ".join(shell.type(status).split())
        shell.type(report)
        assert "is published" in shell.type(decision, N=str(run))


def test_the_tutorial_leads_to_labels_of_ones_own_file(
    shell: Shell, after_make_run: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = [line for line in steps("tutorial.md") if not line.startswith(("make", ". "))]
    before = typed.index("senti import comments.csv --dry-run")
    for line in typed[:before]:
        shell.type(line)
    monkeypatch.delenv("SENTI_DATABASE_URL")
    (shell.home / "var").mkdir(exist_ok=True)
    shutil.move(shell.home / "sample.csv", shell.home / "comments.csv")
    shell.type("senti migrate")  # `make run` did
    shell.type(typed[before])
    for line in typed[before + 1 :]:
        shell.type(line, VERSION=_newest(shell.home) if "VERSION" in line else "")
    labels = json.loads(shell.type("senti status --json"))
    assert (labels["pending"], labels["in_service"]) == (0, _newest(shell.home))


def _newest(home: Path) -> str:
    engine = database.connect(f"sqlite:///{home / 'var' / 'warehouse.db'}")
    with database.reading(engine) as connection:
        (version,) = registry.trained_on(connection, _corpora(connection))
    engine.dispose()
    return version


def _corpora(connection: Any) -> list[str]:
    from senti_tasks.warehouse.models import corpora

    return [row["corpus"] for row in corpora.all_corpora(connection)]
