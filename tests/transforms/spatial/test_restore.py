"""Labels are restored to the grid of the input: exactly without resampling, closely with it."""

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing
from scipy.ndimage import map_coordinates

from hybridseg.transforms import restore_labels
from hybridseg.transforms.spatial import restore as restoring
from hybridseg.transforms.spatial.alignment import align_axes
from hybridseg.transforms.spatial.decision import choosing_rule

from .grids import Array, ellipsoid, is_inside, make_affine, positions, to_logits

AXIS_CODES = [
    f"{first}{second}{third}"
    for first, second, third in (("RL", "AP", "SI"), ("AP", "RL", "SI"), ("SI", "AP", "RL"), ("AP", "SI", "RL"))
    for first in first
    for second in second
    for third in third
]

angles = st.tuples(*[st.floats(-180, 180)] * 3)
spacings = st.tuples(*[st.floats(0.3, 6)] * 3)
shapes = st.tuples(*[st.integers(1, 9)] * 3)


def restore_slowly(logits: Array, affine: Array, shape: tuple[int, ...], reference_affine: Array) -> Array:
    """Compute `restore_labels` without slabs or special cases."""
    position = positions(shape, affine, reference_affine)
    inside = is_inside(position, logits.shape[1:])
    values = [map_coordinates(channel, position, order=1, mode="nearest") for channel in logits]
    return np.where(inside, np.argmax(values, axis=0), 0).reshape(shape)


# Without resampling


@settings(deadline=None, max_examples=60)
@given(shape=shapes, spacing=spacings, turn=angles, codes=st.sampled_from(AXIS_CODES), seed=st.integers(0, 999))
def test_any_orientation_is_restored_voxel_for_voxel(
    shape: tuple[int, ...], spacing: tuple[float, ...], turn: tuple[float, ...], codes: str, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, shape)
    affine = make_affine(turn, spacing)
    turned = Orientation(axcodes=codes, labels=None)(
        MetaTensor(torch.as_tensor(labels)[None], affine=torch.as_tensor(affine))
    )
    assert isinstance(turned, MetaTensor)
    restored = restore_labels(to_logits(turned.as_tensor()[0], 5), turned.affine.numpy(), shape, affine)
    assert restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, labels)


@settings(deadline=None, max_examples=30)
@given(
    turn=angles, spacing=spacings, start=st.tuples(*[st.integers(0, 3)] * 3), size=st.tuples(*[st.integers(1, 4)] * 3)
)
def test_cropped_voxels_are_background(
    turn: tuple[float, ...], spacing: tuple[float, ...], start: tuple[int, ...], size: tuple[int, ...]
) -> None:
    labels = np.random.default_rng(0).integers(1, 5, (7, 8, 9))
    affine = make_affine(turn, spacing)
    box = tuple(slice(first, first + length) for first, length in zip(start, size, strict=True))
    cropped = affine.copy()
    cropped[:3, 3] += affine[:3, :3] @ start
    expected = np.zeros_like(labels)
    expected[box] = labels[box]
    np.testing.assert_array_equal(restore_labels(to_logits(labels[box], 5), cropped, labels.shape, affine), expected)


def test_padding_is_removed() -> None:
    labels = np.random.default_rng(0).integers(0, 5, (9, 9, 9))
    inner = make_affine((0, 0, 0), (1, 1, 1))
    outer = make_affine((0, 0, 0), (1, 1, 1), (10, -36, 54))
    restored = restore_labels(to_logits(labels, 5), outer, (4, 5, 6), inner)
    np.testing.assert_array_equal(restored, labels[2:6, 2:7, 2:8])


# With resampling


def centre_of_mass(labels: Array, affine: Array) -> Array:
    """Return the centre in mm of the voxels with label 1."""
    return affine[:3, :3] @ np.argwhere(labels == 1).mean(axis=0) + affine[:3, 3]


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("codes", ["RAS", "PIL"])
@pytest.mark.parametrize("turn", [(0, 0, 0), (90, 180, 0), (12, -20, 33)])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.8, 1.1, 2.5)])
def test_resampled_ellipsoid_is_restored_in_place(
    diagonal: bool, codes: str, turn: tuple[float, ...], spacing: tuple[float, ...]
) -> None:
    shape = tuple(round(48 / length) for length in spacing)
    affine = make_affine(turn, spacing)
    centre = (affine @ [*(np.array(shape) / 2), 1])[:3]
    labels = ellipsoid(shape, affine, centre, np.array([16.0, 13, 11]))
    volume = Orientation(axcodes=codes, labels=None)(
        MetaTensor(torch.as_tensor(labels)[None].float(), affine=torch.as_tensor(affine))
    )
    volume = Spacing(pixdim=(1.5, 1.3, 1.2), diagonal=diagonal, mode="nearest")(volume)
    assert isinstance(volume, MetaTensor)
    restored = restore_labels(to_logits(volume.as_tensor()[0], 2), volume.affine.numpy(), shape, affine)
    assert 2 * (restored * labels).sum() / (restored.sum() + labels.sum()) > 0.95
    np.testing.assert_allclose(centre_of_mass(restored, affine), centre, atol=0.5)


