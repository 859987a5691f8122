"""Cases in a command line or a folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridseg.transforms import LoadVolumed, VolumeError, find_cases
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.io.dicom.series import DicomFolder

from ..io.dicom.dicom_files import write_series
from ..io.volume_files import write_nifti
from .dataset_folders import touch


def test_folder_gives_its_volumes_and_zips(tmp_path: Path) -> None:
    a, b, z = touch(tmp_path, "a.nii.gz", "b.mha", "z.zip")
    touch(tmp_path, "notes.txt", ".hidden.zip", "below/c.nii")
    assert find_cases([tmp_path]) == [InputCase("a", (a,)), InputCase("b", (b,)), InputCase("z", (DicomFolder(z),))]


def test_folders_of_slices_are_cases(tmp_path: Path) -> None:
    for name in ("p1", "p2/late"):
        write_series(tmp_path / "study" / name)
    one, late = tmp_path / "study" / "p1", tmp_path / "study" / "p2" / "late"
    assert find_cases([one], series="4") == [InputCase("p1", (DicomFolder(one, "4"),))]
    assert find_cases([tmp_path / "study"]) == [
        InputCase("p1", (DicomFolder(one),)),
        InputCase("p2_late", (DicomFolder(late),)),
    ]


def test_circular_links_are_not_followed(tmp_path: Path) -> None:
    write_series(tmp_path / "study" / "p1")
    (tmp_path / "study" / "again").symlink_to(tmp_path / "study")
    assert [case.name for case in find_cases([tmp_path / "study"])] == ["p1"]


def test_channel_files_are_one_case_for_several_channels(tmp_path: Path) -> None:
    files = touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz")
    (both,) = touch(tmp_path, "c.nii.gz")
    assert [case.name for case in find_cases([tmp_path])] == ["a_0000", "a_0001", "b_0000", "b_0001", "c"]
    expected = [InputCase("c", (both,)), InputCase("a", tuple(files[:2])), InputCase("b", tuple(files[2:]))]
    assert find_cases([tmp_path], channels=2) == expected
    assert find_cases(files[:2], channels=2) == expected[1:2]


def test_single_channel_ending_is_dropped_as_in_nnunet(tmp_path: Path) -> None:
    files = touch(tmp_path, "a_0000.nii.gz", "b_0000.nii.gz")
    assert find_cases([tmp_path]) == [InputCase("a", (files[0],)), InputCase("b", (files[1],))]
    touch(tmp_path, "b_0001.nii.gz")  # now the numbers need not be those of channels
    assert [case.name for case in find_cases([tmp_path])] == ["a_0000", "b_0000", "b_0001"]


def test_channel_in_two_formats_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.mha", "a_0000.nii", "a_0001.nii")
    with pytest.raises(VolumeError, match=r"a_0000.nii: channel 0000, as .*a_0000.mha: each channel may have one file"):
        find_cases([tmp_path], channels=2)


def test_channel_files_are_loaded_as_one_image(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    for channel in range(2):
        write_nifti(tmp_path / f"a_000{channel}.nii", voxels[channel])
    (case,) = find_cases([tmp_path], channels=2)
    image = LoadVolumed("image", channels=2)(case.entry)["image"]
    np.testing.assert_array_equal(image.numpy(), voxels)
    write_nifti(tmp_path / "a_0001.nii", voxels[1, :-1])
    with pytest.raises(VolumeError, match=r"a_0001.nii: shape \(3, 5, 6\) instead of \(4, 5, 6\)"):
        LoadVolumed("image", channels=2)(case.entry)
    with pytest.raises(VolumeError, match=r"a_0000.nii: 2 files: must be one, or one for each of 3"):
        LoadVolumed("image", channels=3)(case.entry)


def write(name: str, text: str) -> Callable[[Path], Path]:
    def writing(folder: Path) -> Path:
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    return writing


INVALID: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "a.nii", "a.nii: does not exist: must be a file or a folder"),
    "empty folder": (lambda folder: folder, "DICOM slices; name volumes in subfolders in a list (.csv)"),
    "other file": (write("notes.txt", ""), "notes.txt: extension '.txt': must be one of .nii.gz"),
    "slice": (lambda folder: write_series(folder / "ct")[0], "or the folder of a DICOM series"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_inputs_are_errors(tmp_path: Path, name: str) -> None:
    make, message = INVALID[name]
    with pytest.raises(VolumeError, match=re.escape(message)) as caught:
        find_cases([make(tmp_path)])
    assert "\n" not in str(caught.value)


def test_missing_channels_and_repeated_names_are_errors(tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.nii", "a_0002.nii", "b.nii", "more/b.mha")
    with pytest.raises(VolumeError, match=r"a_0000.nii: channels 0000, 0002: must be 0000 to 0001"):
        find_cases([tmp_path], channels=2)
    with pytest.raises(VolumeError, match=r"b.mha: case name 'b', as .*b.nii: every input needs a case name"):
        find_cases([tmp_path, tmp_path / "more"])
    with pytest.raises(ValueError, match="inputs: none"):
        find_cases([])
