"""Random files, arguments and settings: each call ends with a result or an error of one line, never with a traceback.

``SENTI_FUZZ=N`` tries N cases of each kind instead of a few, e.g. ``SENTI_FUZZ=2000 .venv/bin/pytest
tests/faults/test_fuzz.py``.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pytest
import typer.main
from pyarrow import feather, parquet
from sqlalchemy import Engine

from senti_tasks import cli
from senti_tasks.errors import SHOWN_LENGTH
from senti_tasks.settings import Settings
from senti_tasks.warehouse import database
from tests.leaks import KEY_PASSWORD, PASSWORD, SENTENCE, TOKEN, WINDOW, windows
from tests.situations import MONDAY, PHRASES, add_reviews, on_sqlite

pytestmark = on_sqlite

CASES = int(os.environ.get("SENTI_FUZZ", "60"))
SECRETS = {PASSWORD, KEY_PASSWORD, TOKEN}
STRANGE = (
    *("", " ", "-", "--", "0", "-1", "1", "2.5", "1e400", "nan", "inf", "9" * 30, "-" + "9" * 30, "0x10", "١٢", "¹"),
    *("x" * 5_000, "评论", "\x00", "\n", "a\nb", "\ud800", "\udcff", "🦜", "'; DROP TABLE reviews; --", "%s %d {0} {}"),
    *(".", "..", "/", "/dev/null", "~", "~nobody/x", "file:///etc/passwd", "s3://", "http://[", "sqlite:///", "a=b,c"),
    *("2026-13-45", "9999-12-31T23:59:59+00:00", "0001-01-01", "infinity", "null", "NaN", "true", "[]", "{}", '"'),
    *(
        "scratch:tiny",
        "pretrained:newest",
        "pretrained:",
        "scratch:",
        "newest",
        "auto",
        "new",
        "all",
        "negative,positive",
    ),
)
COLUMNS = ("review", "label", "product", "created_at", "review_id", "stars")


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def senti(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Outcome]]:
    """Runs a command in this process, as the console script does; nothing answers at the hub's address."""
    for name in ("HF_ENDPOINT", "HF_HOME", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    (home / ".env").write_text(f"HF_TOKEN={TOKEN}\nHF_ENDPOINT=http://127.0.0.1:9\nHF_HUB_OFFLINE=1\n", "utf-8")
    monkeypatch.setattr("sys.stdin", open(os.devnull, encoding="utf-8"))  # noqa: SIM115, PTH123  closed by the patch
    monkeypatch.chdir(home)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["senti", *arguments])
        capsys.readouterr()
        cast(Any, sys.stderr).reconfigure(errors="backslashreplace")  # as Python itself sets it
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        else:
            code = 0
        return Outcome(code, *capsys.readouterr())

    yield run


def check(command: str, outcome: Outcome) -> None:
    """An error is one line (a usage error has several), and quotes neither a secret nor a planted review."""
    # An import shows what it refused, and why, below a summary for whoever typed it, which quotes texts on purpose.
    _, result, refused = outcome.out.rpartition(" rows: ")
    shown = outcome.err + (refused if command == "import" and result else "")
    assert outcome.code in (0, 1, 2)
    assert "Traceback" not in outcome.out + outcome.err
    assert not [secret for secret in SECRETS if secret in outcome.out + outcome.err]
    # A message may quote a short cell, since that is what a person looks for in the file.
    length = SHOWN_LENGTH + 1 if command == "import" else WINDOW
    assert not [words for words in windows(SENTENCE, length) if words in shown]
    if outcome.code == 1 and not (command in ("doctor", "import", "watch") and outcome.err == ""):
        assert outcome.err.startswith("error: ") or "\nerror: " in outcome.err
        assert outcome.err.count("\nerror: ") + outcome.err.startswith("error: ") == 1


# Files


def table(chance: Random) -> pd.DataFrame:
    """A few planted reviews, with strange values in random cells."""
    rows = [
        {"review": f"{SENTENCE}{number}", "label": number % 2, "product": PHRASES[0][:3], "created_at": "2026-11-02",
         "review_id": number, "stars": number % 5 + 1}
        for number in range(8)
    ]  # fmt: skip
    found, strange = (
        pd.DataFrame(rows, dtype=object),
        [value for value in STRANGE if value.isprintable() or "\n" in value],
    )
    for _ in range(chance.randrange(6)):
        found.iat[chance.randrange(len(found)), chance.randrange(len(COLUMNS))] = chance.choice(
            [*strange, None, -7, 1.5]
        )
    kept = [name for name in COLUMNS if chance.random() > 0.15] or ["review"]
    return found[kept]


