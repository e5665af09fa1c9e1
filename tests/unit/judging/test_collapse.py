import numpy as np
import pytest

from senti_tasks.judging.collapse import collapse_of
from senti_tasks.judging.evaluation import measure


def figures(confusion: list[list[int]]) -> dict[str, float]:
    """Of rows counted by true label and predicted label."""
    counts = np.array(confusion)
    true, predicted = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    return measure(true, np.eye(len(counts))[predicted] * 0.9 + 0.1 / len(counts))


def test_a_model_that_tells_the_labels_apart_has_not_collapsed() -> None:
    assert collapse_of(figures([[8, 2], [1, 9]])) is None
    assert collapse_of(figures([[5, 2, 1], [1, 6, 1], [0, 2, 6]])) is None


@pytest.mark.parametrize("confusion", [[[0, 10], [0, 30]], [[10, 0], [30, 0]], [[0, 4, 0], [0, 9, 0], [0, 1, 0]]])
@pytest.mark.parametrize("balanced", [False, True])
def test_one_label_for_every_row_is_a_collapse(confusion: list[list[int]], balanced: bool) -> None:
    assert collapse_of(figures(confusion), balanced=balanced) == "it gives every validation row the same label"


def test_no_more_right_than_by_the_most_frequent_label_is_a_collapse() -> None:
    collapse = collapse_of(figures([[2, 8], [8, 22]]))
    assert collapse == "an accuracy of 0.6000 on the validation split, where one label for every row has 0.7500"
    assert collapse_of(figures([[5, 5], [5, 25]])) == collapse.replace("0.6000", "0.7500")


def test_a_balanced_training_may_give_up_rows_of_the_frequent_label() -> None:
    """Nine of ten rare rows found, at the price of an accuracy below the share of the frequent label."""
    traded = figures([[9, 1], [27, 63]])
    assert collapse_of(traded) is not None
    assert collapse_of(traded, balanced=True) is None
    assert collapse_of(figures([[5, 5], [45, 45]]), balanced=True) == (
        "a mean recall of 0.5000 on the validation split, where one label for every row has 0.5000"
    )
