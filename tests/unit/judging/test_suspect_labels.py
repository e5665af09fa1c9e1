import random
import subprocess
import sys

import pytest

from senti_tasks.judging import suspects
from tests.made_up_reviews import made_up_reviews

LUKEWARM = ["一般般", "还凑合", "不好不坏", "中规中矩", "说得过去", "马马虎虎"]


def reviews_of_three_labels() -> tuple[list[str], list[int]]:
    """Negative (0), positive (2) and in between (1), 100 of each."""
    clear = [(one.text, 2 * (one.label or 0)) for one in made_up_reviews(200)]
    draw = random.Random(7)  # noqa: S311
    between: dict[str, int] = {}
    while len(between) < 100:
        words = draw.sample(LUKEWARM, 2)
        between[f"第{draw.randint(1, 60)}次{words[0]}，{words[1]}。"] = 1
    rows = [*clear, *between.items()]
    return [text for text, _ in rows], [label for _, label in rows]


def flipped(labels: list[int], n_labels: int) -> dict[int, int]:
    """Row to wrong label, for one row in twenty."""
    rows = random.Random(7).sample(range(len(labels)), len(labels) // 20)  # noqa: S311
    return {row: (labels[row] + 1) % n_labels for row in rows}


def test_planted_wrong_labels_are_found_with_the_right_ones() -> None:
    rows = made_up_reviews(400)
    truth = [(one.label or 0) for one in rows]
    wrong = flipped(truth, 2)
    found = suspects.find([one.text for one in rows], [wrong.get(row, label) for row, label in enumerate(truth)])
    caught = found.keys() & wrong.keys()
    assert len(caught) >= 0.8 * len(wrong)
    assert len(caught) >= 0.8 * len(found)
    for row in caught:
        assert (found[row].label, found[row].suggested_label) == (wrong[row], truth[row])
        assert found[row].suggested_probability > found[row].label_probability
    doubts = [one.label_probability for one in found.values()]
    assert doubts == sorted(doubts)


def test_three_labels_are_told_apart() -> None:
    texts, truth = reviews_of_three_labels()
    wrong = flipped(truth, 3)
    found = suspects.find(texts, [wrong.get(row, label) for row, label in enumerate(truth)])
    right = [row for row in wrong if row in found and found[row].suggested_label == truth[row]]
    assert len(right) >= 0.8 * len(wrong)
    assert len(right) >= 0.8 * len(found)


def test_asked_again_it_answers_the_same() -> None:
    rows = made_up_reviews(100)
    texts, labels = [one.text for one in rows], [(one.label or 0) if row % 10 else 0 for row, one in enumerate(rows)]
    assert suspects.find(texts, labels) == suspects.find(texts, labels)


def test_a_label_with_fewer_rows_than_folds_is_left_out_and_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="senti_tasks")
    rows = made_up_reviews(100)
    texts = [*(one.text for one in rows), "一般般", "还凑合"]
    truth = [*(2 * (one.label or 0) for one in rows), 1, 1]
    wrong = flipped(truth[:100], 2)
    labels = [2 - label if row in wrong else label for row, label in enumerate(truth)]
    found = suspects.find(texts, labels)
    assert found.keys() & wrong.keys()
    assert {one.suggested_label for one in found.values()} <= {0, 2}
    assert not found.keys() & {100, 101}
    assert "label 1 has fewer than 5 rows" in caplog.text


@pytest.mark.parametrize(("texts", "labels"), [([], []), (["好", "差"], [1, 0]), (["好"] * 6, [1] * 6)])
def test_where_two_labels_are_not_left_there_is_nothing_to_say(
    texts: list[str], labels: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="senti_tasks")
    assert suspects.find(texts, labels) == {}
    assert "wrong labels are not looked for" in caplog.text


def test_importing_it_says_nothing_and_asks_nobody() -> None:
    program = """
import socket, sys
def refuse(*_): sys.exit("somebody was asked")
socket.socket.connect = socket.getaddrinfo = refuse
import senti_tasks.judging.suspects
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
