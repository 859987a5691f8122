"""Phantom MRI of heads: reproducible on every grid, tumours that need several channels, and a valid dataset."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nibabel.orientations import aff2axcodes

from hybridseg.transforms import mri_preprocessing, read_dataset
from hybridseg.transforms.grid import voxel_volume_ml
from hybridseg.transforms.phantoms.head import CHANNELS, LABELS, HeadPhantom, head_phantom, write_heads

ENHANCING, NON_ENHANCING = 1, 2
"""Seeds of a tumour with an enhancing rim, and of one without."""


def volumes(scan: HeadPhantom) -> np.ndarray:
    """Return the volume of each label in ml, background first."""
    return np.bincount(scan.label.ravel(), minlength=4) * voxel_volume_ml(scan.affine)


@pytest.fixture(scope="module")
def scan() -> HeadPhantom:
    return head_phantom(ENHANCING, spacing=(3, 3, 3))


def test_seed_defines_the_patient():
    first, again, other = (head_phantom(seed, spacing=(4, 4, 4)) for seed in (0, 0, 1))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.label, again.label)
    assert not np.allclose(volumes(first), volumes(other))


@pytest.mark.parametrize("orientation", ["LPS", "PIR"])
def test_patient_does_not_depend_on_the_grid(orientation):
    reference = head_phantom(3, spacing=(3, 3, 3), orientation="RAS", tilt=0)
    other = head_phantom(3, spacing=(2.5, 3, 3.5), orientation=orientation, tilt=8)
    assert aff2axcodes(other.affine) == tuple(orientation)
    np.testing.assert_allclose(volumes(other)[1:], volumes(reference)[1:], rtol=0.1)
    first, second = (apply_affine(s.affine, np.argwhere(s.label)).mean(axis=0) for s in (reference, other))
    np.testing.assert_allclose(first, second, atol=1.5)


def test_every_channel_shows_only_the_brain(scan):
    assert scan.image.shape == (*scan.label.shape, len(CHANNELS))
    inside = scan.image > 0
    assert (inside == inside[..., :1]).all()
    litres = inside[..., 0].sum() * voxel_volume_ml(scan.affine) / 1000
    assert 0.9 < litres < 1.8
    assert not scan.label[~inside[..., 0]].any()


def test_tumour_has_edema_and_usually_an_enhancing_rim(scan):
    _, *tumour = volumes(scan)
    assert min(tumour) > 0.5
    t1gd = scan.image[..., CHANNELS.index("t1gd")]
    assert t1gd[scan.label == 3].mean() > 1.3 * t1gd[(scan.label == 0) & (t1gd > 0)].mean()
    assert t1gd[scan.label == 3].mean() > 1.5 * t1gd[scan.label == 1].mean()
    without_rim = volumes(head_phantom(NON_ENHANCING, spacing=(4, 4, 4)))
    assert without_rim[3] == 0
    assert without_rim[2] > 0.5


@pytest.mark.parametrize("members", [(1, 2, 3), (2, 3)])
def test_no_threshold_segments_the_tumour(scan, members):
    wanted = np.isin(scan.label, members)
    for channel in np.moveaxis(scan.image, -1, 0):
        levels = np.quantile(channel[channel > 0], np.linspace(0, 1, 25))
        best = max(
            2 * (chosen & wanted).sum() / (chosen.sum() + wanted.sum())
            for low, high in product(levels, levels)
            if low < high and (chosen := (channel >= low) & (channel < high)).any()
        )
        assert best < 0.75


def test_written_folder_is_a_four_channel_decathlon_dataset(tmp_path):
    folder = write_heads(tmp_path / "heads", 2, seed=5, test_count=1)
    cases = read_dataset(folder)
    assert [case["case"] for case in cases] == ["phantom_000", "phantom_001"]
    listing = json.loads((folder / "dataset.json").read_text())
    assert listing["labels"] == {"0": "background", **{str(label): name for label, name in LABELS.items()}}
    assert list(listing["modality"].values()) == list(CHANNELS)
    assert len(list((folder / "labelsTs").iterdir())) == 1
    for case in cases:
        assert isinstance(case["image"], str)
        assert nib.Nifti1Image.from_filename(case["image"]).shape[3:] == (4,)
    preprocessing = mri_preprocessing(
        ["image", "label"], spacing=(4, 4, 4), labels=range(1, 4), channels=4, crop_margin=2
    )
    loaded: Any = preprocessing(cases[0])
    assert loaded["image"].shape[0] == 4
    assert loaded["image"].shape[1:] == loaded["label"].shape[1:]


def test_invalid_grids_and_empty_datasets_are_errors(tmp_path):
    with pytest.raises(ValueError, match="orientation: 'RRS': must be three letters"):
        head_phantom(0, orientation="RRS")
    with pytest.raises(ValueError, match="count: 0: must be at least 1"):
        write_heads(tmp_path, 0)
