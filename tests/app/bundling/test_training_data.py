"""A scan like the training data passes; another modality, size or intensity is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybridseg.app.bundling import Scan, TrainingData
from hybridseg.app.bundling.training_data import measured_scan, percentiles
from hybridseg.bundles import bundle_names, bundle_path
from hybridseg.transforms import VolumeError

ABDOMEN = Scan(extent_mm=(300, 300, 200), intensities=((-1000, 400),), modalities=("CT",))
LARGER = Scan(extent_mm=(400, 400, 300), intensities=((-1010, 900),), modalities=("CT",))
CT = TrainingData.of_scans([ABDOMEN, LARGER], ["CT"])


@pytest.mark.parametrize(
    "scan", [ABDOMEN, LARGER, replace(ABDOMEN, extent_mm=(330, 290, 350)), replace(ABDOMEN, modalities=())]
)
def test_scan_like_the_training_data_passes(scan: Scan) -> None:
    assert CT.differences(scan) == []


@pytest.mark.parametrize(
    ("scan", "difference"),
    [
        (replace(ABDOMEN, modalities=("MR",)), "MR instead of CT"),
        (replace(ABDOMEN, extent_mm=(300, 300, 800)), "800 mm superior-inferior instead of 200 to 300"),
        (replace(ABDOMEN, extent_mm=(40, 300, 200)), "40 mm left-right instead of 300 to 400"),
        (replace(ABDOMEN, intensities=((0, 400),)), "0.5 % of the voxels below 0 HU instead of -1010 to -1000"),
        (replace(ABDOMEN, intensities=((-1000, 3071),)), "99.5 % of the voxels below 3071 HU instead of 400 to 900"),
    ],
)
def test_difference_is_named(scan: Scan, difference: str) -> None:
    assert CT.differences(scan) == [difference]


def test_channels_are_compared_each_by_its_unit() -> None:
    both = Scan(extent_mm=(300, 300, 200), intensities=((-1000, 400), (0, 5)), modalities=("CT", "PT"))
    known = TrainingData.of_scans([both], ["CT", "PT"])
    assert known.differences(replace(both, modalities=("PT", "CT"), intensities=both.intensities[::-1])) == [
        "channel 0 is PT instead of CT",
        "channel 1 is CT instead of PT",
        "0.5 % of the voxels below 0 HU instead of -1000 to -1000",
        "99.5 % of the voxels below 5 HU instead of 400 to 400",
        "0.5 % of the voxels below -1000 SUV instead of 0 to 0",
        "99.5 % of the voxels below 400 SUV instead of 5 to 5",
    ]


def test_intensities_of_mri_are_not_compared() -> None:
    mri = TrainingData.of_scans([replace(ABDOMEN, modalities=("MR",))], ["MR"])
    assert mri.differences(replace(ABDOMEN, modalities=("MR",), intensities=((0, 70_000),))) == []


def test_metadata_keep_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    metadata = tmp_path / "configs" / "metadata.json"
    assert TrainingData.read(tmp_path) == TrainingData()
    for known in (CT, replace(CT, synthetic=True), TrainingData(modalities=("MR",))):
        metadata.write_text(json.dumps({"training_data": known.record()}))
        assert TrainingData.read(tmp_path) == known
    metadata.write_text("{}")
    assert TrainingData.read(tmp_path).differences(ABDOMEN) == []


@pytest.mark.parametrize(
    "entry", [[], {"extent_mm": [[1]]}, {"extent_mm": [[2, 1]]}, {"intensities": [{"lowest": [1, 2]}]}]
)
def test_invalid_metadata_are_an_error(entry: object, tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps({"training_data": entry}))
    with pytest.raises(VolumeError, match=r"metadata\.json: invalid training_data: must have synthetic, modalities, "):
        TrainingData.read(tmp_path)


@pytest.mark.parametrize("name", bundle_names())
def test_shipped_bundle_says_what_it_was_trained_on(name: str) -> None:
    known = TrainingData.read(bundle_path(name))
    assert known.synthetic == name.startswith("phantom")
    assert set(known.modalities) <= {"CT", "MR", "PT"}
    if (bundle_path(name) / "models" / "model.pt").is_file():
        assert known.extent_mm


def test_volume_is_measured_in_mm() -> None:
    scan = measured_scan((40, 30, 20), (2.0, 1.0, 0.5), [(-1000, 400)])
    assert scan == Scan(extent_mm=(80, 30, 10), intensities=((-1000, 400),))


def test_padding_below_air_is_ignored() -> None:
    channel = np.linspace(0, 1000, 24000, dtype=np.float32).reshape(40, 30, 20)
    assert percentiles(channel) == pytest.approx((5, 995))
    channel[:4] = -3024
    assert percentiles(channel) == pytest.approx((-1024, 995), rel=0.01)


def test_large_volume_is_measured_from_a_part_of_its_voxels() -> None:
    channel = np.random.default_rng(0).normal(0, 100, (200, 200, 200)).astype(np.float32)
    np.testing.assert_allclose(percentiles(channel), np.percentile(channel, (0.5, 99.5)), rtol=0.01)
