"""A click finds the voxel drawn there, the planes stay linked, and without widgets there is a picture."""

from __future__ import annotations

import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from hybridseg.app.figures.planes import PLANES, Plane
from hybridseg.app.figures.viewer import SliceViewer
from hybridseg.transforms import VolumeError
from hybridseg.transforms.extras import install_command
from hybridseg.transforms.structures import label_colours

from .viewed import LABELS, NAMES, SHAPE, make_viewer, pixels, volume


@pytest.fixture
def viewer() -> SliceViewer:
    return make_viewer()


def colour(label: int) -> np.ndarray:
    code = label_colours(NAMES.values())[label - 1]
    return np.array([int(code[start : start + 2], 16) / 255 for start in (1, 3, 5)])


def has_colour(picture: np.ndarray, label: int, tolerance: float = 0.02) -> bool:
    return bool((np.abs(picture - colour(label)).max(axis=2) < tolerance).any())


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
@pytest.mark.parametrize("voxel", [(3, 4, 2), (25, 15, 8)])
def test_pressing_a_bright_spot_moves_to_its_voxel(plane: Plane, voxel: tuple[int, int, int]) -> None:
    image = np.zeros(SHAPE)
    image[voxel] = 1
    viewer = SliceViewer(volume(image), window=(0, 1))
    right_anterior_superior = (SHAPE[0] - 1 - voxel[0], *voxel[1:])
    viewer.position = tuple(np.where(np.arange(3) == plane.axis, right_anterior_superior, 0).tolist())
    bright = pixels(viewer.draw(plane)).mean(axis=2)
    bright[:, :35] = bright[:, -35:] = bright[:25] = bright[-25:] = 0  # letters and the scale bar
    bright[-60:, :130] = 0
    row, column = (index.mean() for index in np.nonzero(bright > 0.9 * bright.max()))
    viewer.move_to(plane, (column + 0.5) / bright.shape[1], (row + 0.5) / bright.shape[0])
    assert viewer.position == right_anterior_superior
    assert viewer.place(plane) == pytest.approx((column / bright.shape[1], row / bright.shape[0]), abs=0.03)


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_move_to_inverts_place_and_stays_inside(viewer: SliceViewer, plane: Plane) -> None:
    for position in ((0, 0, 0), (29, 19, 9), (7, 11, 5)):
        viewer.position = position
        viewer.move_to(plane, *viewer.place(plane))
        assert viewer.position == position
    viewer.move_to(plane, -0.1, 1.2)
    assert all(0 <= index < length for index, length in zip(viewer.position, SHAPE, strict=True))


def test_planes_start_where_labels_are(viewer: SliceViewer) -> None:
    assert viewer.labels is not None
    assert viewer.labels[viewer.position]
    for label in NAMES:
        viewer.show(label)
        assert viewer.labels[viewer.position] == label
    viewer.label_names.pop(1)
    viewer.show(1)  # without a name
    assert viewer.labels[viewer.position] == 1
    before = viewer.position
    viewer.labels[viewer.labels == 1] = 0
    viewer.reference = None
    viewer.show(1)
    assert viewer.position == before


def test_choice_and_opacity_of_labels_are_drawn(viewer: SliceViewer) -> None:
    axial = PLANES[0]
    viewer.position, viewer.opacity, viewer.outlined = (10, 10, 4), 1.0, False
    both = pixels(viewer.draw(axial))
    assert has_colour(both, 1)
    assert has_colour(both, 2)
    viewer.chosen = (2,)
    second = pixels(viewer.draw(axial))
    assert not has_colour(second, 1)
    assert has_colour(second, 2)
    viewer.opacity = 0.0
    assert (np.abs(pixels(viewer.draw(axial)) - second).max(axis=2) > 0.1).mean() > 0.02
    viewer.chosen = ()
    plain = pixels(viewer.draw(axial))
    assert not has_colour(plain, 2)
    viewer.chosen, viewer.outlined = (2,), True
    assert (pixels(viewer.draw(axial)) != plain).any()


def test_table_has_volume_and_mean_of_labels_and_reference(viewer: SliceViewer) -> None:
    header, liver, spleen = viewer.rows
    assert header == ["label", "ml", "mean", "reference ml", "reference mean"]
    assert liver[:4] == ["liver", f"{(LABELS == 1).sum() * 6 / 1000:.1f}", "100.0", liver[1]]
    assert spleen[1:3] == [f"{(LABELS == 2).sum() * 6 / 1000:.2g}", "200.0"]
    assert viewer.table().splitlines()[0].split() == ["label", "ml", "mean", "reference", "ml", "reference", "mean"]


