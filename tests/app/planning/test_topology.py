"""Spacing, strides and patches follow from the voxel size; a patch is always a multiple of the stride."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridseg.app.planning.topology import (
    FEWEST_VOXELS,
    LONGEST_PATCH,
    least_patch,
    patch_sizes,
    plan_downsampling,
    target_spacing,
)
from hybridseg.networks import create_model

EDGES = st.tuples(*[st.floats(0.2, 8.0)] * 3)
SHAPES = st.tuples(*[st.integers(1, 600)] * 3)


def test_spacing_is_the_median() -> None:
    assert target_spacing((0.8, 0.8, 2.0), (0.6, 0.6, 1.0)) == (0.8, 0.8, 2.0)


def test_spacing_across_thick_slices_is_that_of_fine_cases() -> None:
    assert target_spacing((0.8, 0.8, 5.0), (0.6, 0.6, 3.0)) == (0.8, 0.8, 3.0)


def test_spacing_across_slices_is_not_finer_than_within() -> None:
    assert target_spacing((0.8, 0.8, 5.0), (0.6, 0.6, 0.5)) == (0.8, 0.8, 0.8)


def test_cubic_voxels_are_halved_along_every_axis() -> None:
    plan = plan_downsampling((1, 1, 1), (100, 100, 100), 4)
    assert plan.is_isotropic
    assert plan.total == (16, 16, 16)


def test_coarse_axis_is_not_halved_until_the_others_catch_up() -> None:
    plan = plan_downsampling((0.7, 0.7, 3.0), (400, 400, 60), 4)
    assert plan.strides == ((2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 2))
    assert (plan.stem_kernel, *plan.kernels) == ((3, 3, 1), (3, 3, 1), (3, 3, 3), (3, 3, 3), (3, 3, 3))
    assert not plan.is_isotropic


def test_thin_axis_keeps_enough_voxels() -> None:
    assert plan_downsampling((1, 1, 1), (100, 100, 9), 4).total == (16, 16, 2)


@settings(max_examples=60, deadline=None)
@given(spacing=EDGES, shape=SHAPES, stages=st.sampled_from([3, 4]))
def test_patches_are_multiples_of_the_stride_up_to_a_volume(
    spacing: tuple[float, float, float], shape: tuple[int, int, int], stages: int
) -> None:
    stride = plan_downsampling(spacing, shape, stages).total
    sizes = patch_sizes(shape, spacing, stride)
    voxels = [math.prod(size) for size in sizes]
    assert voxels == sorted(set(voxels))
    for size in sizes:
        assert all(n % step == 0 for n, step in zip(size, stride, strict=True))
        assert all(n <= math.ceil(whole / step) * step for n, whole, step in zip(size, shape, stride, strict=True))
    assert all(n <= max(step, step * FEWEST_VOXELS) for n, step in zip(sizes[0], stride, strict=True))
    whole = math.prod(math.ceil(n / step) * step for n, step in zip(shape, stride, strict=True))
    assert voxels[-1] <= LONGEST_PATCH**3
    assert (voxels[-1] == whole) == (whole <= LONGEST_PATCH**3)


@pytest.mark.parametrize(
    ("labelled_mm", "patch"),
    [((100.0, 90.0, 60.0), (64, 64, 8)), ((400.0, 90.0, 60.0), (96, 64, 8)), ((1.0, 1.0, 1.0), (64, 64, 8))],
)
def test_least_patch_holds_the_labels(labelled_mm: tuple[float, float, float], patch: tuple[int, int, int]) -> None:
    assert least_patch(labelled_mm, (2.0, 2.0, 10.0), (200, 200, 9), (16, 16, 2)) == patch


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.7, 0.7, 5.0), (4.0, 1.0, 1.0)])
def test_planned_network_can_be_built(spacing: tuple[float, float, float]) -> None:
    plan = plan_downsampling(spacing, (120, 120, 120), 3)
    options = {"strides": plan.strides, "kernels": plan.kernels, "stem_kernel": plan.stem_kernel}
    assert create_model("small", in_channels=1, out_channels=2, **options).stride == plan.total