@settings(deadline=None, max_examples=40)
@given(
    shape=shapes,
    size=shapes,
    spacing=spacings,
    reference_spacing=spacings,
    turn=st.one_of(st.just((0.0, 0.0, 0.0)), angles),
    codes=st.sampled_from(AXIS_CODES),
    seed=st.integers(0, 999),
)
def test_any_affine_equals_a_slow_reference(
    shape: tuple[int, ...],
    size: tuple[int, ...],
    spacing: tuple[float, ...],
    reference_spacing: tuple[float, ...],
    turn: tuple[float, ...],
    codes: str,
    seed: int,
) -> None:
    logits = np.random.default_rng(seed).normal(size=(4, *size)).astype(np.float32)
    axes = nib.orientations.axcodes2ornt(codes)
    affine = make_affine(turn, spacing, (1, 2, 3)) @ nib.orientations.inv_ornt_aff(axes, size)
    reference_affine = make_affine((0, 0, 0), reference_spacing, (0, 1, 2))
    restored = restore_labels(torch.from_numpy(logits), affine, shape, reference_affine)
    expected = restore_slowly(logits, affine, shape, reference_affine)
    assert (restored != expected).mean() <= 0.02  # float32 rounding decides between nearly equal classes


@pytest.mark.parametrize("codes", ["RAS", "IPL"])
def test_aligned_axes_equal_the_oblique_path(codes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(5, 12, 11, 10)
    affine = make_affine((20, 30, 40), (1.5, 1.6, 1.7))
    turned = Orientation(axcodes=codes, labels=None)(
        MetaTensor(torch.empty(1, 12, 11, 10), affine=torch.as_tensor(affine))
    )
    assert isinstance(turned, MetaTensor)
    reference_affine = turned.affine.numpy() @ np.diag([0.6, 0.7, 0.5, 1])
    arguments = (logits, affine, (19, 16, 21), reference_affine)
    aligned = restore_labels(*arguments)
    monkeypatch.setattr(restoring, "align_axes", lambda *_: None)
    oblique = restore_labels(*arguments)
    assert aligned.any()
    assert (aligned != oblique).mean() < 1e-4


@pytest.mark.parametrize("shape", [(1, 9, 9), (9, 1, 9), (9, 9, 1), (1, 1, 1)])
@pytest.mark.parametrize("turn", [(0, 0, 0), (15, 25, 35)])
def test_single_slices_are_restored(shape: tuple[int, ...], turn: tuple[float, ...]) -> None:
    """A thick slice becomes several thin ones on the network's grid, or stays one."""
    affine = make_affine(turn, (1, 1, 5))
    volume = MetaTensor(torch.ones(1, *shape), affine=torch.as_tensor(affine))
    for spacing in ((1, 1, 1), (2, 2, 10)):
        resampled = Spacing(pixdim=spacing, mode="nearest")(volume)
        assert isinstance(resampled, MetaTensor)
        logits = to_logits(torch.ones(resampled.shape[1:]), 2)
        assert restore_labels(logits, resampled.affine.numpy(), shape, affine).all()


# Memory, types and errors


@pytest.mark.parametrize("turn", [(0, 0, 0), (10, 20, 30)])
def test_slab_size_does_not_change_labels(turn: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(6, 12, 11, 10)
    arguments = (logits, make_affine(turn, (1.5, 1.6, 1.7)), (20, 24, 22), make_affine((0, 0, 0), (0.9, 0.8, 0.7)))
    expected = restore_labels(*arguments)
    monkeypatch.setattr(restoring, "SLAB_VALUES", 1)
    np.testing.assert_array_equal(restore_labels(*arguments), expected)


def test_slabs_have_no_more_logits_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, shape = torch.randn(6, 12, 11, 10), (20, 24, 22)
    mapping = np.diag([0.5, 0.4, 0.4, 1.0])
    axes = align_axes(mapping, (12, 11, 10), shape)
    assert axes is not None
    choose, _ = choosing_rule(6)
    for limit, layers in ((1, 1), (3 * 24 * 22 * 6, 3)):
        monkeypatch.setattr(restoring, "SLAB_VALUES", limit)
        oblique = [len(slab) for _, slab in restoring.oblique_slabs(logits, mapping, shape, choose)]
        assert max(oblique) == layers
        assert sum(oblique) == shape[0]
    monkeypatch.setattr(restoring, "SLAB_VALUES", 3 * 24 * 22)  # classes are compared one at a time
    aligned = [len(slab) for _, slab in restoring.aligned_slabs(logits, axes, choose)]
    assert max(aligned) == 3
    assert sum(aligned) == shape[0]


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_interpolating_borders_only_changes_nothing(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.nn.functional.avg_pool3d(torch.randn(classes, 15, 14, 13), 3, 1)
    grid, finer = make_affine((0, 0, 0), (1.5, 1.6, 1.7)), make_affine((0, 0, 0), (0.9, 0.8, 0.7))
    found = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(restoring, "MOST_DISPUTED", share)
        found.append(restore_labels(logits, grid, (20, 24, 22), finer, threshold=0.0 if classes == 1 else None))
    np.testing.assert_array_equal(found[0], found[1])
    assert len(np.unique(found[0])) == max(2, classes)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_type_of_logits(kind: torch.dtype) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (6, 6, 6))
    for turn in ((0, 0, 0), (0, 0, 10)):
        affine, reference_affine = make_affine(turn, (1, 1, 1)), make_affine((0, 0, 0), (1, 1, 0.5))
        logits = to_logits(labels, 3)
        expected = restore_labels(logits, affine, (6, 6, 12), reference_affine)
        np.testing.assert_array_equal(restore_labels(logits.to(kind), affine, (6, 6, 12), reference_affine), expected)


def test_wrong_shapes_are_errors() -> None:
    affine = np.eye(4)
    with pytest.raises(ValueError, match=r"logits: shape \(4, 4, 4\): must be \(classes, depth, height, width\)"):
        restore_labels(torch.zeros(4, 4, 4), affine, (4, 4, 4), affine)
    with pytest.raises(ValueError, match=r"shape: \(4, 4\): must be three lengths in voxels"):
        restore_labels(torch.zeros(2, 4, 4, 4), affine, (4, 4), affine)
