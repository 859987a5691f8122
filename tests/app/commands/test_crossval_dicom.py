"""A cross-validation on PET/CT with contours, as a radiotherapy department exports it: from plan to the result."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from ...transforms.io.dicom.dicom_files import ORIGIN, write_series
from ...transforms.io.masks.mask_files import corners, write_rtstruct
from ..conftest import hybridseg, voxels_of

pytestmark = pytest.mark.slow

STUDIES = {"first": "MRN7001", "later": "MRN7001", "other": "MRN7002", "third": "MRN7003"}
"""Folders of studies, and the patient of each."""

SHAPE = (24, 20, 16)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Studies with a CT of 2 mm, a PET in SUV of 4 mm in plane, and the contours of a bright box on the CT."""
    random = np.random.default_rng(0)
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    affine[:3, 3] = ORIGIN * [-1, -1, 1]
    for number, (study, patient) in enumerate(STUDIES.items()):
        ct, pet = random.normal(40, 10, SHAPE), random.normal(1, 0.2, (12, 10, 16))
        ct[6:16, 6:14, 4:12] += 60
        pet[3:8, 3:7, 4:12] += 9
        place, tags = tmp_path / "export" / study, {"0010|0020": patient, "0020|0052": f"1.2.9.{number}"}
        for series, (modality, voxels, spacing) in {"1": ("CT", ct, (2, 2, 2)), "2": ("PT", pet, (4, 4, 2))}.items():
            write_series(
                place / modality,
                voxels.round().astype(np.int16),
                direction=np.eye(3),
                spacing=spacing,
                tags={**tags, "0008|0060": modality, "0020|000e": f"1.2.{number}.{series}", "0054|1001": "GML"},
            )
        contours = [corners((6, 6), (15, 13), index, affine) for index in range(4, 12)]
        frame = f"1.2.9.{number}"
        write_rtstruct(place / "RS.dcm", {"GTV_1": contours}, series=f"1.2.{number}.1", frame_of_reference=frame)
    return tmp_path / "export"


def test_pet_ct_with_contours_is_planned_and_cross_validated(export: Path, tmp_path: Path) -> None:
    bundle, out = tmp_path / "tumour_petct_segmentation", tmp_path / "out"
    options = "--channels CT PET --roi 'GTV*=1' --folds 2 --preset tiny --patch 16 16 16 --spacing 2 2 2 --device cpu"
    planned = hybridseg("plan", export, "-o", bundle, *shlex.split(options), "--jobs", "1")
    assert planned.code == 0, planned.err
    result = hybridseg("crossval", bundle, export, "-o", out, "--epochs", "1", "--device", "cpu")
    assert result.code == 0, result.err
    split = json.loads((out / "split.json").read_text())
    cases = {f"{study}_CT" for study in STUDIES}
    assert {case for fold in split["folds"] for case in fold} == cases
    assert [fold for fold in split["folds"] if {"first_CT", "later_CT"} <= set(fold)]
    assert any("have the same PatientID" in line for line in split["assumptions"])
    maps = {path.name: voxels_of(path).shape for path in out.rglob("*_CT.nii.gz")}
    assert maps == dict.fromkeys((f"{case}.nii.gz" for case in cases), SHAPE)
    written = [path for folder in (bundle, out) for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in written if b"MRN700" in path.read_bytes()]
