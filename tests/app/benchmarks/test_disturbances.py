"""Disturbances do what they say to image and label map, and keep both on one grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from hybridseg.app.benchmarks.disturbances import (
    DISTURBANCES,
    Disturbance,
    Scan,
    add_noise,
    blur,
    coarsen,
    interpolate_slices,
    narrow,
    rotate,
)

SHAPE = (24, 22, 10)
AFFINE = torch.diag(torch.tensor([1.0, 1.0, 3.0, 1.0], dtype=torch.float64))


@pytest.fixture
def scan() -> Scan:
    """A bright box in noise, with its label; voxels of 1 x 1 x 3 mm."""
    label = torch.zeros((1, *SHAPE))
    label[:, 4:12, 6:16, 3:7] = 1
    noise = torch.from_numpy(np.random.default_rng(0).normal(100, 5, (1, *SHAPE)).astype(np.float32))
    return MetaTensor(noise + 100 * label, affine=AFFINE), MetaTensor(label, affine=AFFINE)


@pytest.mark.parametrize("disturbance", DISTURBANCES, ids=lambda one: f"{one.name} {one.severity:g}")
def test_image_and_label_stay_on_one_grid_and_repeat(disturbance: Disturbance, scan: Scan) -> None:
    before = [volume.clone() for volume in scan]
    image, label = disturbance.apply(scan)
    assert image.shape == label.shape
    assert torch.equal(image.affine, label.affine)
    assert set(label.unique().tolist()) <= {0, 1}
    assert image.dtype == torch.float32
    assert not torch.equal(image.as_tensor(), before[0].as_tensor())
    assert torch.equal(image.as_tensor(), disturbance.apply(scan)[0].as_tensor())
    assert all(torch.equal(volume.as_tensor(), old.as_tensor()) for volume, old in zip(scan, before, strict=True))


def test_noise_has_the_strength_of_its_severity(scan: Scan) -> None:
    low, high = np.percentile(scan[0].numpy(), (1, 99))
    added = add_noise((MetaTensor(scan[0].as_tensor() - 1000, affine=AFFINE), scan[1]), 10)[0].as_tensor() - (
        scan[0].as_tensor() - 1000
    )
    assert float(added.std()) == pytest.approx(0.1 * (high - low), rel=0.05)


def test_noise_of_mri_leaves_no_voxel_negative(scan: Scan) -> None:
    dark = add_noise((MetaTensor(scan[0].as_tensor() - scan[0].as_tensor().min(), affine=AFFINE), scan[1]), 20)[0]
    assert float(dark.min()) >= 0


def test_blur_is_in_millimetres() -> None:
    point = torch.zeros((1, 33, 33, 33))
    point[0, 16, 16, 16] = 1
    affine = torch.diag(torch.tensor([1.0, 1.0, 2.0, 1.0], dtype=torch.float64))
    blurred = blur((MetaTensor(point, affine=affine), MetaTensor(point, affine=affine)), 6)[0].as_tensor()[0]
    assert float(blurred[16 + 3, 16, 16] / blurred.max()) == pytest.approx(0.5, abs=0.05)  # half the width of 6 mm
    assert float(blurred[16, 16, 16 + 3] / blurred.max()) < 0.1


def test_only_axes_with_smaller_voxels_become_coarser(scan: Scan) -> None:
    image, label = coarsen(scan, 2)
    assert image.shape == (1, 13, 11, 10)  # 24 voxels of 1 mm: the last centre is at 24 mm, 23 mm rounded
    np.testing.assert_allclose(np.diag(image.affine.numpy()), [2, 2, 3, 1])
    assert float(label.sum()) * 4 == pytest.approx(float(scan[1].sum()), rel=0.3)


def test_lost_slices_are_means_of_their_neighbours(scan: Scan) -> None:
    image, old = interpolate_slices(scan, 50)[0].as_tensor()[0], scan[0].as_tensor()[0]
    torch.testing.assert_close(image[..., 1], (old[..., 0] + old[..., 2]) / 2)
    torch.testing.assert_close(image[..., 2], old[..., 2])


def test_narrower_field_of_view_keeps_the_middle_in_place(scan: Scan) -> None:
    image, label = narrow(scan, 50)
    assert image.shape == (1, 12, 11, 5)
    first = image.affine[:3, 3] / torch.tensor([1.0, 1.0, 3.0], dtype=torch.float64)
    x, y, z = map(int, first)
    torch.testing.assert_close(label.as_tensor(), scan[1].as_tensor()[:, x : x + 12, y : y + 11, z : z + 5])


def test_rotation_by_a_right_angle_turns_the_slices(scan: Scan) -> None:
    square = tuple(MetaTensor(volume.as_tensor()[:, :22], affine=AFFINE) for volume in scan)
    turned = [volume.as_tensor() for volume in rotate((square[0], square[1]), 90)]
    for volume, old in zip(turned, square, strict=True):
        turns = [torch.rot90(old.as_tensor(), k, (1, 2)) for k in (1, 3)]
        assert any(torch.allclose(volume, wanted, atol=1e-2) for wanted in turns)