def test_labels_are_numbered_if_names_are_not_given() -> None:
    image, reference = volume(LABELS), volume(3 * (LABELS == 2))
    assert SliceViewer(image, volume(LABELS), reference=reference).label_names == {
        1: "label 1",
        2: "label 2",
        3: "label 3",
    }
    assert SliceViewer(image).label_names == {}


def test_label_that_does_not_occur_has_no_mean() -> None:
    viewer = SliceViewer(volume(LABELS), volume(3 * (LABELS == 2)), label_names={1: "liver"})
    assert viewer.rows[1] == ["liver", "0", "-"]


def test_here_describes_the_voxel_at_the_position(viewer: SliceViewer) -> None:
    viewer.position = (29 - 6, 10, 4)
    assert viewer.here() == "L 6 A 20 S 12 mm   intensity 100   label liver   reference liver"
    viewer.position = (0, 0, 0)
    assert viewer.here().endswith("label none   reference none")


def test_paths_are_loaded(tmp_path: Path) -> None:
    for name, values in (("image", 100 * LABELS + 1), ("labels", LABELS)):
        saved = volume(values)
        nib.save(nib.Nifti1Image(saved[0].numpy(), saved.affine.numpy()), tmp_path / f"{name}.nii")
    shown = SliceViewer(
        tmp_path / "image.nii", str(tmp_path / "labels.nii"), reference=volume(LABELS), label_names=NAMES
    )
    given = SliceViewer(volume(100 * LABELS + 1), volume(LABELS), reference=volume(LABELS), label_names=NAMES)
    assert shown.table() == given.table()
    with pytest.raises(VolumeError, match=r"nowhere\.nii: "):
        SliceViewer("nowhere.nii")


@pytest.mark.parametrize("missing", ["ipywidgets", "anywidget"])
def test_without_widgets_a_picture_and_a_hint_are_shown(
    viewer: SliceViewer, missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert viewer.controls() is None
    shown = viewer._repr_mimebundle_()
    assert set(shown) == {"image/jpeg", "text/plain"}
    picture = pixels(b64decode(shown["image/jpeg"]))
    assert has_colour(picture, 1, tolerance=0.15)  # JPEG
    assert capsys.readouterr().out.splitlines() == [
        "ipywidgets or anywidget is missing, so this is a picture: " + install_command("notebooks")
    ]


def test_image_of_several_channels_is_an_error() -> None:
    image = MetaTensor(torch.zeros(2, *SHAPE), affine=volume(LABELS).affine)
    with pytest.raises(ValueError, match=r"^image: shape \(2, 30, 20, 10\): must be \(1, X, Y, Z\)$"):
        SliceViewer(image, volume(LABELS))


@pytest.mark.parametrize("name", ["labels", "reference"])
def test_labels_on_another_grid_are_an_error(name: str) -> None:
    other = MetaTensor(torch.from_numpy(LABELS)[None], affine=torch.eye(4, dtype=torch.float64))
    cut: dict[str, Any] = {name: volume(LABELS[1:])}
    moved: dict[str, Any] = {name: other}
    with pytest.raises(ValueError, match=rf"^{name}: shape \(29, 20, 10\) .*: must be on the image's grid$"):
        SliceViewer(volume(LABELS), **cut)
    with pytest.raises(ValueError, match=rf"^{name}: affine .* elsewhere: must be on the image's grid$"):
        SliceViewer(volume(LABELS), **moved)


def test_volumes_in_memory_are_checked_like_files() -> None:
    image = volume(LABELS)
    with pytest.raises(VolumeError, match=r"^labels: 336 labels such as 0\.5: labels must be integers$"):
        SliceViewer(image, volume(0.5 * (LABELS == 1)))
    with pytest.raises(VolumeError, match=r"^reference: labels from -2 to 0: must be from 0 to 65535$"):
        SliceViewer(image, reference=volume(LABELS - 2))
    with pytest.raises(VolumeError, match=r"^image: 1 of 6000 voxels are NaN or infinite: every voxel must be finite$"):
        SliceViewer(volume(np.where(np.arange(6000).reshape(SHAPE) == 7, np.nan, LABELS)))
    mask = MetaTensor(torch.from_numpy(LABELS == 1)[None], affine=image.affine)
    assert SliceViewer(image, mask).label_names == {1: "label 1"}


def test_invalid_options_are_errors() -> None:
    with pytest.raises(ValueError, match=r"^label_names: 0: a label must be at least 1$"):
        SliceViewer(volume(LABELS), volume(LABELS), label_names={0: "background"})
    with pytest.raises(ValueError, match=r"^window: \(3, 3\): the second intensity must be above the first$"):
        SliceViewer(volume(LABELS), window=(3, 3))
