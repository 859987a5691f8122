"""Charts of any length fit their frame and say in words what they show."""

from __future__ import annotations

import pytest

from hybridseg.app.evaluation.summary import summarise_scores
from hybridseg.app.reporting.charts import HEIGHT, MOST_DOTS, MOST_POINTS, WIDTH, curve_chart, score_chart
from hybridseg.app.reporting.curves import Curve

from ..report_pages import make_score


@pytest.mark.parametrize("count", [1, 2, MOST_DOTS, MOST_POINTS, 10 * MOST_POINTS + 1])
def test_long_curve_is_averaged_and_stays_in_frame(count: int) -> None:
    chart = curve_chart(Curve("loss", "epoch", tuple((step, 1 / step) for step in range(1, count + 1))))
    assert min(count, MOST_POINTS // 2) <= len(chart.curve) <= MOST_POINTS
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in chart.curve)
    assert (chart.dots == chart.curve) == (count <= MOST_DOTS)


def test_curve_chart_has_the_curve_as_alternative_text() -> None:
    curve = Curve("dice", "epoch", ((5, 0.25), (10, 0.75), (15, 0.5)))
    assert curve_chart(curve).alternative == str(curve)


def test_score_chart_has_a_dot_per_case_and_the_mean() -> None:
    cases = [("one", 1, 0.5), ("two", 1, 0.9), ("one", 2, 0.8), ("two", 2, 0.8)]
    scores = [make_score(case, label, f"label {label}", dice) for case, label, dice in cases]
    chart = score_chart(summarise_scores(scores)[:-1], {1: [0.5, 0.9], 2: [0.8, 0.8]})
    first, second = chart.rows
    (low, y), (high, _) = first.dots
    assert first.mean is not None
    assert first.mean.start[0] == pytest.approx((low + high) / 2, abs=1)
    assert first.name.point[1] == pytest.approx(y, abs=5)
    assert len(second.dots) == 1  # equal scores are one dot
    assert chart.alternative == (
        "Dice of each case by label. Means: label 1 0.700, lowest 0.500; label 2 0.800, lowest 0.800."
    )
