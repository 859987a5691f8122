"""PET becomes SUV by body weight as DICOM and vendors define it, checked against published examples."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from hybridseg.transforms import LoadVolumed, VolumeError
from hybridseg.transforms.io.dicom.pet_classic import mean_decay_time, parse_time

from .dicom_files import SHAPE, VOXELS, write_series

HALF_LIFE = 6586.2
BASIC: dict[str, Any] = {
    "Units": "BQML",
    "DecayCorrection": "START",
    "CorrectedImage": ["DECY", "ATTN", "SCAT"],
    "SeriesDate": "20201217",
    "AcquisitionDate": "20201217",
    "RadionuclideHalfLife": HALF_LIFE,
}
INJECTION = ("RadionuclideHalfLife", "RadionuclideTotalDose", "RadiopharmaceuticalStart")


def write_pet(folder: Path, each: list[dict[str, Any]] | None = None, /, **values: Any) -> Path:
    """Write a PET series; `values` go into the header of every slice, `each` into that of one, None removes."""
    for index, file in enumerate(write_series(folder, tags={"0008|0060": "PT"})):
        dataset = pydicom.dcmread(file)
        injection = Dataset()
        for name, value in {**BASIC, **values, **(each[index] if each else {})}.items():
            if value is None:
                continue
            if name == "GE":
                dataset.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", value)
            elif name.startswith("Philips"):
                block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
                block.add_new({"PhilipsSUV": 0x00, "PhilipsActivity": 0x09}[name], "DS", value)
            else:
                setattr(injection if name.startswith(INJECTION) else dataset, name, value)
        dataset.RadiopharmaceuticalInformationSequence = [injection]
        dataset.save_as(file)
    return folder


def factors(folder: Path) -> np.ndarray:
    """Return what the stored voxels of each slice were multiplied by."""
    loaded = LoadVolumed(["image"])({"image": str(folder)})["image"][0].numpy()
    assert loaded.shape == SHAPE
    ratio = loaded / np.where(VOXELS == 0, 1, VOXELS)
    middle: np.ndarray = np.median(ratio, axis=(0, 1))
    np.testing.assert_allclose(loaded, VOXELS * middle, rtol=1e-5)
    return middle


PUBLISHED: dict[str, tuple[dict[str, Any], float]] = {
    "Siemens": (
        {
            "PatientWeight": 67,
            "SeriesTime": "104829.000000",
            "AcquisitionTime": "104830.351370",
            "FrameReferenceTime": 38513.36,
            "ActualFrameDuration": 74324,
            "RadionuclideTotalDose": 374000000,
            "RadiopharmaceuticalStartDateTime": "20201217083045.000000",
        },
        0.00042748316187197236,
    ),
    "GE": (
        {
            "PatientWeight": 52,
            "SeriesTime": "095621",
            "AcquisitionTime": "095621",
            "RadionuclideTotalDose": 152022720,
            "RadiopharmaceuticalStartDateTime": "20201217084500.00",
        },
        0.0005367387681819742,
    ),
    "Philips in Bq/ml": (
        {
            "PatientWeight": 64,
            "SeriesTime": "110155",
            "AcquisitionTime": "110156",
            "FrameReferenceTime": 1328700,
            "ActualFrameDuration": 120700,
            "RadionuclideTotalDose": 126000000,
            "RadiopharmaceuticalStartDateTime": "20201217100058",
            "PhilipsSUV": "0.003515736",
            "PhilipsActivity": "4.709921",
        },
        0.0007463747013889488,
    ),
    "Philips in counts": (
        {
            "Units": "CNTS",
            "PatientWeight": 54,
            "SeriesTime": "093556",
            "AcquisitionTime": "095439",
            "RadionuclideTotalDose": 238000000,
            "RadiopharmaceuticalStartTime": "083000",
            "PhilipsSUV": "0.000551",
            "PhilipsActivity": "1.602563",
        },
        0.000551,
    ),
    "acquired before the time of the series": (
        {
            "PatientWeight": 65,
            "SeriesTime": "123515.000000",
            "AcquisitionTime": "123514.999995",
            "FrameReferenceTime": 59936.854672596,
            "ActualFrameDuration": 120000,
            "RadionuclideTotalDose": 225000000,
            "RadiopharmaceuticalStartTime": "114100.000000",
        },
        0.0004069156854009332,
    ),
    "reconstructed later, without the time of the frame": (
        {
            "PatientWeight": 69,
            "SeriesTime": "134918.000000",
            "AcquisitionTime": "130348.234000",
            "FrameReferenceTime": 0,
            "ActualFrameDuration": 180000,
            "RadionuclideTotalDose": 388000000,
            "RadiopharmaceuticalStartTime": "120037.000000",
        },
        0.00026503312764157046,
    ),
    "only the time of day of the injection": (
        {
            "PatientWeight": 102,
            "SeriesTime": "135431.843000",
            "AcquisitionTime": "141555.687000",
            "FrameReferenceTime": 1372857.9232493,
            "ActualFrameDuration": 180000,
            "RadionuclideTotalDose": 412000000,
            "RadiopharmaceuticalStartTime": "125000.000000",
        },
        0.0003721089202818729,
    ),
}
"""Headers of public scans, and their factors as published with cornerstonejs/calculate-suv (test/metadata)."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_factors_equal_published_ones(tmp_path: Path, name: str) -> None:
    values, expected = PUBLISHED[name]
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", **values)), expected, rtol=1e-5)