def write(chance: Random, folder: Path) -> Path:
    """The table in a random format and encoding, with some of its bytes changed, cut or doubled."""
    form = chance.choice(("csv", "tsv", "jsonl", "json", "parquet", "arrow", "txt"))
    file, frame = folder / f"reviews.{form}", table(chance)
    encoding = chance.choice(("utf-8", "utf-8-sig", "utf-16", "gb18030", "big5", "latin-1"))
    if form in ("parquet", "arrow"):
        cells = {name: [None if cell is None else str(cell) for cell in column] for name, column in frame.items()}
        (parquet.write_table if form == "parquet" else feather.write_feather)(pa.table(cells), file)
        content = file.read_bytes()
    else:
        if form in ("csv", "tsv", "txt"):
            written = frame.to_csv(index=False, sep=chance.choice(",\t;|"))
        else:
            written = frame.to_json(orient="records", lines=form == "jsonl", force_ascii=chance.random() < 0.5)
        content = written.encode(encoding, "replace")
    broken = bytearray(content)
    for _ in range(chance.choice((0, 0, 1, 3, 30))):
        place = chance.randrange(len(broken)) if broken else 0
        change = chance.randrange(3)
        broken[place : place + chance.choice((0, 1, 40))] = (
            b""
            if change == 0
            else bytes([chance.randrange(256)])
            if change == 1
            else bytes(broken[place : place + 9]) * 2
        )
    file.write_bytes(bytes(broken))
    return file


def test_random_files(senti: Callable[..., Outcome], tmp_path: Path) -> None:
    codes: Counter[int] = Counter()
    for seed in range(CASES):
        chance = Random(f"file {seed}")  # noqa: S311  it has to be drawn again
        arguments = ["import", str(write(chance, tmp_path))]
        if chance.random() < 0.2:
            arguments += ["--text-column", chance.choice((*COLUMNS, *STRANGE))]
        if chance.random() < 0.3:
            arguments += ["--label-column", chance.choice(COLUMNS)]
        if chance.random() < 0.3:
            arguments += ["--label-map", chance.choice(("1=negative,3=,5=positive", *STRANGE))]
        codes[run_case(senti, arguments, seed)] += 1
    assert codes[0], codes
    report("files", codes)


def run_case(senti: Callable[..., Outcome], arguments: list[str], seed: int) -> int:
    try:
        outcome = senti(*arguments)
        check(arguments[0], outcome)
    except Exception as error:
        error.add_note(f"case {seed}: senti {arguments!r}")
        raise
    return outcome.code


def report(kind: str, codes: Counter[int]) -> None:
    if "SENTI_FUZZ" in os.environ:
        sys.__stdout__.write(f"\n{kind}: {json.dumps(codes)} (exit codes)\n")  # type: ignore[union-attr]


# Arguments


def commands() -> Iterator[tuple[list[str], Any]]:
    """Every command with the words that call it."""

    def walk(words: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
        children = getattr(command, "commands", None)
        if children is None:
            yield words, command
        else:
            for name, child in children.items():
                yield from walk([*words, name], child)

    yield from walk([], typer.main.get_command(cli.app))


def arguments_of(chance: Random, command: Any, known: tuple[str, ...]) -> list[str]:
    """Random values for some of the parameters of ``command``; of its required ones, for most."""
    given: list[str] = []
    positional: list[str] = []
    for parameter in command.params:
        if chance.random() > (0.9 if parameter.required else 0.35):
            continue
        value = chance.choice((*STRANGE, *known))
        if parameter.param_type_name == "argument":
            positional += [value] * chance.choice((1, 1, 2))
        elif parameter.is_flag:
            given.append(parameter.opts[0])
        else:
            given += [chance.choice(parameter.opts), value]
    return [*given, *positional]


def test_random_arguments(senti: Callable[..., Outcome], engine: Engine, champion: str, tmp_path: Path) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {number: f"{SENTENCE}{number}" for number in range(5)}, now=MONDAY)
    file = write(Random(0), tmp_path)  # noqa: S311  as above
    known = (champion, "1", "2", str(tmp_path), str(file))
    codes: Counter[int] = Counter()
    found = list(commands())
    for seed in range(CASES):
        chance = Random(f"arguments {seed}")  # noqa: S311  as above
        words, command = found[seed % len(found)]
        endless = ["--once"] if words == ["watch"] else []  # otherwise it looks until somebody stops it
        codes[run_case(senti, [*words, *endless, *arguments_of(chance, command, known)], seed)] += 1
    assert len(found) > 15
    report("arguments", codes)


# Settings


def test_random_settings(senti: Callable[..., Outcome], champion: str, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = (
        f"postgresql+psycopg://senti:{PASSWORD}@127.0.0.1:9/reviews?sslpassword={KEY_PASSWORD}",
        f"postgresql://senti:{PASSWORD}@127.0.0.1:port/reviews",
        f"senti:{PASSWORD}@db/reviews",
        f"mysql://senti:{PASSWORD}@db/reviews",
        f"postgresql+psycopg://senti:{PASSWORD}@/reviews?host=%2Fnowhere&password={PASSWORD}",
    )
    codes: Counter[int] = Counter()
    for seed in range(CASES):
        chance = Random(f"settings {seed}")  # noqa: S311  as above
        names = chance.sample(sorted(Settings.model_fields.keys() - {"home"}), chance.choice((1, 1, 2)))
        with monkeypatch.context() as patch:
            for name in names:
                values = [value for value in STRANGE if "\x00" not in value and "\ud800" not in value]
                patch.setenv(f"SENTI_{name.upper()}", chance.choice((*values, *urls) if "url" in name else values))
            command: list[Any] = chance.choice(
                (["status"], ["doctor"], ["models", "list"], ["score"], ["predict", "好"])
            )
            codes[run_case(senti, command, seed)] += 1
    report("settings", codes)
