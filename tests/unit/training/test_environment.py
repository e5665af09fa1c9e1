"""What a training ran on is recorded with it."""

import subprocess
from pathlib import Path

import pytest

from senti_tasks.training import environment

ROOT = Path(__file__).resolve().parents[3]


def test_versions_machine_and_commit_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    found = environment.describe("cpu")
    assert {"python", "machine", *environment.LIBRARIES} <= set(found)
    assert all(found.values())
    if (ROOT / ".git").exists():
        head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        assert found["commit"].removesuffix("+") == head.stdout.strip()


def test_an_image_without_git_has_the_commit_of_its_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_checked_out", lambda: None)  # as in an image, which has no .git
    monkeypatch.delenv(environment.COMMIT, raising=False)
    assert environment.commit() is None
    monkeypatch.setenv(environment.COMMIT, "ab" * 20)
    assert environment.commit() == "ab" * 20
