"""What a dataset is like follows from its sound cases, as if their labelled voxels lay in one heap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridseg.app.planning.case_fingerprint import LEVELS, CaseFingerprint, ChannelFingerprint, LabelFingerprint
from hybridseg.app.planning.dataset_fingerprint import summarise_cases


def channel(values: NDArray[np.float64]) -> ChannelFingerprint:
    return ChannelFingerprint(
        voxels=values.size,
        mean=float(values.mean()),
        deviation=float(values.std()),
        minimum=float(values.min()),
        maximum=float(values.max()),
        quantiles=tuple(np.quantile(values, LEVELS).tolist()),
        body_mean=0.0,
        body_deviation=1.0,
    )


def case(name: str, values: NDArray[np.float64] | None = None, **more: Any) -> CaseFingerprint:
    measured = CaseFingerprint(
        case=name,
        shape=(10, 20, 30),
        spacing=(1.0, 1.0, 2.0),
        channels=(channel(np.arange(5.0) if values is None else values),),
        labels={1: LabelFingerprint(voxels=5, millilitres=1.0, components=1, extent_mm=(1.0, 2.0, 3.0))},
        content_margin=0.5,
    )
    return replace(measured, **more)


@pytest.mark.parametrize("sizes", [(50_000, 50_000, 50_000), (200_000, 3_000, 500), (1, 40_000, 7)])
def test_pooled_intensities_are_those_of_all_voxels_together(sizes: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    heaps = [random.normal(100 * index, 10 + index, size) for index, size in enumerate(sizes)]
    (pooled,) = summarise_cases(case(str(index), heap) for index, heap in enumerate(heaps)).channels
    together = np.concatenate(heaps)
    assert pooled.voxels == together.size
    assert (pooled.minimum, pooled.maximum) == (together.min(), together.max())
    assert pooled.mean == pytest.approx(together.mean())
    assert pooled.deviation == pytest.approx(together.std())
    spread = together.std()
    assert pooled.percentile_0_5 == pytest.approx(np.percentile(together, 0.5), abs=0.1 * spread)
    assert pooled.percentile_99_5 == pytest.approx(np.percentile(together, 99.5), abs=0.1 * spread)


def test_voxels_of_one_intensity_have_that_percentile() -> None:
    (pooled,) = summarise_cases([case("a", np.full(10, 7.0)), case("b", np.full(5, 7.0))]).channels
    assert (pooled.percentile_0_5, pooled.percentile_99_5, pooled.deviation) == (7.0, 7.0, 0.0)


def test_spacing_shape_and_extent_are_told_for_each_axis() -> None:
    cases = [case(str(index), spacing=(1.0, 1.0, float(index)), shape=(10, 20 + index, 30)) for index in range(1, 12)]
    whole = summarise_cases(cases)
    assert whole.cases == 11
    assert whole.median_spacing == (1.0, 1.0, 6.0)
    assert whole.fine_spacing == (1.0, 1.0, 2.0)
    assert whole.median_shape == (10.0, 26.0, 30.0)
    assert whole.largest_shape == (10, 31, 30)
    assert whole.median_extent_mm == (10.0, 26.0, 180.0)
    assert whole.median_content == 0.5


def test_labels_are_summed_up_over_the_cases_that_have_them() -> None:
    def label(size: float) -> LabelFingerprint:
        return LabelFingerprint(voxels=1, millilitres=size, components=int(size), extent_mm=(size, 1.0, 1.0))

    whole = summarise_cases(
        [case("a", labels={2: label(1)}), case("b", labels={1: label(4), 2: label(3)}), case("c", labels={})]
    )
    assert list(whole.labels) == [1, 2]
    assert (whole.labels[1].cases, whole.labels[1].millilitres) == (1, 4.0)
    assert (whole.labels[2].cases, whole.labels[2].millilitres, whole.labels[2].components) == (2, 2.0, 2.0)
    assert whole.labels[2].extent_mm == (2.0, 1.0, 1.0)


def test_cases_with_faults_do_not_count() -> None:
    broken = CaseFingerprint(case="b", faults=("b.nii.gz: unreadable",))
    assert summarise_cases([case("a"), broken]) == summarise_cases([case("a")])
    with pytest.raises(ValueError, match=r"fingerprints: 1, all with faults: at least one case must be sound"):
        summarise_cases([broken])
    with pytest.raises(ValueError, match=r"fingerprints: 0, all with faults"):
        summarise_cases([])
