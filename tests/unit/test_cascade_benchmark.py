"""``benchmarks.cascade`` on a small model and made-up reviews. No test asserts a speed."""

import argparse
from pathlib import Path

import pytest

from benchmarks import cascade
from tests.cascades import build_teacher, reviews
from tests.made_up_reviews import made_up_reviews


def test_it_compares_the_variants_with_fp32_and_on_labelled_reviews(
    tmp_path: Path, one_thread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join([*reviews(2_600), " "]) + "\n", "utf-8")
    labelled = tmp_path / "labelled.csv"
    rows = [f"{one.label},{one.text}" for one in made_up_reviews(120)]
    labelled.write_text("\n".join(["label,review", *rows]) + "\n", "utf-8")
    arguments = argparse.Namespace(
        model=build_teacher(tmp_path / "model"), texts=texts, labelled=labelled, trained_on=labelled, learn=1_000,
        limit=0.05, rounds=1, device="cpu",
    )  # fmt: skip
    found = cascade.measure(arguments)
    assert found["reviews"] == {"compared": 650, "chosen_on": 650, "learnt_from": 1_000}
    by_name = {row["variant"]: row for row in found["variants"]}
    assert (by_name["fp32"]["labels_differing"], by_name["fp32"]["escalated_share"]) == (0, None)
    assert 0 < by_name["cascade"]["escalated_share"] < 1
    assert by_name["cascade"]["labels_differing"] / 650 < by_name["cascade"]["bound"] <= 0.05
    assert set(found["quality"]) == {"rows", *by_name, "student alone", "TF-IDF of people's labels"}
    assert found["quality"]["TF-IDF of people's labels"] > 0.9
    cascade.show(found)
    shown = capsys.readouterr().out
    assert "| cascade" in shown
    assert "macro-F1 on 60 reviews" in shown
