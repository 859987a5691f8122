"""Maps are aligned with the image and share one colour scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from monai.data import MetaTensor

from hybridseg.app.figures.network_maps import BORDER, draw_maps, on_image

AFFINE = torch.diag(torch.tensor([2.0, 2.0, 4.0, 1.0], dtype=torch.float64))
SHAPE = (12, 10, 9)


@pytest.fixture
def image() -> MetaTensor:
    return MetaTensor(torch.rand(1, *SHAPE), affine=AFFINE)


def overlays(figure: Figure) -> list[np.ma.MaskedArray]:
    """Return the overlay of each panel, rows from the bottom."""
    drawn = [axes.images[1].get_array() for axes in figure.axes if len(axes.images) == 2]
    return [array for array in drawn if isinstance(array, np.ma.MaskedArray)]


def test_map_voxel_covers_its_image_voxels() -> None:
    values = torch.arange(12.0).reshape(3, 2, 2)
    fine = on_image(values, (4, 8, 4), (10, 10, 7))
    for voxel in np.ndindex(fine.shape):
        assert fine[voxel] == values[voxel[0] // 4, voxel[1] // 8, voxel[2] // 4]


@pytest.mark.parametrize(("plane", "axis"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
def test_slice_goes_through_the_voxel_and_zeros_are_masked(image: MetaTensor, plane: str, axis: int) -> None:
    voxel = (7, 2, 4)
    values = torch.zeros(SHAPE)
    values[voxel] = 0.5
    (drawn,) = overlays(draw_maps(image, {"map": values}, voxel, plane=plane))
    assert drawn.count() == 1
    x, y = (other for other in range(3) if other != axis)
    assert np.argwhere(drawn.filled(0)).tolist() == [[voxel[y], SHAPE[x] - 1 - voxel[x]]]
    (empty,) = overlays(draw_maps(image, {"map": values}, (6, 3, 5), plane=plane))
    assert empty.count() == 0


def test_through_sums_a_map_over_all_slices(image: MetaTensor) -> None:
    values = torch.rand(3, 3, 3)
    (drawn,) = overlays(draw_maps(image, {"map": values}, (0, 0, 0), stride=(4, 4, 4), plane="axial", through=True))
    expected = on_image(values.sum(2, keepdim=True).expand(3, 3, 3), (4, 4, 4), SHAPE)[:, :, 0]
    np.testing.assert_allclose(drawn.filled(0), expected.T[:, ::-1])


def test_borders_separate_numbers_and_a_cross_marks_the_voxel(image: MetaTensor) -> None:
    """Numbers change after the 4th of 12 voxels of 2 mm; the last voxel, the patient's right, is on the left."""
    numbers = (torch.arange(12) >= 4).long().view(12, 1, 1).expand(SHAPE)
    figure = draw_maps(image, {"map": torch.ones(SHAPE)}, (2, 0, 3), borders={"map": numbers})
    drawn = {line.get_marker(): np.array(line.get_xydata()) for line in figure.axes[0].lines}
    np.testing.assert_allclose(drawn["+"], [[24 - 2.5 * 2, 3.5 * 4]])
    pieces = [np.array(line.get_xydata()) for line in figure.axes[0].lines if line.get_linewidth() == BORDER]
    assert all((piece[:, 0] == 16).all() for piece in pieces)
    assert sorted(piece[0, 1] for piece in pieces) == [4.0 * index for index in range(SHAPE[2])]


def test_panels_share_one_scale_and_none_is_empty(image: MetaTensor) -> None:
    maps = {f"map {index}": torch.full(SHAPE, 10.0**-index) for index in range(4)}
    figure = draw_maps(image, maps, (0, 0, 0), name="weight")
    assert [axes.get_title() for axes in figure.axes[:-1]] == list(maps)
    assert figure.axes[-1].get_ylabel() == "weight"
    assert {axes.images[1].get_clim() for axes in figure.axes[:-1]} == {(1e-4, 1.0)}


def test_invalid_arguments_are_errors(image: MetaTensor) -> None:
    maps = {"map": torch.ones(SHAPE)}
    with pytest.raises(ValueError, match=r"plane: 'front': must be one of axial, coronal, sagittal"):
        draw_maps(image, maps, (0, 0, 0), plane="front")
    with pytest.raises(ValueError, match=r"voxel: \(0, -1, 0\): must lie within the image of \(12, 10, 9\) voxels"):
        draw_maps(image, maps, (0, -1, 0))
    with pytest.raises(ValueError, match=r"maps: none: at least one is needed"):
        draw_maps(image, {}, (0, 0, 0))
    with pytest.raises(ValueError, match=r"maps: map: shape \(12, 10, 9\): must be \(3, 3, 3\)"):
        draw_maps(image, maps, (0, 0, 0), stride=(4, 4, 4))
    image.affine = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match=r"image: axes LPS: must be RAS"):
        draw_maps(image, maps, (0, 0, 0))
