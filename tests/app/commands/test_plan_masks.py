"""From an export of a radiotherapy department to a trained bundle and its scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..conftest import FAST_PLAN, hybridseg

ROI = ("--roi", "GTV_Mass*=1")


@pytest.mark.slow
def test_an_export_with_rtstruct_is_planned_trained_and_scored(data_dir: Path, tmp_path: Path) -> None:
    export, bundle, run = data_dir / "sarcoma_dicom", tmp_path / "gtv_ct_segmentation", tmp_path / "run"
    planned = hybridseg("plan", export, "-o", bundle, "--channels", "CT", *ROI, *FAST_PLAN)
    assert planned.code == 0, planned.err
    assert "3 cases in dicom layout, 3 without problems" in planned.out
    config = json.loads((bundle / "configs" / "train.json").read_text())
    assert (config["rois"], config["label_names"]) == ({"GTV_Mass*": 1}, {"1": "GTV_Mass"})
    trained = hybridseg("train", bundle, export, "-o", run, "--epochs", "1", "--device", "cpu")
    assert trained.code == 0, trained.err
    (case,) = json.loads((run / "split.json").read_text())["validation"]
    series = export.joinpath(*case.split("_CT_")[:1], "CT", "image")
    weights = ("--bundle", bundle, "--checkpoint", run / "model.pt", "--device", "cpu")
    predicted = hybridseg("predict", series, "-o", tmp_path / "labels", *weights)
    assert predicted.code == 0, predicted.err
    reference = series.parent / "mask" / "RS.dcm"
    scored = hybridseg("evaluate", tmp_path / "labels" / "image.nii.gz", reference, "--bundle", bundle, "--json")
    assert scored.code == 0, scored.err
    (score,) = json.loads(scored.out)["scores"]
    assert (score["name"], score["reference_voxels"] > 1000) == ("GTV_Mass", True)
