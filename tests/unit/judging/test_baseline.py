import numpy as np

from senti_tasks.corpus import snapshot
from senti_tasks.judging.baseline import Baseline
from tests.made_up_reviews import made_up_reviews


def test_it_learns_what_good_and_bad_reviews_say() -> None:
    rows, _ = snapshot.clean(made_up_reviews(120))
    baseline = Baseline().fit([one.text for one in rows[:80]], [one.label for one in rows[:80]])
    probabilities = baseline.predict([one.text for one in rows[80:]])
    assert probabilities.shape == (40, 2)
    assert probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == [one.label for one in rows[80:]]).mean() > 0.9


def test_nothing_in_is_nothing_out() -> None:
    rows, _ = snapshot.clean(made_up_reviews(20))
    baseline = Baseline().fit([one.text for one in rows], [one.label for one in rows])
    assert baseline.predict([]).shape == (0, 2)


def test_texts_that_share_no_characters_still_fit() -> None:
    probabilities = Baseline().fit(["好", "差"], [1, 0]).predict(["好", "差"])
    assert probabilities.argmax(axis=1).tolist() == [1, 0]
