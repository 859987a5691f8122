"""Phantom CT: reproducible on every grid, anatomically plausible, and written as a valid dataset."""

from __future__ import annotations

import json
from itertools import product

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nibabel.orientations import aff2axcodes

from hybridseg.transforms import read_dataset
from hybridseg.transforms.grid import voxel_volume_ml
from hybridseg.transforms.phantoms.abdomen import Phantom, phantom, write_phantoms
from hybridseg.transforms.phantoms.abdomen_patient import ORGANS, VERTEBRAE

LABELS = {name: label for label, name in ORGANS.items()}
PLAUSIBLE = {
    "liver": (700, 2500),
    "spleen": (40, 400),
    "kidney_left": (80, 350),
    "kidney_right": (80, 350),
    "spine": (200, 900),
}
"""Volumes in ml of an adult's organs; the spine within the field of view."""


def volumes(scan: Phantom) -> dict[str, float]:
    """Return the volume of each organ in ml."""
    voxel = voxel_volume_ml(scan.affine)
    return {name: float((scan.label == label).sum() * voxel) for name, label in LABELS.items()}


def centre(scan: Phantom, name: str) -> np.ndarray:
    """Return the centre of mass of an organ: (right, anterior, superior) in mm of the world."""
    return apply_affine(scan.affine, np.argwhere(scan.label == LABELS[name])).mean(axis=0)


@pytest.fixture(scope="module", params=range(4))
def scan(request) -> Phantom:
    return phantom(request.param)


def test_seed_defines_the_patient():
    first, again, other = phantom(0), phantom(0), phantom(1)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.label, again.label)
    assert volumes(first) != volumes(other)


def test_organs_have_plausible_volumes(scan):
    for name, volume in volumes(scan).items():
        low, high = PLAUSIBLE[name]
        assert low < volume < high, name


def test_left_and_right_are_anatomically_correct(scan):
    """The first coordinate of the world grows from left to right of the patient, the second towards the front."""
    assert centre(scan, "liver")[0] > centre(scan, "spleen")[0]
    assert centre(scan, "kidney_right")[0] > centre(scan, "kidney_left")[0]
    assert centre(scan, "spine")[1] < centre(scan, "liver")[1]


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR", "ASL"])
def test_patient_does_not_depend_on_the_grid(orientation):
    reference = phantom(7, spacing=(4, 4, 4), orientation="RAS", tilt=0)
    other = phantom(7, spacing=(3.5, 5, 4), orientation=orientation, tilt=10)
    assert aff2axcodes(other.affine) == tuple(orientation)
    for name in set(ORGANS.values()) - {"spine"}:  # which extends beyond the field of view
        np.testing.assert_allclose(centre(other, name), centre(reference, name), atol=2.5)
        assert volumes(other)[name] == pytest.approx(volumes(reference)[name], rel=0.08), name


def test_no_threshold_separates_the_organs(scan):
    """Even the best HU interval of an organ has many voxels of other tissue: a network needs shape and position."""
    for name in ("liver", "spleen", "kidney_left", "kidney_right"):
        inside = scan.label == LABELS[name]
        best = 0.0
        for low, high in product(range(-50, 200, 10), range(0, 300, 10)):
            chosen = (scan.image >= low) & (scan.image < high)
            best = max(best, 2 * (chosen & inside).sum() / max(1, chosen.sum() + inside.sum()))
        assert best < 0.75, name


def test_borders_have_partial_volume(scan):
    """There are voxels with values between those of air and body."""
    between = (scan.image > -800) & (scan.image < -250)
    assert between.sum() > 0.005 * scan.image.size


def test_vertebrae_divide_the_spine_evenly():
    whole = phantom(3, spacing=(4, 4, 3), orientation="RAS", tilt=0)
    scan = phantom(3, spacing=(4, 4, 3), orientation="RAS", tilt=0, vertebrae=True)
    assert np.array_equal(scan.image, whole.image)
    is_vertebra = np.isin(scan.label, list(VERTEBRAE))
    assert np.array_equal(is_vertebra, whole.label == LABELS["spine"])
    assert np.array_equal(scan.label[~is_vertebra], whole.label[~is_vertebra])
    middles = [np.argwhere(scan.label == label)[:, 2].mean() for label in VERTEBRAE]
    assert middles == sorted(middles)
    np.testing.assert_allclose(np.diff(middles)[1:-1], 11, atol=2)  # 33 mm in slices of 3 mm, times the patient's size


def test_written_folder_is_a_decathlon_dataset(tmp_path):
    folder = write_phantoms(tmp_path / "phantoms", 2, seed=5, test_count=1)
    assert [case["case"] for case in read_dataset(folder)] == ["phantom_000", "phantom_001"]
    listing = json.loads((folder / "dataset.json").read_text())
    assert listing["labels"] == {"0": "background", **{str(label): name for label, name in ORGANS.items()}}
    for part, name in product(("Tr", "Ts"), ("images", "labels")):
        for path in (folder / f"{name}{part}").iterdir():
            header = nib.Nifti1Image.from_filename(path).header
            assert int(header["qform_code"]) > 0
            assert int(header["sform_code"]) > 0
            assert header.get_xyzt_units()[0] == "mm"
    assert len(list((folder / "labelsTs").iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spacing": (4, 4)}, "spacing"),
        ({"spacing": (0, 4, 4)}, "spacing"),
        ({"orientation": "RRS"}, "orientation"),
        ({"tilt": 45}, "tilt"),
    ],
)
def test_invalid_grids_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        phantom(0, **options)


def test_dataset_without_cases_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="count: 0: must be at least 1"):
        write_phantoms(tmp_path, 0)
