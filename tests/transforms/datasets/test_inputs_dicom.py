"""Which DICOM series are the channels of a case, and which files beside them are not read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import BasicTextSRStorage

from hybridseg.transforms import LoadVolumed, VolumeError, find_cases
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.datasets.skipped_inputs import beside_slices, other_slices
from hybridseg.transforms.io.dicom import DicomFolder

from ..io.dicom.dicom_files import VOXELS
from ..io.dicom.pydicom_files import write_classic, write_enhanced
from ..io.volume_files import write_nifti

PET_CT: dict[str, Any] = {"channels": 2, "modalities": ("CT", "PT")}
PET = np.abs(VOXELS)


def pet(dataset: Any, index: int) -> None:
    dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.Units = "1.2.9", 9, "GML"


def write_pet(folder: Path) -> Path:
    return write_classic(folder, PET, modality="PT", change=pet, prefix="PT")


def channel(folder: Path, modality: str, *, fill_gaps: bool = False) -> DicomFolder:
    return DicomFolder(folder, None, modality, fill_gaps, is_channel=True)


def report(dataset: Any) -> None:
    dataset.SOPClassUID, dataset.Modality = BasicTextSRStorage, "SR"
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated"):
        delattr(dataset, name)


def test_volumes_beside_slices_are_not_read(tmp_path: Path) -> None:
    """A mask beside the slices it belongs to was segmented instead of them."""
    write_classic(tmp_path / "p1")
    mask = write_nifti(tmp_path / "p1" / "mask.nii.gz")
    (tmp_path / "p1" / "report.zip").touch()
    (case,) = cases = find_cases([tmp_path / "p1"])
    assert case == InputCase("p1", (DicomFolder(tmp_path / "p1"),))
    np.testing.assert_array_equal(LoadVolumed("image")(case.entry)["image"][0].numpy(), VOXELS)
    assert beside_slices(cases) == [mask, tmp_path / "p1" / "report.zip"]
    assert find_cases([mask]) == [InputCase("mask", (mask,))]


def test_multi_frame_file_beside_a_volume_is_the_case(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "p1")
    write_nifti(tmp_path / "p1" / "mask.nii")
    assert find_cases([tmp_path / "p1"]) == [InputCase("p1", (DicomFolder(tmp_path / "p1"),))]


def test_single_slice_beside_volumes_is_an_error(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii")
    write_classic(tmp_path, VOXELS[:, :, :1], positions=np.zeros((1, 3)))
    message = "IM0, a single DICOM slice, beside a.nii: must hold a series or volumes: name the files to read"
    with pytest.raises(VolumeError, match=re.escape(message)):
        find_cases([tmp_path])


def test_masks_and_reports_in_dicom_are_no_slices(tmp_path: Path) -> None:
    """As in the output folder of an earlier prediction, and in folders of contours."""
    volume = write_nifti(tmp_path / "a.nii.gz")
    write_enhanced(tmp_path, name="a.dcm", change_file=lambda dataset: setattr(dataset, "Modality", "SEG"))
    assert find_cases([tmp_path]) == [InputCase("a", (volume,))]
    write_classic(tmp_path / "tree" / "scan")
    write_enhanced(tmp_path / "tree" / "report", change_file=report)
    assert [case.name for case in find_cases([tmp_path / "tree"])] == ["scan"]


def test_folder_of_pet_and_ct_is_one_case(tmp_path: Path) -> None:
    folder = write_pet(write_classic(tmp_path / "p1"))
    (case,) = find_cases([folder], **PET_CT)
    assert case.images == (channel(folder, "CT"), channel(folder, "PT"))
    image = LoadVolumed("image", channels=2)(case.entry)["image"].numpy()
    np.testing.assert_array_equal(image, np.stack([VOXELS, PET]))
    assert [note.split(" chosen, ")[0] for note in case.notes()] == [
        f"{folder}: series 1.2.3 (number 4, CT, 5 slices)",
        f"{folder}: series 1.2.9 (number 9, PT, 5 slices)",
    ]


def test_series_is_named_for_each_channel(tmp_path: Path) -> None:
    folder = write_pet(write_classic(tmp_path / "p1"))
    (case,) = find_cases([folder], **PET_CT, series="9,1.2.3")
    np.testing.assert_array_equal(LoadVolumed("image", channels=2)(case.entry)["image"][1].numpy(), VOXELS)
    with pytest.raises(ValueError, match="series: 1,2,3: must be one, or one for each of 2 channels"):
        find_cases([folder], **PET_CT, series="1,2,3")


def test_channels_of_one_modality_must_be_named(tmp_path: Path) -> None:
    folder = write_classic(tmp_path / "p1")
    message = "p1: one folder for 2 channels: name the series of each, --series UID,UID, or list their folders (.csv)"
    with pytest.raises(VolumeError, match=re.escape(message)):
        find_cases([folder], channels=2, modalities=("MR", "MR"))


def test_only_series_is_read_whatever_its_modality(tmp_path: Path) -> None:
    (case,) = find_cases([write_classic(tmp_path / "p1")], modalities=("MR",))
    np.testing.assert_array_equal(LoadVolumed("image")(case.entry)["image"][0].numpy(), VOXELS)
    assert case.notes() == []


def test_missing_channel_is_not_another_series(tmp_path: Path) -> None:
    (case,) = find_cases([write_classic(tmp_path / "p1")], **PET_CT)
    with pytest.raises(VolumeError, match=r"p1: no PT series: choose one of 1.2.3 \(number 4, CT, 5 slices\)"):
        LoadVolumed("image", channels=2)(case.entry)


LAYOUTS: dict[str, tuple[Callable[[Path], object], dict[str, tuple[str, str]]]] = {
    "folder of each channel": (
        lambda top: (write_classic(top / "CT"), write_pet(top / "PET")),
        {"study": ("CT", "PET")},
    ),
    "patients with a folder of each": (
        lambda top: [(write_classic(top / p / "CT" / "image"), write_pet(top / p / "PT")) for p in ("p1", "p2")],
        {"p1": ("p1/CT/image", "p1/PT"), "p2": ("p2/CT/image", "p2/PT")},
    ),
    "one patient with a folder of each": (
        lambda top: (write_classic(top / "p1" / "CT" / "image"), write_pet(top / "p1" / "PT")),
        {"p1": ("p1/CT/image", "p1/PT")},
    ),
    "patients with one folder": (
        lambda top: [write_pet(write_classic(top / p)) for p in ("p1", "p2")],
        {"p1": ("p1", "p1"), "p2": ("p2", "p2")},
    ),
    "other series beside": (
        lambda top: (write_classic(top / "CT"), write_classic(top / "T1", modality="MR"), write_pet(top / "PET")),
        {"study": ("CT", "PET")},
    ),
}


def test_folders_of_another_modality_are_no_cases(tmp_path: Path) -> None:
    top = tmp_path / "study"
    write_classic(top / "p1" / "ct")
    write_pet(top / "p1" / "pet")
    write_classic(top / "p2" / "late")
    cases = find_cases([top], modalities=("CT",))
    assert [case.name for case in cases] == ["p1_ct", "p2_late"]
    assert other_slices([top], cases) == [top / "p1" / "pet"]
    everything = find_cases([top], modalities=("MR",))
    assert [case.name for case in everything] == ["p1_ct", "p1_pet", "p2_late"]
    assert other_slices([top], everything) == []
    assert [case.name for case in find_cases([top], modalities=("CT",), series="9")] == ["p1_ct", "p1_pet", "p2_late"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_folders_of_channels_are_joined_to_cases(tmp_path: Path, name: str) -> None:
    write, expected = LAYOUTS[name]
    top = tmp_path / "study"
    write(top)
    found = find_cases([top], **PET_CT)
    assert {case.name: case.images for case in found} == {
        case: (channel(top / ct, "CT"), channel(top / other, "PT")) for case, (ct, other) in expected.items()
    }


def test_list_names_a_folder_for_all_channels_or_each(tmp_path: Path) -> None:
    folder = write_pet(write_classic(tmp_path / "both"))
    (tmp_path / "cases.csv").write_text("case,image,image2\none,both,\ntwo,both,both\n", encoding="utf-8")
    images = (channel(folder, "CT", fill_gaps=True), channel(folder, "PT", fill_gaps=True))
    cases = find_cases([tmp_path / "cases.csv"], **PET_CT, fill_gaps=True)
    assert cases == [InputCase("one", images), InputCase("two", images)]


def test_real_patients_are_cases_of_ct_and_pet(data_dir: Path) -> None:
    cases = find_cases([data_dir / "sarcoma_dicom"], **PET_CT)
    assert [case.name for case in cases] == ["STS_002", "STS_032", "STS_048"]
    for case in cases:
        ct, suv = (LoadVolumed("image")({"image": image})["image"] for image in case.images)
        assert float(ct.min()) == -1000
        assert 0 <= float(suv.min()) < float(suv.max()) < 40
