"""A packed bundle segments from its zip as from its folder."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hybridseg.app.bundling.packed import find_bundle
from hybridseg.transforms.errors import VolumeError

from ..conftest import hybridseg, predict, voxels_of, write_volume


def test_packed_bundle_segments_as_its_folder(bundle: Path, tmp_path: Path) -> None:
    image, packed = write_volume(tmp_path / "case.nii.gz"), tmp_path / "packed.zip"
    assert hybridseg("pack", bundle, "-o", packed).code == 0
    assert predict(bundle, tmp_path / "folder", image).code == 0
    result = predict(packed, tmp_path / "zip", image)
    assert (result.code, result.err) == (0, "")
    from_folder, from_zip = (voxels_of(tmp_path / name / "case.nii.gz") for name in ("folder", "zip"))
    np.testing.assert_array_equal(from_zip, from_folder)
    (settings,) = json.loads((tmp_path / "zip" / "run.json").read_text())["runs"].values()
    assert settings["bundle"] == str(packed / bundle.name)
    assert settings["checkpoints"] == [str(packed / bundle.name / "models" / "model.pt")]
    again = predict(bundle, tmp_path / "zip", image)  # the same weights and configs
    assert (again.code, "1 skipped" in again.out) == (0, True)
    own = find_bundle(packed)
    assert sorted(path.name for path in own.iterdir()) == ["LICENSE", "configs", "docs", "models"]


def test_other_zips_are_one_line_errors(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        archive.writestr("scan.nii", b"")
    with pytest.raises(VolumeError, match=r"text\.zip: .*: must be a whole zip of hybridseg pack"):
        find_bundle(tmp_path / "text.zip")
    with pytest.raises(VolumeError, match=r"scans\.zip: 0 bundles: must be a zip of hybridseg pack, with one bundle"):
        find_bundle(tmp_path / "scans.zip")
