"""Label maps are written completely, with the geometry of their image, and never over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from hybridseg.transforms import LoadVolumed, VolumeError, WriteLabelsd, write_labels

from .volume_files import AFFINE, SHAPE, write_nifti

LABELS = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)


def read(path: Path) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_filename(path)


@pytest.mark.parametrize(("greatest", "voxel_type"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16)])
def test_voxel_type_is_the_smallest_for_the_labels(tmp_path: Path, greatest: int, voxel_type: Any) -> None:
    labels = LABELS.astype(np.int64)
    labels[0, 0, 0] = greatest
    write_labels(labels, tmp_path / "a.nii.gz", affine=AFFINE)
    assert read(tmp_path / "a.nii.gz").get_data_dtype() == voxel_type
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "a.nii.gz").dataobj), labels)


def test_sheared_affine_has_no_qform(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[1, 1] += 1
    write_labels(LABELS, tmp_path / "a.nii", affine=affine)
    assert int(read(tmp_path / "a.nii").header["qform_code"]) == 0
    np.testing.assert_allclose(np.asarray(read(tmp_path / "a.nii").affine), affine, atol=1e-5)


def test_image_is_never_overwritten(tmp_path: Path) -> None:
    """As if the folder of the volumes is also given as the output folder."""
    path = write_nifti(tmp_path / "a.nii.gz")
    before = path.read_bytes()
    case: Any = LoadVolumed("image")({"image": path})
    case["pred"] = case["image"].int().clip(0, 2)
    with pytest.raises(ValueError, match=r"path: .*a.nii.gz: must be another file than the image"):
        WriteLabelsd(output_dir=tmp_path)(case)
    assert path.read_bytes() == before
    WriteLabelsd(output_dir=tmp_path / "labels")(case)
    assert (tmp_path / "labels" / "a.nii.gz").is_file()


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (LABELS[0], {}, r"labels: shape \(6, 5\): must be \(X, Y, Z\) or \(1, X, Y, Z\), with voxels"),
        (LABELS.astype(np.float32), {}, "labels: float32: must be integers"),
        (LABELS.astype(np.int32) - 1, {}, "labels: from -1 to 1: must be from 0 to 65535"),
        (LABELS, {"path": "a.nrrd"}, r"a.nrrd: must end in .nii.gz or .nii"),
        (LABELS, {"affine": None}, r"affine: None: is required unless the reference \(None\) is a NIfTI file"),
        (LABELS, {"affine": np.zeros((4, 4))}, r"affine: .*: must be \(4, 4\), finite, and its three axes independent"),
    ],
)
def test_invalid_label_maps_are_errors(tmp_path: Path, labels: Any, options: dict[str, Any], message: str) -> None:
    path = tmp_path / options.get("path", "a.nii.gz")
    with pytest.raises(ValueError, match=message):
        write_labels(labels, path, affine=options.get("affine", AFFINE))
    assert not path.exists()


def test_labels_on_another_grid_are_errors(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "image.nii")
    with pytest.raises(VolumeError, match=r"image.nii: labels with shape \(6, 6, 5\) instead of \(7, 6, 5\)"):
        write_labels(LABELS[1:], tmp_path / "a.nii", reference=image)
    with pytest.raises(VolumeError, match=r"image.nii: labels with affine that places voxels up to 1 mm elsewhere"):
        write_labels(LABELS, tmp_path / "a.nii", reference=image, affine=AFFINE + np.eye(4, k=3))


def test_several_keys_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"keys: \('pred', 'label'\): must be one"):
        WriteLabelsd(["pred", "label"])
