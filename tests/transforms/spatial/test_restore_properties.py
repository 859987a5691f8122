"""For any geometry of a file, labels are restored voxel for voxel and written with that geometry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monai.transforms import Compose
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch.nn.functional import one_hot

from hybridseg.transforms import RestoreLabelsd, write_labels
from hybridseg.transforms.grid import LONGEST_MM, SHORTEST_MM, voxel_lengths
from hybridseg.transforms.io.save import GEOMETRY_FIELDS
from hybridseg.transforms.pipelines import geometry

Array = NDArray[Any]

CLASSES = 5
BODY, FAT, AIR = 40, -100, -1000

seeded = settings(derandomize=True, database=None, deadline=None, max_examples=60)


@dataclass(frozen=True)
class Grid:
    """The geometry of a volume in its file.

    Args:
        shape: voxels along each axis.
        affine: (4, 4), voxel indices to RAS mm.
        sform_code: 0 for no sform.
        qform_code: 0 for no qform.
    """

    shape: tuple[int, int, int]
    affine: Array
    sform_code: int
    qform_code: int


@st.composite
def grids(draw: st.DrawFn, *, sheared: bool = False) -> Grid:
    """Draw grids of any spacing, with axes in any order and direction, upright, oblique or sheared."""
    length = st.floats(0.3, 6)
    angle = st.one_of(st.just(0.0), st.floats(-180, 180), st.floats(-0.01, 0.01))
    turn = Rotation.from_euler("xyz", draw(st.tuples(angle, angle, angle)), degrees=True).as_matrix()
    if sheared:
        turn = turn @ (np.eye(3) + np.triu(draw(st.tuples(*[st.floats(-0.5, 0.5)] * 3)) * np.ones((3, 3)), 1))
    affine = np.eye(4)
    affine[:3, :3] = turn[:, draw(st.permutations(range(3)))] * draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    affine[:3, :3] *= draw(st.tuples(length, length, length))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    shape = draw(st.tuples(*[st.integers(1, 7)] * 3))
    assume(np.prod(shape) > 1)
    assume(SHORTEST_MM <= (np.asarray(shape) * voxel_lengths(affine)).max() <= LONGEST_MM)
    codes = st.tuples(st.sampled_from([0, 1, 2, 4]), st.sampled_from([0, 1, 3]))
    sform_code, qform_code = (2, 0) if sheared else draw(codes)
    return Grid(shape, affine, sform_code, qform_code)


def write(path: Path, voxels: Array, grid: Grid) -> nib.Nifti1Image:
    """Write voxels (X, Y, Z) as NIfTI, and return the image as read back."""
    image = nib.Nifti1Image(voxels, None)
    image.header.set_qform(grid.affine, code=grid.qform_code, strip_shears=True)
    image.header.set_sform(grid.affine, code=grid.sform_code)
    nib.save(nib.Nifti1Image(voxels, None, image.header), path)
    return nib.Nifti1Image.from_filename(path)


def write_case(folder: Path, grid: Grid, labels: Array) -> nib.Nifti1Image:
    """Write labels (X, Y, Z) and an image with air where they are 0, and return the image."""
    write(folder / "label.nii", labels.astype(np.uint8), grid)
    intensities = np.random.default_rng(0).integers(BODY, 2 * BODY, grid.shape)
    intensities.flat[0] = FAT  # below 0, and not uniform
    return write(folder / "image.nii.gz", np.where(labels > 0, intensities, AIR).astype(np.int16), grid)


def there_and_back(folder: Path, spacing: Any, crop_margin: int | None = None) -> Array:
    """Restore labels (X, Y, Z) from the logits of a perfect network on a grid of this spacing."""
    keys = ("image", "label")
    steps = geometry(keys, spacing=spacing, labels=range(1, CLASSES), modalities=["CT"], crop_margin=crop_margin)
    case: Any = Compose(steps)({key: str(next(folder.glob(f"{key}.nii*"))) for key in keys})
    case["pred"] = one_hot(case["label"].as_tensor()[0].long(), CLASSES).movedim(-1, 0).float()
    return RestoreLabelsd()(case)["pred"].numpy()[0]


def own_spacing(affine: Array) -> list[float]:
    """Return the voxel size in mm along the axes nearest to right, anterior, superior."""
    axes = nib.orientations.io_orientation(affine)[:, 0].astype(int)
    return [float(voxel_lengths(affine)[list(axes).index(axis)]) for axis in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that every example overwrites."""
    return tmp_path_factory.mktemp("case")


@seeded
@given(grid=st.one_of(grids(), grids(sheared=True)), seed=st.integers(0, 999), margin=st.sampled_from([None, 0, 1]))
def test_labels_are_restored_voxel_for_voxel(folder: Path, grid: Grid, seed: int, margin: int | None) -> None:
    labels = np.random.default_rng(seed).integers(0, CLASSES, grid.shape)
    labels.flat[seed % labels.size] = 1
    image = write_case(folder, grid, labels)
    assume(np.ptp(image.dataobj) > 0)
    restored = there_and_back(folder, own_spacing(np.asarray(image.affine)), margin)
    np.testing.assert_array_equal(restored, labels)


@seeded
@given(grid=grids(), spacing=st.tuples(*[st.floats(0.4, 7)] * 3))
def test_resampling_loses_no_border_voxels(folder: Path, grid: Grid, spacing: tuple[float, float, float]) -> None:
    labels = np.full(grid.shape, 3)
    write_case(folder, grid, labels)
    np.testing.assert_array_equal(there_and_back(folder, spacing), labels)


@seeded
@given(grid=st.one_of(grids(), grids(sheared=True)), form=st.one_of(st.none(), grids()))
def test_written_geometry_equals_the_file_bit_for_bit(folder: Path, grid: Grid, form: Grid | None) -> None:
    labels = np.random.default_rng(0).integers(0, CLASSES, grid.shape).astype(np.uint8)
    image = write(folder / "reference.nii.gz", labels.astype(np.float32), grid)
    if form is not None:  # a qform that differs from the sform
        image.header.set_qform(form.affine, code=form.qform_code)
        nib.save(nib.Nifti1Image(labels.astype(np.float32), None, image.header), folder / "reference.nii.gz")
        image = nib.Nifti1Image.from_filename(folder / "reference.nii.gz")
    write_labels(labels, folder / "out.nii.gz", reference=folder / "reference.nii.gz", affine=image.affine)
    written = nib.Nifti1Image.from_filename(folder / "out.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels)
    for field in GEOMETRY_FIELDS:
        assert written.header[field].tobytes() == image.header[field].tobytes(), field
    assert written.header["pixdim"][:4].tobytes() == image.header["pixdim"][:4].tobytes()
    np.testing.assert_array_equal(written.affine, image.affine)
