"""`make secrets`: what it writes, and what it leaves as it is."""

import subprocess
import sys
from pathlib import Path

import pytest

from local import make_secrets
from local.containers import ROOT

EXAMPLE = (ROOT / ".env.example").read_text("utf-8")


def written(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Runs the script as a person does who has no environment: with no library."""
    (folder / "local").mkdir(exist_ok=True)
    (folder / ".env.example").write_text(EXAMPLE, "utf-8")
    (folder / "local" / "make_secrets.py").write_text((ROOT / "local" / "make_secrets.py").read_text("utf-8"), "utf-8")
    command = [sys.executable, "-IS", str(folder / "local" / "make_secrets.py")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_line_that_needs_a_secret_gets_one_and_only_the_owner_reads_the_file(tmp_path: Path) -> None:
    assert "15 new secrets" in written(tmp_path).stdout
    file = tmp_path / ".env"
    assert file.stat().st_mode & 0o777 == 0o600
    assert make_secrets.EMPTY.findall(file.read_text("utf-8")) == []
    assert len(set(make_secrets._stated(file.read_text("utf-8")).values())) == 15, "all different"


def test_what_is_set_stays_and_what_is_new_is_added(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nOWNER_PASSWORD=my-own\nSENTI_LABELS=bad,good\nREDIS_PASSWORD=\n", "utf-8")
    file.chmod(0o644)
    assert "14 new secrets" in written(tmp_path).stdout
    content = file.read_text("utf-8")
    assert content.startswith("# mine\nOWNER_PASSWORD=my-own\nSENTI_LABELS=bad,good\nREDIS_PASSWORD=")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "0 new secrets" in written(tmp_path).stdout
    assert file.read_text("utf-8") == content


@pytest.mark.parametrize("secret", ["p@ss", "a b", "a/b", "密码", "a'b", "$x", "x%41", "a:b"])
def test_a_secret_that_would_break_an_address_is_refused_by_its_name(secret: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"PIPELINE_PASSWORD={secret}\n", "utf-8")
    done = written(tmp_path)
    assert done.returncode == 1
    assert "PIPELINE_PASSWORD" in done.stderr
    assert "expected letters, digits, - and _ only" in done.stderr
    assert secret not in done.stderr
    assert file.read_text("utf-8") == f"PIPELINE_PASSWORD={secret}\n", "nothing was written"