HOUR: dict[str, Any] = {
    "PatientWeight": 70,
    "SeriesTime": "100000",
    "AcquisitionTime": "100000",
    "RadionuclideTotalDose": 350e6,
    "RadiopharmaceuticalStartTime": "090000",
}
"""Injected an hour before the scan."""
UNDECAYED = 70_000 / 350e6
DECAYED = UNDECAYED * 2 ** (3600 / HALF_LIFE)


def test_an_hour_of_decay_is_computed(tmp_path: Path) -> None:
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", **HOUR)), DECAYED, rtol=1e-6)


def test_correction_to_the_injection_needs_no_times(tmp_path: Path) -> None:
    values = HOUR | {
        "DecayCorrection": "ADMIN",
        "SeriesTime": None,
        "RadiopharmaceuticalStartTime": None,
    }
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", **values)), UNDECAYED, rtol=1e-6)


def test_without_correction_each_slice_decays_to_its_time(tmp_path: Path) -> None:
    each = [{"AcquisitionTime": f"10{minute:02d}00"} for minute in (0, 0, 5, 5, 10)]
    values = HOUR | {"DecayCorrection": "NONE", "ActualFrameDuration": 240_000}
    minutes = np.array([0, 0, 5, 5, 10]) + mean_decay_time(240, HALF_LIFE) / 60
    expected = UNDECAYED * 2 ** ((60 + minutes) * 60 / HALF_LIFE)
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", each, **values)), expected, rtol=1e-6)


def test_a_scan_after_midnight_was_injected_the_day_before(tmp_path: Path) -> None:
    values = HOUR | {
        "SeriesTime": "001000",
        "AcquisitionTime": "001000",
        "RadiopharmaceuticalStartTime": "231000",
    }
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", **values)), DECAYED, rtol=1e-6)


def test_a_shifted_date_of_the_injection_does_not_count(tmp_path: Path) -> None:
    values = HOUR | {"RadiopharmaceuticalStartDateTime": "20301231090000"}
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", **values)), DECAYED, rtol=1e-6)


def test_a_tracer_of_days_uses_the_date_of_the_injection(tmp_path: Path) -> None:
    values = HOUR | {
        "RadionuclideHalfLife": 282_240,
        "RadiopharmaceuticalStartDateTime": "20201214090000",
    }
    expected = UNDECAYED * 2 ** (73 * 3600 / 282_240)
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", **values)), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "injected", "seconds"),
    [
        ("RadiopharmaceuticalStartTime", "100010", 10),
        ("RadiopharmaceuticalStartTime", "100959", 599),
        ("RadiopharmaceuticalStartDateTime", "20201217100000.5", 0.5),
    ],
)
def test_scan_may_begin_before_the_injection(tmp_path: Path, name: str, injected: str, seconds: float) -> None:
    """As dynamic scans do; the dose has not decayed yet."""
    expected = UNDECAYED * 2 ** (-seconds / HALF_LIFE)
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", **{**HOUR, name: injected})), expected, rtol=1e-6)


@pytest.mark.parametrize("injected", ["101100", "20201217101100"])
def test_injection_long_after_the_scan_is_an_error(tmp_path: Path, injected: str) -> None:
    """By the time of day it was on the day before, 13 half-lives ago."""
    name = "RadiopharmaceuticalStartTime" if len(injected) == 6 else "RadiopharmaceuticalStartDateTime"
    values = {**HOUR, "RadiopharmaceuticalStartTime": None, name: injected}
    with pytest.raises(VolumeError, match=r"injected 85740 s before the scan, at a half-life of 6586.2 s: must be at"):
        factors(write_pet(tmp_path / "pet", **values))


