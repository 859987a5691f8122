"""Channels on grids of their own are interpolated at the right place, once, whatever the direction of their axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hybridseg.transforms.spatial import JoinChannelsd, resample_onto

GRID = np.array([[1.0, 0, 0, -4], [0, 1.2, 0, 3], [0, 0, 2.0, -7], [0, 0, 0, 1]])
SIZE = (12, 10, 8)
WEIGHTS = np.array([0.5, -1.0, 2.0])
"""Intensities that rise evenly along each axis in mm, so that linear interpolation is exact."""


def placed(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the position (X, Y, Z, 3) in mm of each voxel of a grid."""
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return indices @ affine[:3, :3].T + affine[:3, 3]


def ramp(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> MetaTensor:
    return MetaTensor(torch.tensor(placed(affine, shape) @ WEIGHTS)[None].float(), affine=torch.tensor(affine))


def around(turn: NDArray[np.float64], spacing: float = 1.7) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
    """Return a grid of other voxels and directions with the same centre that covers `GRID` on all sides."""
    shape, affine = (22, 22, 22), np.eye(4)
    affine[:3, :3] = turn * spacing
    centre = GRID[:3, :3] @ ((np.array(SIZE) - 1) / 2) + GRID[:3, 3]
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine, shape


TURNS = {
    "same axes": np.eye(3),
    "flipped and permuted": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "oblique": Rotation.from_euler("xyz", [20, -15, 40], degrees=True).as_matrix(),
}


@pytest.mark.parametrize("turn", TURNS)
def test_interpolation_follows_world_coordinates(turn: str) -> None:
    volume = ramp(*around(TURNS[turn]))
    found = resample_onto(volume, SIZE, GRID, outside=-1000.0)
    torch.testing.assert_close(found, ramp(GRID, SIZE).as_tensor(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("turn", TURNS)
def test_labels_take_the_nearest_voxel(turn: str) -> None:
    affine, shape = around(TURNS[turn])
    labels = torch.randint(9, (1, *shape), generator=torch.Generator().manual_seed(0)).float()
    found = resample_onto(MetaTensor(labels, affine=torch.tensor(affine)), SIZE, GRID, outside=0.0, nearest=True)
    inverse = np.linalg.inv(affine)
    position = placed(GRID, SIZE) @ inverse[:3, :3].T + inverse[:3, 3]
    x, y, z = np.moveaxis(position.round().astype(int), -1, 0)
    sure = torch.tensor((np.abs(position - np.floor(position) - 0.5) > 1e-3).all(axis=-1))  # not halfway between two
    assert sure.sum() > 300
    assert torch.equal(found[0][sure], labels[0, x, y, z][sure])


@pytest.mark.parametrize("turn", TURNS)
def test_voxels_outside_a_volume_are_air(turn: str) -> None:
    affine, shape = around(TURNS[turn], spacing=0.3)
    found = resample_onto(ramp(affine, shape), SIZE, GRID, outside=-1000.0)[0]
    inverse = np.linalg.inv(affine)
    position = placed(GRID, SIZE) @ inverse[:3, :3].T + inverse[:3, 3]
    inside = torch.tensor(((position > -0.5) & (position < np.array(shape) - 0.5)).all(axis=-1))
    assert 0 < inside.sum() < inside.numel()
    assert torch.equal(found != -1000, inside)


def case(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> dict[Any, Any]:
    """A first channel on `GRID`, and a second channel and a label map on another, as `LoadVolumed` returns them."""
    volumes: dict[Any, Any] = {"image": ramp(GRID, SIZE), "image_1": ramp(affine, shape)}
    volumes["label_0"] = MetaTensor((volumes["image_1"].as_tensor() > 0).float(), affine=torch.tensor(affine))
    for name, volume in volumes.items():
        volume.meta |= {
            "filename_or_obj": f"{name}.nii",
            "original_affine": volume.affine.numpy(),
            "spatial_shape": np.array(volume.shape[1:]),
            "space": "RAS",
        }
    return volumes


@pytest.mark.parametrize("grid_of", [0, 1])
def test_joined_channels_are_on_one_grid_and_results_on_the_chosen(grid_of: int) -> None:
    affine, shape = around(TURNS["flipped and permuted"])
    joined = JoinChannelsd("image", "label", air=[None, 0.0], grid_of=grid_of)(case(affine, shape))
    assert set(joined) == {"image", "label"}
    image, label = joined["image"], joined["label"]
    assert image.shape == (2, *SIZE)
    torch.testing.assert_close(image[0].as_tensor(), image[1].as_tensor(), rtol=0, atol=1e-3)
    np.testing.assert_array_equal(image.affine, GRID)
    np.testing.assert_array_equal(label.affine, GRID)
    assert label.shape == (1, *SIZE)
    assert image.meta["filename_or_obj"] == ["image.nii", "image_1.nii"][grid_of]
    np.testing.assert_array_equal(image.meta["spatial_shape"], [SIZE, shape][grid_of])
    np.testing.assert_array_equal(image.meta["original_affine"], [GRID, affine][grid_of])


def test_volumes_on_one_grid_pass_unchanged() -> None:
    image, label = ramp(GRID, SIZE), ramp(GRID, SIZE)
    joined = JoinChannelsd("image", "label", air=[None, None])({"image": image, "label": label})
    assert joined["image"] is image
    assert joined["label"] is label


def test_grid_of_a_channel_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"grid_of: 2: must be the number of a channel, 0 to 1"):
        JoinChannelsd("image", "label", air=[None, None], grid_of=2)
