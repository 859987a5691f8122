"""The frames of an enhanced PET become SUV as the same slices stored classically, and as computed by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridseg.transforms import VolumeError
from hybridseg.transforms.io.dicom.pet_classic import mean_decay_time

from .dicom_files import VOXELS
from .pydicom_files import EVEN, Change, nothing, sequence, write_classic, write_converted, write_enhanced
from .variants import load, zipped

pytest.importorskip("highdicom", reason="needs the extra dicom")

HALF_LIFE = 6586.2  # of fluorine-18, in s
WEIGHT, DOSE = 70.0, 350.0  # kg, MBq
INJECTED, BEGAN = datetime(2020, 12, 17, 9), datetime(2020, 12, 17, 10)
SUV_OF_EXAMPLE = 2.92127e-4
"""SUV of 1 Bq/ml by hand: 3600 s are 0.546597 half-lives, so 350 MBq * 2^-0.546597 = 239.622 MBq are left;
1 Bq/ml * 70,000 g / 239,622,000 Bq = 2.92127e-4 g/ml."""


def text(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S.%f}"


def frame_time(index: int) -> datetime:
    """Return the time of the mean activity of a frame; two bed positions of some minutes."""
    return BEGAN + timedelta(minutes=3 + 5 * (index // 3))


def in_units(kind: str) -> Change:
    def change(group: Any, index: int) -> None:
        group.PixelValueTransformationSequence[0].RescaleType = kind
        group.FrameContentSequence[0].FrameReferenceDateTime = text(frame_time(index))

    return change


def mapped(code: str, slope: float, intercept: float = -1024.0) -> Change:
    """Give frames units by a code, after another mapping that is not used."""

    def change(group: Any, index: int) -> None:
        in_units("US")(group, index)
        group.RealWorldValueMappingSequence = [
            *sequence(
                RealWorldValueSlope=7.0,
                RealWorldValueIntercept=0.0,
                MeasurementUnitsCodeSequence=sequence(CodeValue="{counts}", CodingSchemeDesignator="UCUM"),
            ),
            *sequence(
                RealWorldValueSlope=slope,
                RealWorldValueIntercept=slope * intercept,
                MeasurementUnitsCodeSequence=sequence(CodeValue=code, CodingSchemeDesignator="UCUM"),
            ),
        ]

    return change


def write_pet(folder: Path, change: Change, *, injection: dict[str, Any] | None = None, **values: Any) -> Path:
    """Write an enhanced PET; `values` go into its header, `injection` into that of the dose, None removes."""
    dose = {
        "RadionuclideTotalDose": DOSE,
        "RadionuclideHalfLife": HALF_LIFE,
        "RadiopharmaceuticalStartDateTime": text(INJECTED),
        **(injection or {}),
    }
    header = {
        "PatientWeight": WEIGHT,
        "AttenuationCorrected": "YES",
        "DecayCorrected": "YES",
        "DecayCorrectionDateTime": text(BEGAN),
        "RadiopharmaceuticalInformationSequence": sequence(**{k: v for k, v in dose.items() if v is not None}),
        **values,
    }

    def change_file(dataset: Any) -> None:
        for name, value in header.items():
            if value is not None:
                setattr(dataset, name, value)

    return write_enhanced(folder, modality="PT", change=change, change_file=change_file)


def factors(folder: Path) -> np.ndarray:
    """Return what the voxels of each slice were multiplied by."""
    loaded = load(folder)[0]
    found: np.ndarray = np.median(loaded / np.where(VOXELS == 0, 1, VOXELS), axis=(0, 1))
    np.testing.assert_allclose(loaded, VOXELS * found, rtol=1e-5, atol=1e-6)
    return found


def classic(**values: Any) -> Change:
    """Return the header of the same PET as single slices, whose dose is in Bq."""

    def change(dataset: Any, index: int) -> None:
        dataset.Units, dataset.CorrectedImage, dataset.PatientWeight = "BQML", ["DECY", "ATTN"], WEIGHT
        dataset.SeriesDate = dataset.AcquisitionDate = f"{BEGAN:%Y%m%d}"
        dataset.SeriesTime = dataset.AcquisitionTime = f"{BEGAN:%H%M%S}"
        dataset.DecayCorrection = "START"
        dataset.RadiopharmaceuticalInformationSequence = sequence(
            RadionuclideTotalDose=DOSE * 1e6,
            RadionuclideHalfLife=HALF_LIFE,
            RadiopharmaceuticalStartDateTime=text(INJECTED),
        )
        for name, value in values.items():
            setattr(dataset, name, value)

    return change


def test_activity_becomes_suv_as_computed_by_hand(tmp_path: Path) -> None:
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", in_units("BQML"))), SUV_OF_EXAMPLE, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        (mapped("Bq/ml", 1), SUV_OF_EXAMPLE),
        (mapped("Bq/ml", 2), 2 * SUV_OF_EXAMPLE),
        (mapped("{SUVbw}g/ml", 0.5), 0.5),
        (mapped("g/ml{SUVbw}", 1), 1),
        (in_units("GML"), 1),
    ],
    ids=["Bq/ml", "Bq/ml, slope 2", "SUV, other spelling, slope 0.5", "SUV", "SUV by RescaleType"],
)
def test_units_are_known_by_their_code(tmp_path: Path, change: Change, scale: float) -> None:
    np.testing.assert_allclose(factors(write_pet(tmp_path / "pet", change)), scale, rtol=1e-5)


def test_dose_in_bq_is_recognised(tmp_path: Path) -> None:
    folder = write_pet(tmp_path / "pet", in_units("BQML"), injection={"RadionuclideTotalDose": DOSE * 1e6})
    np.testing.assert_allclose(factors(folder), SUV_OF_EXAMPLE, rtol=1e-5)


@pytest.mark.parametrize(
    ("corrected_to", "injected", "seconds"),
    [("20201217090000", "20201217090000.9", -0.9), ("20201217100000+0100", "20201217080000+0000", 3600)],
    ids=["rounded to the second", "offsets from UTC"],
)
def test_time_between_injection_and_scan(tmp_path: Path, corrected_to: str, injected: str, seconds: float) -> None:
    injection = {"RadiopharmaceuticalStartDateTime": injected}
    folder = write_pet(tmp_path / "pet", in_units("BQML"), injection=injection, DecayCorrectionDateTime=corrected_to)
    expected = WEIGHT * 1000 / (DOSE * 1e6) * 2 ** (seconds / HALF_LIFE)
    np.testing.assert_allclose(factors(folder), expected, rtol=1e-5)


@pytest.mark.parametrize("zipped_folders", [False, True])
def test_files_of_one_name_keep_their_own_units(tmp_path: Path, zipped_folders: bool) -> None:
    """Of two files with half of the slices each, the second has another factor to SUV."""
    for part, (slope, planes) in enumerate(((1, slice(0, 2)), (2, slice(2, 5)))):
        write_enhanced(
            tmp_path / "series" / str(part) if zipped_folders else tmp_path / "series",
            {0: VOXELS[:, :, planes]},
            modality="PT",
            positions=EVEN[planes],
            change=mapped("g/ml{SUVbw}", slope),
            name="multi" if zipped_folders else f"multi{part}",
        )
    source = zipped(tmp_path / "series") if zipped_folders else tmp_path / "series"
    np.testing.assert_allclose(factors(source), [1, 1, 2, 2, 2], rtol=1e-5)


def test_frames_equal_the_slices_stored_classically(tmp_path: Path) -> None:
    frames = load(write_pet(tmp_path / "frames", in_units("BQML")))[0]
    slices = load(write_classic(tmp_path / "slices", modality="PT", change=classic()))[0]
    np.testing.assert_allclose(frames, slices, rtol=1e-6)


def test_frames_without_decay_correction_decay_to_their_times(tmp_path: Path) -> None:
    """The time of a frame is stored, or follows from the start of its acquisition, as for classic slices."""
    passed = np.array([(frame_time(index) - INJECTED).total_seconds() for index in range(5)])
    expected = WEIGHT * 1000 / (DOSE * 1e6) * 2 ** (passed / HALF_LIFE)
    not_corrected: dict[str, Any] = {"DecayCorrected": "NO", "DecayCorrectionDateTime": None}
    stored = write_pet(tmp_path / "stored", in_units("BQML"), **not_corrected)
    np.testing.assert_allclose(factors(stored), expected, rtol=1e-5)

    def by_acquisition(group: Any, index: int) -> None:
        in_units("BQML")(group, index)
        content = group.FrameContentSequence[0]
        del content.FrameReferenceDateTime
        content.FrameAcquisitionDuration = 240_000.0
        began = frame_time(index) - timedelta(seconds=mean_decay_time(240, HALF_LIFE))
        content.FrameAcquisitionDateTime = text(began)

    acquired = write_pet(tmp_path / "acquired", by_acquisition, **not_corrected)
    np.testing.assert_allclose(factors(acquired), expected, rtol=1e-5)


def test_decay_factors_give_the_time_that_is_missing(tmp_path: Path) -> None:
    def change(group: Any, index: int) -> None:
        in_units("BQML")(group, index)
        factor = 2 ** ((frame_time(index) - BEGAN).total_seconds() / HALF_LIFE)
        group.PETFrameCorrectionFactorsSequence = sequence(DecayFactor=factor)

    folder = write_pet(tmp_path / "pet", change, DecayCorrectionDateTime=None)
    np.testing.assert_allclose(factors(folder), SUV_OF_EXAMPLE, rtol=1e-5)


@pytest.mark.parametrize("correction", ["START", "NONE", "ADMIN"])
def test_converted_frames_equal_the_slices_they_were_made_of(tmp_path: Path, correction: str) -> None:
    def change(dataset: Any, index: int) -> None:
        classic(DecayCorrection=correction, ActualFrameDuration=240_000)(dataset, index)
        dataset.AcquisitionTime = f"{frame_time(index):%H%M%S}"

    frames = write_converted(tmp_path, modality="PT", change=change)
    np.testing.assert_allclose(load(frames)[0], load(tmp_path / "slices")[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "values", "message"),
    [
        (nothing, {}, "frame 1: an enhanced PET in HU: must be in SUV or Bq/ml, by RescaleType GML or BQML"),
        (mapped("{counts}/s", 1), {}, "frame 1: an enhanced PET in US, {counts}/s, {counts}: must be in SUV or Bq/ml"),
        (mapped("Bq/ml", 2, 3.0), {}, "real-world values of slope 2 and intercept 6: must be a multiple of the"),
        (in_units("BQML"), {"PatientWeight": None}, "a PET with PatientWeight '': SUV needs it, in kg, above 0"),
        (in_units("BQML"), {"AttenuationCorrected": "NO"}, "must be corrected for attenuation"),
        (in_units("BQML"), {"DecayCorrected": None}, "a PET with DecayCorrected '': must be YES or NO"),
        (
            in_units("BQML"),
            {"DecayCorrectionDateTime": None},
            "a PET without DecayCorrectionDateTime: SUV needs it, or DecayFactor of each frame",
        ),
        (
            in_units("BQML"),
            {"RadiopharmaceuticalInformationSequence": None},
            "a PET with RadionuclideTotalDose '': SUV needs it, in MBq, above 0",
        ),
        (
            in_units("BQML"),
            {"injection": {"RadiopharmaceuticalStartDateTime": None}},
            "a PET injected at '': SUV needs RadiopharmaceuticalStartDateTime or RadiopharmaceuticalStartTime",
        ),
        (
            in_units("BQML"),
            {"injection": {"RadionuclideHalfLife": None}},
            "a PET with RadionuclideHalfLife '': SUV needs it, in s, above 0",
        ),
        (
            in_units("BQML"),
            {"RadiopharmaceuticalInformationSequence": [*sequence(), *sequence()]},
            "a PET with 2 radiopharmaceuticals: SUV needs a single one",
        ),
    ],
)
def test_what_frames_lack_is_named_in_one_line(
    tmp_path: Path, change: Change, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(VolumeError) as error:
        load(write_pet(tmp_path / "pet", change, **values))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
