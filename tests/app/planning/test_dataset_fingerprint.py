"""A dataset is summarised over its sound cases, with their labelled voxels pooled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridseg.app.planning.case_fingerprint import LEVELS, CaseFingerprint
from hybridseg.app.planning.dataset_fingerprint import summarise_cases


def case(name: str, values: NDArray[np.float64] | None = None, **more: Any) -> CaseFingerprint:
    values = np.arange(5.0) if values is None else values
    measured = CaseFingerprint(
        case=name,
        shape=(10, 20, 30),
        spacing=(1.0, 1.0, 2.0),
        body_share=0.5,
        label_volumes={1: 1.0},
        labelled_voxels=values.size,
        labelled_extent=(4.0, 5.0, 6.0),
        quantiles=(tuple(np.quantile(values, LEVELS).tolist()),),
    )
    return replace(measured, **more)


@pytest.mark.parametrize("sizes", [(50_000, 50_000, 50_000), (200_000, 3_000, 500), (1, 40_000, 7)])
def test_pooled_percentiles_are_those_of_all_voxels(sizes: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    parts = [random.normal(100 * index, 10 + index, size) for index, size in enumerate(sizes)]
    (pooled,) = summarise_cases(case(str(index), part) for index, part in enumerate(parts)).channels
    together = np.concatenate(parts)
    spread = together.std()
    assert pooled.percentile_0_5 == pytest.approx(np.percentile(together, 0.5), abs=0.1 * spread)
    assert pooled.percentile_99_5 == pytest.approx(np.percentile(together, 99.5), abs=0.1 * spread)


def test_voxels_of_one_intensity_have_it_as_percentile() -> None:
    (pooled,) = summarise_cases([case("a", np.full(10, 7.0)), case("b", np.full(5, 7.0))]).channels
    assert (pooled.percentile_0_5, pooled.percentile_99_5) == (7.0, 7.0)


def test_spacing_and_extent_are_medians_of_each_axis() -> None:
    cases = [case(str(index), spacing=(1.0, 1.0, float(index)), shape=(10, 20 + index, 30)) for index in range(1, 12)]
    whole = summarise_cases(cases)
    assert whole.cases == 11
    assert whole.median_spacing == (1.0, 1.0, 6.0)
    assert whole.fine_spacing == (1.0, 1.0, 2.0)
    assert whole.median_extent_mm == (10.0, 26.0, 180.0)
    assert whole.median_body_share == 0.5


def test_labels_are_those_of_any_case() -> None:
    cases = [case("a", label_volumes={2: 1.0}), case("b", label_volumes={1: 4.0, 2: 3.0}), case("c", label_volumes={})]
    assert summarise_cases(cases).labels == (1, 2)


def test_a_healthy_case_does_not_change_intensities() -> None:
    healthy = case("b", label_volumes={}, labelled_voxels=0, labelled_extent=None, quantiles=((),))
    assert summarise_cases([case("a"), healthy]).channels == summarise_cases([case("a")]).channels
    assert summarise_cases([case("a"), healthy]).median_labelled_mm == (4.0, 5.0, 6.0)
    with pytest.raises(ValueError, match="no voxel is labelled in any case: some must be"):
        summarise_cases([healthy])


def test_cases_with_problems_are_ignored() -> None:
    broken = CaseFingerprint(case="b", problems=("b.nii.gz: unreadable",))
    assert summarise_cases([case("a"), broken]) == summarise_cases([case("a")])
    with pytest.raises(ValueError, match=r"fingerprints: 1, all with problems: at least one case must have none"):
        summarise_cases([broken])
    with pytest.raises(ValueError, match=r"fingerprints: 0, all with problems"):
        summarise_cases([])
