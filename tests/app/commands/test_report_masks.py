"""`hybridseg report` scores and draws against RTSTRUCT files, as `evaluate` does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from ...transforms.io.masks.mask_files import corners, write_rtstruct
from ..conftest import SPACING, hybridseg, write_volume


def test_contours_are_scored_and_drawn(tmp_path: Path, bundle: Path) -> None:
    labels = np.zeros((12, 10, 6), np.uint8)
    labels[2:8, 3:7, 1:4] = 1
    write_volume(tmp_path / "predictions" / "one.nii.gz", labels, SPACING)
    write_volume(tmp_path / "images" / "one.nii.gz", labels * 100.0, SPACING)
    contours = [corners((2, 3), (7, 6), index, SPACING) for index in (1, 2, 3)]
    references = tmp_path / "references"
    references.mkdir()
    write_rtstruct(references / "one.dcm", {"GTV_1": contours})
    named = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    config = named / "configs" / "evaluate.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "rois": {"GTV*": 1}}))
    words = ("--references", references, "--images", tmp_path / "images", "--bundle", named)
    result = hybridseg("report", tmp_path / "predictions", *words, "-o", tmp_path / "report.html")
    assert (result.code, result.err) == (0, "")
    page = (tmp_path / "report.html").read_text()
    assert "Dice 1.000" in page
    assert "data:image/webp" in page
