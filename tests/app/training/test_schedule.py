"""The learning rate warms up, then falls along a cosine to 0."""

from __future__ import annotations

import pytest

from hybridseg.app.training.schedule import warmup_cosine


@pytest.mark.parametrize("epochs", [1, 10, 100, 1000])
def test_factor_rises_to_1_then_falls_to_0(epochs: int) -> None:
    factors = [warmup_cosine(epochs)(epoch) for epoch in range(epochs + 1)]
    warmup = max(1, epochs // 50)
    assert factors[0] == pytest.approx(0.1)
    assert factors[: warmup + 1] == sorted(factors[: warmup + 1])
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)
    assert max(factors) == pytest.approx(1)
    if epochs > 1:
        assert factors[-1] == pytest.approx(0)


def test_factor_stays_0_beyond_the_last_epoch() -> None:
    assert warmup_cosine(10)(12) == pytest.approx(0)
