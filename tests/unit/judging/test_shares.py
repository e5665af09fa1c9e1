import pytest
from scipy import stats

from senti_tasks.judging import intervals
from senti_tasks.judging.shares import exact_bounds


@pytest.mark.parametrize(("found", "rows"), [(0, 200), (1, 200), (7, 203), (200, 200), (30, 5_600), (0, 1)])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_the_exact_bounds_without_scipy_are_those_with_it(found: int, rows: int, confidence: float) -> None:
    low, high = exact_bounds(found, rows, confidence)
    assert high == pytest.approx(intervals.share_upper_bound(found, rows, confidence), abs=1e-9)
    expected = stats.beta.ppf(1 - confidence, found, rows - found + 1) if found else 0.0
    assert low == pytest.approx(expected, abs=1e-9)


def test_without_rows_nothing_is_known() -> None:
    assert exact_bounds(0, 0, 0.95) == (0.0, 1.0)
