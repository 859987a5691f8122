"""Body masks, z-score and bias field."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from hybridseg.transforms import VolumeError
from hybridseg.transforms.intensity import CorrectBiasFieldd, ZScoreBodyd, ct_body, mri_body


@pytest.fixture
def head() -> torch.Tensor:
    """A bright ball with a radius of 12 voxels in dark, noisy air: (1, 32, 32, 32)."""
    axis = torch.arange(32.0) - 15.5
    radius = torch.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    return (torch.where(radius < 12, 900.0, 20.0) + 10 * torch.randn(32, 32, 32))[None]


def test_mri_body_is_brighter_than_air(head):
    assert torch.equal(mri_body(head), head > 450)


@pytest.mark.parametrize(("scale", "shift"), [(1e-3, 0.0), (1e3, 0.0), (1.0, -5000.0)])
def test_mri_body_does_not_depend_on_intensity_scale(head, scale, shift):
    assert torch.equal(mri_body(scale * head + shift), mri_body(head))


def test_ct_body_excludes_air_and_lung():
    assert ct_body(torch.tensor([-1000.0, -800.0, -100.0, 40.0])).tolist() == [False, False, True, True]


def test_z_score_of_the_body(head):
    image = ZScoreBodyd("image")({"image": head})["image"]
    body = image[mri_body(head)]
    assert body.mean().abs() < 1e-4
    assert (body.std() - 1).abs() < 1e-3


def test_z_score_per_channel_leaves_the_input_unchanged(head):
    both = torch.cat([head, 100 * head + 7])
    before = both.clone()
    image = ZScoreBodyd("image")({"image": both})["image"]
    torch.testing.assert_close(image[0], image[1], rtol=1e-3, atol=1e-3)
    assert torch.equal(both, before)


def test_uniform_body_is_only_centred():
    image = torch.zeros(1, 8, 8, 8)
    image[:, 2:6, 2:6, 2:6] = 5.0
    scored = ZScoreBodyd("image")({"image": image})["image"]
    assert scored.isfinite().all()
    assert scored[0, 3, 3, 3] == 0


def test_channel_without_a_body_is_an_error(head):
    """Nearly all voxels have the highest value, so none is above the threshold."""
    flat = torch.full((1, 32, 32, 32), 100.0)
    flat[0, 0, 0, 0] = 0
    image = MetaTensor(torch.cat([head, flat]), meta={"filename_or_obj": "scan.nii"})
    with pytest.raises(VolumeError, match=r"scan.nii: no voxel brighter than air: there must be a body"):
        ZScoreBodyd("image")({"image": image})


def test_single_slice_is_not_bias_corrected(head):
    image = MetaTensor(head[..., 16:17], affine=torch.eye(4))
    assert torch.equal(CorrectBiasFieldd("image")({"image": image})["image"], image)


def test_bias_field_is_corrected(head):
    bias = torch.exp(torch.linspace(-0.5, 0.5, 32))[None, :, None, None]
    shaded = MetaTensor(head * bias, affine=torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0])))
    corrected = CorrectBiasFieldd("image", iterations=(20, 20))({"image": shaded})["image"]
    body = head > 450

    def variation(image: torch.Tensor) -> float:
        return float(image[body].std() / image[body].mean())

    assert variation(corrected) < variation(shaded) / 3
    assert isinstance(corrected, MetaTensor)
