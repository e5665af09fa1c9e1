"""The sample of `make run`: the same everywhere, all different, and with its stories."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from local import sample
from local.sample import Review
from senti_tasks.corpus.near_duplicates import pairs, shingles
from senti_tasks.corpus.splits import split_of
from senti_tasks.judging.baseline import Baseline
from senti_tasks.text import content_hash
from tests.processes import ROOT


def at(reviews: list[Review], day: int) -> tuple[list[Review], list[Review]]:
    """The reviews before this day of the sample, and the others."""
    first = (sample.FIRST_DAY + timedelta(days=day)).isoformat()
    return [one for one in reviews if one.created_at < first], [one for one in reviews if one.created_at >= first]


@pytest.fixture(scope="module")
def reviews() -> list[Review]:
    return sample.reviews()


def share(reviews: list[Review], sought: Callable[[Review], bool]) -> float:
    assert len(reviews) > 50
    return sum(map(sought, reviews)) / len(reviews)


def is_bad(review: Review) -> bool:
    return review.stars <= 2


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    here, there = sample.write(tmp_path / "here.csv"), tmp_path / "there.csv"
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONUTF8": "0", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-m", "local.sample", str(there)], check=True, cwd=ROOT, env=environment)
    assert here.read_bytes() == there.read_bytes()
    assert sample.reviews(50, seed=1) != sample.reviews(50, seed=2)


def test_no_text_comes_twice_and_no_slot_is_left_empty(reviews: list[Review]) -> None:
    assert len({one.review for one in reviews}) == len(reviews) == sample.ROWS
    assert not [one.review for one in reviews if set("{}") & set(one.review)]
    assert [one.created_at for one in reviews] == sorted(one.created_at for one in reviews)
    assert len({one.product for one in reviews}) == 10


def test_a_smaller_sample_is_a_part_of_the_whole(reviews: list[Review]) -> None:
    assert set(sample.reviews(100)) < set(reviews)


def test_nobody_labelled_the_newest_two_weeks(reviews: list[Review]) -> None:
    older, newest = at(reviews, sample.DAYS - 14)
    assert {one.label for one in newest} == {""}
    assert share(older, lambda one: one.label == "") == pytest.approx(0.02, abs=0.01)


def test_deliveries_go_wrong_and_navigation_is_mended(reviews: list[Review]) -> None:
    before, after = at([one for one in reviews if one.product == "羽绒服"], sample.LATE_DAY)
    assert share(after, is_bad) > share(before, is_bad) + 0.2
    before, after = at([one for one in reviews if one.product == "扫地机器人"], sample.MENDED_DAY)
    assert share(after, is_bad) < share(before, is_bad) - 0.2


def test_a_shop_buys_praise_in_nearly_the_same_words(reviews: list[Review]) -> None:
    bought = [one for one in reviews if one.shop == "星选优品店"]
    assert share(bought, lambda one: one.stars == 5) == 1
    texts = [shingles(one.review) for one in bought]
    with_another = {first for first, second in pairs(texts, texts) if first != second}
    assert len(with_another) > 0.95 * len(bought)


def test_a_linear_model_is_right_on_most_and_not_on_nearly_all(reviews: list[Review]) -> None:
    labelled = [one for one in reviews if one.label]
    train, held_out = (
        [one for one in labelled if (split_of(content_hash(one.review)) == "train") == is_train]
        for is_train in (True, False)
    )
    model = Baseline().fit([one.review for one in train], [int(one.label) for one in train])
    given = model.predict([one.review for one in held_out]).argmax(axis=1)
    assert 0.88 < (given == [int(one.label) for one in held_out]).mean() < 0.95


def test_the_file_has_a_column_for_each_field(tmp_path: Path) -> None:
    with sample.write(tmp_path / "sample.csv", 20).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["review", "label", "product", "created_at", "stars", "shop", "city"]
    assert len(rows) == 20
