"""Cases of DICOM series and contours are measured, and measured again when contours, patterns or slices change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybridseg.app.planning.survey import default_jobs, survey_dataset
from hybridseg.transforms.datasets.dataset import open_dataset
from hybridseg.transforms.io.dicom import open_series

from ...transforms.io.dicom.dicom_files import SPACING, write_series
from ...transforms.io.masks.mask_files import corners, write_rtstruct

VOXEL_ML = float(np.prod(SPACING)) / 1000


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A patient with two regions of 12 voxels and of 2."""
    write_series(tmp_path / "export" / "ct")
    with open_series(tmp_path / "export" / "ct") as series:
        affine = series.affine
    regions = {"GTV": [corners((1, 2), (3, 5), 0, affine)], "node": [corners((6, 1), (7, 1), 2, affine)]}
    write_rtstruct(tmp_path / "export" / "RS.dcm", regions)
    return tmp_path / "export"


def volumes(export: Path, **rois: int) -> tuple[dict[int, float], float]:
    """Return the volume of each label in voxels, and when the result was kept."""
    kept = export.parent / "kept"
    dataset = open_dataset(export, rois=rois)
    assert default_jobs(dataset) == 1
    (case,) = survey_dataset(dataset, kept, progress=False)
    found = {label: round(volume / VOXEL_ML, 3) for label, volume in case.label_volumes.items()}
    return found, (kept / "ct.json").stat().st_mtime_ns


def test_contours_are_measured(export: Path) -> None:
    assert volumes(export, GTV=1, node=2)[0] == {1: 12, 2: 2}


def test_a_case_is_measured_again_for_other_patterns(export: Path) -> None:
    first, kept = volumes(export, GTV=1)
    assert volumes(export, GTV=1) == (first, kept)
    assert volumes(export, node=1)[0] == {1: 2}


def test_a_case_is_measured_again_for_another_slice(export: Path) -> None:
    _, kept = volumes(export, GTV=1)
    min((export / "ct").iterdir()).touch()
    assert volumes(export, GTV=1)[1] > kept