@pytest.mark.parametrize(
    ("injected", "offset"),
    [("20201217080000+0000", "+0100"), ("20201217090000+0000", None), ("20201217090000", "-0500")],
)
def test_offsets_from_utc_are_computed(tmp_path: Path, injected: str, offset: str | None) -> None:
    """Without an offset at both times, they are local ones."""
    values = {**HOUR, "RadiopharmaceuticalStartDateTime": injected, "TimezoneOffsetFromUTC": offset}
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", **values)), DECAYED, rtol=1e-6)


@pytest.mark.parametrize("offset", ["+1", "+0999", "-CET"])
def test_damaged_offset_from_utc_is_ignored(tmp_path: Path, offset: str) -> None:
    values = {**HOUR, "TimezoneOffsetFromUTC": offset}
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", **values)), DECAYED, rtol=1e-6)
    assert parse_time(f"20201217090000.5{offset}") == datetime(2020, 12, 17, 9, microsecond=500_000)


def test_ge_stores_the_scan_time_of_a_processed_series(tmp_path: Path) -> None:
    values = HOUR | {"SeriesTime": "170000", "AcquisitionTime": "101500", "GE": "20201217100000.00"}
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", **values)), DECAYED, rtol=1e-6)


def test_counts_of_philips_may_become_activity(tmp_path: Path) -> None:
    values = HOUR | {"Units": "CNTS", "PhilipsSUV": "0", "PhilipsActivity": "1.5"}
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", **values)), 1.5 * DECAYED, rtol=1e-6)


def test_suv_are_left_alone(tmp_path: Path) -> None:
    np.testing.assert_array_equal(factors(write_pet(tmp_path / "pet", Units="GML")), 1)


def test_suv_of_another_type_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.testing.assert_array_equal(factors(write_pet(tmp_path / "pet", Units="GML", SUVType="LBM")), 1)
    assert "SUV of type LBM are used as if they were by body weight" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RadionuclideTotalDose": None}, "a PET with RadionuclideTotalDose '': SUV needs it, in Bq, above 0"),
        ({"RadionuclideTotalDose": 350}, "RadionuclideTotalDose 350: must be in Bq, at least 10000"),
        ({"PatientWeight": None}, "a PET with PatientWeight '': SUV needs it, in kg, above 0"),
        ({"PatientWeight": 0}, "a PET with PatientWeight '0.0': SUV needs it, in kg, above 0"),
        ({"RadionuclideHalfLife": None}, "a PET with RadionuclideHalfLife '': SUV needs it, in s, above 0"),
        (
            {"RadiopharmaceuticalStartTime": None},
            "a PET injected at '': SUV needs RadiopharmaceuticalStartDateTime or RadiopharmaceuticalStartTime",
        ),
        ({"AcquisitionTime": None}, "a PET with AcquisitionDate '20201217' and AcquisitionTime '': both are needed"),
        ({"DecayCorrection": None}, "a PET with DecayCorrection '': must be START, ADMIN or NONE"),
        ({"Units": "PROPCNTS"}, "a PET with Units 'PROPCNTS': must be BQML, GML, or CNTS with the factors of Philips"),
        ({"Units": "CNTS"}, "a PET with Units 'CNTS': must be BQML, GML, or CNTS with the factors of Philips"),
        ({"CorrectedImage": ["DECY"]}, "a PET with CorrectedImage DECY: must be corrected for attenuation"),
        ({"RadionuclideHalfLife": 122}, "injected 3600 s before the scan, at a half-life of 122 s: must be at most 10"),
    ],
)
def test_what_suv_needs_is_named_in_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(VolumeError) as error:
        factors(write_pet(tmp_path / "pet", **{**HOUR, **change}))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_real_suv_are_left_alone(data_dir: Path) -> None:
    folder = data_dir / "sarcoma_dicom" / "STS_002" / "PET" / "image"
    loaded = LoadVolumed(["image"])({"image": str(folder)})["image"].numpy()
    file = min(folder.iterdir(), key=lambda file: float(pydicom.dcmread(file).ImagePositionPatient[2]))
    dataset = pydicom.dcmread(file)
    stored = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    np.testing.assert_allclose(loaded[0, :, :, 0].T, stored, rtol=1e-5)
