"""Planted cases, each with the verdict that it must get. What the bounds themselves are worth: test_intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest

from senti_tasks.config import GateConfig
from senti_tasks.judging.gate import Judgement, Rule, judge
from senti_tasks.judging.slices import HeldOut

DUE = datetime(2026, 11, 22, tzinfo=UTC)
CONFIDENCE = 0.93
"""Of the planted models in every label they give; about their accuracy, so that they are calibrated."""

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


def labels_of(n: int) -> Labels:
    return np.arange(n, dtype=np.int64) % 2


def held_out(labels: Labels, products: int = 0) -> HeldOut:
    """Rows of like length and one day; the products follow one another, ``products`` times."""
    n = len(labels)
    named = [f"产品{number * products // n}" if products else None for number in range(n)]
    return HeldOut(labels, named, np.full(n, 20), [DUE - timedelta(days=300)] * n, DUE)


def answers(
    labels: Labels, wrong: Sequence[int] | npt.NDArray[np.int64], confidence: float = CONFIDENCE
) -> Probabilities:
    """Probabilities (n, 2) that give ``labels``, but not in the rows ``wrong``."""
    predicted = labels.copy()
    predicted[list(wrong)] = 1 - predicted[list(wrong)]
    return np.where(np.eye(2)[predicted] > 0, confidence, 1 - confidence)


@dataclass
class Case:
    rows: HeldOut
    candidate: Probabilities
    references: dict[str, Probabilities] = field(default_factory=dict)
    leaked: int = 0

    def judged(self) -> Judgement:
        return judge(GateConfig(), self.rows, self.candidate, self.references, self.leaked)


def case(n: int, wrong: range, champion: range | None = None, baseline: range | None = None, **more: int) -> Case:
    """Models that err in these rows."""
    labels = labels_of(n)
    given = {"champion": champion, "baseline": baseline}
    references = {name: answers(labels, rows) for name, rows in given.items() if rows is not None}
    return Case(held_out(labels, more.pop("products", 0)), answers(labels, wrong), references, **more)


def overconfident() -> Case:
    labels = labels_of(2000)
    wrong = list(range(140))
    return Case(held_out(labels), answers(labels, wrong, 0.999), {"champion": answers(labels, wrong)})


def one_label_missing() -> Case:
    labels = np.zeros(2000, np.int64)
    return Case(held_out(labels), answers(labels, range(130)), {"champion": answers(labels, range(140))})


def majority_only() -> Case:
    """95 in 100 reviews are positive, and the candidate says so of all of them: 5 points of accuracy are lost, no more
    than the baseline loses, but every negative review."""
    labels = (np.arange(4000) % 20 != 0).astype(np.int64)
    positive = np.where(np.eye(2)[np.ones(4000, np.int64)] > 0, 0.95, 0.05)
    missed = np.flatnonzero(labels == 0)[:150]
    false_alarms = np.flatnonzero(labels == 1)[:60]
    return Case(held_out(labels), positive, {"champion": answers(labels, np.concatenate([missed, false_alarms]), 0.95)})


def anchored(drop: int) -> Case:
    """A champion ``drop`` rows of 20,000 below the anchor, and a candidate that loses 60 more."""
    labels = labels_of(20_000)
    last, before, first = (list(range(1400 + more)) for more in (drop + 60, drop, 0))
    references = {"champion": answers(labels, before), "anchor": answers(labels, first)}
    return Case(held_out(labels), answers(labels, last), references)


PLANTED: dict[str, tuple[Callable[[], Case], str | None]] = {
    # name: (the case, the rule that refuses it or None where it must be promoted)
    "as good as both": (lambda: case(2000, range(140), range(140), range(140)), None),
    "a tie, right and wrong in other rows": (lambda: case(4000, range(280), range(100, 380)), None),
    "better": (lambda: case(2000, range(100), range(140), range(200)), None),
    "no champion yet": (lambda: case(2000, range(140), None, range(200)), None),
    "worse by a hair on many rows": (lambda: case(50_000, range(3650), range(3500)), None),
    "worse by more than the margin": (lambda: case(2000, range(190), range(140)), "accuracy"),
    "worse within the margin, but the rows are too few to show it": (
        lambda: case(1000, range(80), range(75, 145)),
        "accuracy",
    ),
    "better by luck on few rows": (lambda: case(60, range(2), range(2, 8)), "test_rows"),
    "the baseline is better": (lambda: case(2000, range(140), range(140), range(60)), "accuracy"),
    "worse on one product only": (lambda: case(4000, range(260), range(40, 300), products=20), "slices"),
    "overconfident": (overconfident, "calibration"),
    "leaky": (lambda: case(2000, range(10), range(140), leaked=31), "leak"),
    "one label missing": (one_label_missing, "labels"),
    "gives one label to all": (majority_only, "macro_f1"),
    "an int8 form that lost accuracy": (lambda: case(2000, range(260), range(140), range(200)), "accuracy"),
    "one more hair": (lambda: anchored(60), None),
    "one hair too many": (lambda: anchored(340), "accuracy"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_case_gets_its_verdict(name: str) -> None:
    plant, refused_by = PLANTED[name]
    judgement = plant().judged()
    assert judgement.promote == (refused_by is None), failed(judgement)
    if refused_by is not None:
        assert refused_by in {rule.name for rule in failed(judgement)}


def failed(judgement: Judgement) -> list[Rule]:
    return [rule for rule in judgement.rules if not rule.passed]


def test_fifty_two_hairs_in_a_row_do_not_add_up() -> None:
    """Each week's candidate is 0.15 points worse than the week before's: the anchor ends it at the margin."""
    labels = labels_of(40_000)
    anchor = champion = 2800
    weeks = 0
    while weeks < 52:
        candidate = champion + 60
        references = {"champion": answers(labels, range(champion)), "anchor": answers(labels, range(anchor))}
        judgement = judge(GateConfig(), held_out(labels), answers(labels, range(candidate)), references)
        if not judgement.promote:
            break
        assert not judgement.superior, "else the anchor would move"
        champion, weeks = candidate, weeks + 1
    assert 0 < weeks < 52
    assert champion - anchor < 0.02 * len(labels)
    assert {rule.reference for rule in failed(judgement)} == {"anchor"}


def test_equal_models_over_forty_slices_are_refused_in_at_most_5_of_100_draws() -> None:
    draw = np.random.default_rng(17)
    n, products = 3000, 40
    labels = labels_of(n)
    refused = []
    for _ in range(80):
        both, only = draw.random(n) < 0.05, draw.random((2, n)) < 0.025
        models = [answers(labels, np.flatnonzero(both | one)) for one in only]
        judgement = judge(GateConfig(), held_out(labels, products), models[0], {"champion": models[1]})
        refused.append(not judgement.promote)
        assert len([rule for rule in judgement.rules if rule.slice]) == products
    assert np.mean(refused) <= 0.05


def test_every_rule_says_what_it_found_and_what_was_allowed() -> None:
    judgement = case(2000, range(190), range(140), range(250), products=2).judged()
    named = [(rule.name, rule.reference, rule.slice) for rule in judgement.rules]
    assert named == [
        *[(name, None, None) for name in ("leak", "labels", "test_rows", "reuse")],
        *[(name, other, None) for name in ("accuracy", "macro_f1", "log_loss", "brier") for other in SUBJECTS],
        ("calibration", None, None),
        ("slices", None, None),
        *[("slice", "champion", "product 产品0"), ("slice", "baseline", "product 产品1")],  # the worst first
        *[("slice", "champion", "product 产品1"), ("slice", "baseline", "product 产品0")],
        ("superiority", None, None),
    ]
    accuracy = judgement.rules[4]
    assert accuracy.reason == "accuracy is 2.5 points below the champion's (lower bound -3.1, allowed -2.0)"
    assert accuracy.figure == pytest.approx(-0.025)
    assert (accuracy.rows, accuracy.threshold, accuracy.passed) == (2000, -0.02, False)
    assert all(rule.reason for rule in judgement.rules)


SUBJECTS = ("champion", "baseline")


def test_too_few_rows_are_a_refusal_that_says_how_many_are_missing() -> None:
    judgement = case(60, range(0), range(30)).judged()
    assert not judgement.promote
    assert judgement.rules[2].reason == "60 test rows are too few for a verdict: 773 are needed, 713 are missing"
    assert judgement.rules[4].passed


def test_where_the_rows_are_too_few_the_reason_says_how_many_rows_it_would_take() -> None:
    (rule,) = (rule for rule in case(1000, range(80), range(75, 145)).judged().rules if rule.name == "accuracy")
    assert rule.reason.endswith("; if that is the difference, showing it takes 8656 rows, 7656 are missing")


def test_with_labels_of_unequal_number_macro_f1_says_how_many_rows_it_takes() -> None:
    labels = (np.arange(1000) % 20 != 0).astype(np.int64)
    models = [answers(labels, np.arange(start, 1000, 37)) for start in (3, 5)]
    judgement = judge(GateConfig(), held_out(labels), models[0], {"champion": models[1]})
    (rule,) = (rule for rule in judgement.rules if rule.name == "macro_f1")
    assert not rule.passed
    assert "showing it takes" in rule.reason


def test_the_rows_needed_grow_with_discordance_and_shrink_with_the_square_of_the_margin() -> None:
    config = GateConfig()
    assert config.rows_needed() == round(6.18 * config.discordance / config.margin**2 + 0.5)
    assert GateConfig(margin=0.04).rows_needed() == pytest.approx(config.rows_needed() / 4, abs=1)
    assert config.rows_needed(0.1) == pytest.approx(2 * config.rows_needed(), abs=1)


def test_what_beats_a_champion_that_sagged_is_no_anchor_and_down_and_up_is_no_way_around_it() -> None:
    """0.75 points worse in one week, 0.15 better in the next, and so on."""
    labels = labels_of(40_000)
    anchor = champion = 2800
    for week in range(52):
        candidate = champion + (300 if week % 2 == 0 else -60)
        references = {"champion": answers(labels, range(champion)), "anchor": answers(labels, range(anchor))}
        judgement = judge(GateConfig(), held_out(labels), answers(labels, range(candidate)), references)
        if not judgement.promote:
            break
        champion, anchor = candidate, candidate if judgement.superior else anchor
    assert not judgement.promote
    assert champion - 2800 < 0.02 * len(labels)


@pytest.mark.parametrize(("wrong", "superior"), [(100, True), (138, False), (140, False)])
def test_what_is_better_beyond_doubt_is_an_anchor(wrong: int, superior: bool) -> None:
    assert case(2000, range(wrong), range(140)).judged().superior is superior


def test_the_first_model_is_an_anchor() -> None:
    assert case(2000, range(140), None, range(200)).judged().superior


def test_how_often_the_rows_have_judged_is_told_and_decides_nothing() -> None:
    labels = labels_of(2000)
    judgement = judge(GateConfig(), held_out(labels), answers(labels, range(140)), {}, reuse=(12.5, 30))
    assert judgement.promote
    assert judgement.rules[3].reason == "a test row has judged 12.5 models before this one on average, 30 at most"


def test_without_a_single_row_there_is_a_refusal_and_no_figure() -> None:
    nothing = held_out(labels_of(0))
    judgement = judge(GateConfig(), nothing, np.zeros((0, 2)), {"champion": np.zeros((0, 2))})
    assert not judgement.promote
    assert [rule.name for rule in judgement.rules] == ["leak", "labels", "test_rows", "reuse", "superiority"]


def test_answers_for_other_rows_are_refused() -> None:
    labels = labels_of(100)
    with pytest.raises(ValueError, match="the same 100 rows and labels: the champion's are"):
        judge(GateConfig(), held_out(labels), answers(labels, []), {"champion": answers(labels[:10], [])})
