"""What counts as drift: more than the bound, and more than chance."""

from typing import Any

import numpy as np
import pytest

from senti_tasks.config import DriftConfig
from senti_tasks.judging.drift import judge, stability_index

NOTHING = {"runs": None, "reviews": 100, "unlike": None, "unlikeness_sum": None}


def test_the_stability_index_is_that_of_a_known_example() -> None:
    # counts large enough that the half review in each bin does not matter
    now, before = [200_000, 300_000, 500_000], [250_000, 250_000, 500_000]
    by_hand = (0.2 - 0.25) * np.log(0.2 / 0.25) + (0.3 - 0.25) * np.log(0.3 / 0.25)
    assert stability_index(now, before) == pytest.approx(by_hand, rel=1e-4)
    assert stability_index([5, 5], [5, 5]) == 0
    assert stability_index([0, 10], [10, 0]) > 3


def of_texts(reviews: int, *, unlike: float, unlikeness: float) -> Any:
    """What is said of texts of which a share is unlike the training, with this mean unlikeness."""
    row = {**NOTHING, "reviews": reviews, "unlike": round(unlike * reviews), "unlikeness_sum": unlikeness * reviews}
    return judge(row, None, DriftConfig())["drift"]


def test_sixty_texts_of_another_domain_are_enough() -> None:
    # shares and means of waimai_10k in a model of ChnSentiCorp
    assert of_texts(60, unlike=0.22, unlikeness=0.92) == "22% of the texts are unlike those of the training (limit 15%)"


def test_a_share_above_the_limit_may_be_chance_and_a_sure_one_below_it_is_none() -> None:
    assert of_texts(30, unlike=0.2, unlikeness=0.5) is None
    assert of_texts(100_000, unlike=0.14, unlikeness=0.5) is None


def test_of_a_model_without_profile_nothing_is_said() -> None:
    assert judge(NOTHING, None, DriftConfig()) == {"psi": None, "psi_training": None, "drift": None}
