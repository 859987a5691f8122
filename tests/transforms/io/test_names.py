"""Volumes among files, and the names of their cases."""

import re
from pathlib import Path

import pytest

from hybridseg.transforms import VolumeError, case_name, find_volumes
from hybridseg.transforms.io.names import VOLUME_EXTENSIONS


def touch(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True, parents=True)
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


@pytest.mark.parametrize("extension", [*VOLUME_EXTENSIONS, ".NII.GZ", ".Nrrd"])
@pytest.mark.parametrize("name", ["case", "patient.1", "nii", "été 2", ".gz"])
def test_case_name_is_the_name_without_the_extension(name: str, extension: str) -> None:
    assert case_name(f"folder.nii/{name}{extension}") == name


def test_case_name_is_the_same_however_its_accents_are_stored() -> None:
    assert case_name("e\N{COMBINING ACUTE ACCENT}.nii") == case_name("\N{LATIN SMALL LETTER E WITH ACUTE}.nii.gz")


def test_case_name_of_another_file_is_its_name() -> None:
    assert case_name("folder/scan.v1") == "scan.v1"


def test_folder_gives_its_volumes_sorted(tmp_path: Path) -> None:
    folder = tmp_path / "scans.nii"
    b, a, c = touch(folder, "b.nii.gz", "a.mha", "c.nrrd")
    touch(folder, "._b.nii.gz", ".b.part.nii.gz", "notes.txt", "a.raw")
    touch(folder / "below.nii", "d.nii")
    assert find_volumes([folder]) == [a, b, c]


def test_files_and_folders_keep_the_order_given(tmp_path: Path) -> None:
    z, a = touch(tmp_path / "one", "z.nii", "a.nii")
    (m,) = touch(tmp_path / "two", "m.mhd")
    assert find_volumes([z, m.parent, str(a)]) == [z, m, a]


def test_broken_link_in_a_folder_is_listed(tmp_path: Path) -> None:
    link = tmp_path / "case.nii.gz"
    link.symlink_to(tmp_path / "nowhere.nii.gz")
    assert find_volumes([tmp_path]) == [link]


@pytest.mark.parametrize(
    ("names", "inputs", "message"),
    [
        ([], ["missing.nii"], r"missing.nii: does not exist: must be a file or a folder"),
        ([], ["."], r"no volumes: a folder must hold files ending in .nii.gz, .nii, .nrrd, .mha, .mhd"),
        (["notes.txt"], ["notes.txt"], r"notes.txt: extension '.txt': must be one of .nii.gz"),
        (["a.nii", "a.mha"], ["."], r"a.nii: case name 'a', as .*a.mha: every input needs a case name of its own"),
        (["a.nii"], ["a.nii", "a.nii"], r"a.nii: case name 'a'"),
    ],
)
def test_invalid_inputs_are_errors(tmp_path: Path, names: list[str], inputs: list[str], message: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(VolumeError, match=message) as caught:
        find_volumes([tmp_path / name for name in inputs])
    assert "\n" not in str(caught.value)


def test_circular_link_does_not_exist(tmp_path: Path) -> None:
    link = tmp_path / "circle.nii"
    link.symlink_to(link)
    with pytest.raises(VolumeError, match=re.escape(f"{link}: does not exist")):
        find_volumes([link])


def test_no_inputs_are_an_error() -> None:
    with pytest.raises(ValueError, match="inputs: none"):
        find_volumes([])


def test_accents_may_be_written_in_either_form(tmp_path: Path) -> None:
    composed, decomposed = "M\u00fcller", "Mu\u0308ller"
    assert case_name(f"{decomposed}.nii.gz") == composed
    with pytest.raises(VolumeError, match=f"case name '{composed}'"):
        find_volumes(touch(tmp_path, f"{composed}.nii.gz", f"{decomposed}.nii.gz"))
