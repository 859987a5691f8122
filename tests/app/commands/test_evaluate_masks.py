"""`hybridseg evaluate` scores against RTSTRUCT files and segmentations of 3D Slicer as against label maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ...transforms.io.masks.mask_files import corners, write_rtstruct, write_slicer
from ..conftest import SPACING, hybridseg, write_volume

LABELS = np.zeros((12, 10, 6), np.uint8)
LABELS[2:8, 3:7, 1:4] = 1


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    for case in ("one", "two"):
        write_volume(tmp_path / "predictions" / f"{case}.nii.gz", LABELS, SPACING)
    return tmp_path / "predictions"


def write_contours(path: Path, name: str = "GTV_1") -> Path:
    return write_rtstruct(path, {name: [corners((2, 3), (7, 6), index, SPACING) for index in (1, 2, 3)]})


def dice(*words: str | Path) -> dict[str, float]:
    """Return the Dice of label 1 of each case."""
    result = hybridseg("evaluate", *words, "--json")
    assert result.code == 0, result.err
    return {score["case"]: score["dice"] for score in json.loads(result.out)["scores"] if score["label"] == 1}


def test_files_of_masks_are_named_for_their_cases(predictions: Path, tmp_path: Path) -> None:
    write_contours(tmp_path / "references" / "one.dcm")
    write_slicer(tmp_path / "references" / "two.seg.nrrd", [LABELS * 5], SPACING, {"GTV": (0, 5)})
    assert dice(predictions, tmp_path / "references", "--roi", "GTV*=1") == {"one": 1.0, "two": 1.0}


def test_a_single_rtstruct_may_have_any_name(predictions: Path, tmp_path: Path) -> None:
    write_contours(tmp_path / "RS.dcm")
    assert dice(predictions / "one.nii.gz", tmp_path / "RS.dcm", "--roi", "GTV*=1") == {"one": 1.0}


def test_a_bundle_brings_its_rois(predictions: Path, tmp_path: Path, bundle: Path) -> None:
    write_contours(tmp_path / "references" / "one.dcm")
    write_contours(tmp_path / "references" / "two.dcm")
    config = bundle / "configs" / "evaluate.json"
    before = config.read_text()
    config.write_text(before.replace('"rois": {}', '"rois": {"GTV*": 1}'))
    try:
        scores = dice(predictions, tmp_path / "references", "--bundle", bundle)
    finally:
        config.write_text(before)
    assert scores == {"one": 1.0, "two": 1.0}


def test_a_case_without_the_roi_fails_and_lists_names(predictions: Path, tmp_path: Path) -> None:
    write_contours(tmp_path / "references" / "one.dcm")
    write_contours(tmp_path / "references" / "two.dcm", name="tumour")
    result = hybridseg("evaluate", predictions, tmp_path / "references", "--roi", "GTV*=1")
    assert result.code == 1
    assert "two.dcm: no ROI matches 'GTV*': must be one of 'tumour'" in result.err
    assert "1 of 2 cases scored" in result.out


def test_masks_without_rois_fail_and_list_names(predictions: Path, tmp_path: Path) -> None:
    write_contours(tmp_path / "RS.dcm")
    result = hybridseg("evaluate", predictions / "one.nii.gz", tmp_path / "RS.dcm")
    assert result.code == 1
    assert "RS.dcm: ROIs 'GTV_1': needs labels by ROI name, such as --roi 'NAME=1'" in result.err


def test_roi_may_be_repeated_and_the_later_wins(predictions: Path, tmp_path: Path) -> None:
    write_contours(tmp_path / "RS.dcm")
    words = (predictions / "one.nii.gz", tmp_path / "RS.dcm", "--roi", "GTV_?=2", "--roi", "GTV*=1")
    assert dice(*words) == {"one": 1.0}


def test_a_wrong_roi_is_wrong_usage(predictions: Path, tmp_path: Path) -> None:
    result = hybridseg("evaluate", predictions, tmp_path, "--roi", "GTV")
    assert (result.code, result.out) == (2, "")
    assert "roi: 'GTV': must be PATTERN=LABEL" in result.err


def test_the_real_export_is_the_reference_of_its_masks(data_dir: Path, tmp_path: Path) -> None:
    export = data_dir / "sarcoma_dicom"
    for masks in export.glob("STS_0*/PET/mask"):
        name = "_".join((*masks.relative_to(export).parts[:2], "image"))
        (tmp_path / f"{name}.nii.gz").symlink_to(masks / "voxels.nii.gz")
    scores = dice(tmp_path, export, "--roi", "GTV_Mass*=1")
    assert scores == {f"STS_{number}_PET_image": 1.0 for number in ("002", "032", "048")}
