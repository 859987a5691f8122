"""Cases in a command line, a folder or a list."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridseg.transforms import LoadVolumed, VolumeError, find_cases
from hybridseg.transforms.datasets.inputs import InputCase, passed_over
from hybridseg.transforms.io.dicom.series import DicomFolder

from ..io.dicom.dicom_files import write_series
from ..io.volume_files import write_nifti


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_folder_gives_its_volumes_and_zips(tmp_path: Path) -> None:
    a, b, z = touch(tmp_path, "a.nii.gz", "b.mha", "z.zip")
    touch(tmp_path, "notes.txt", ".hidden.zip", "below/c.nii")
    assert find_cases([tmp_path]) == [InputCase("a", (a,)), InputCase("b", (b,)), InputCase("z", (DicomFolder(z),))]


def test_skipped_subfolders_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "set/a.nii.gz", "set/notes/todo.txt", "set/b/c.nii", "set/b/d/e.zip", "flat/a.nii", "deep/a/b.nii")
    write_series(tmp_path / "set" / "slices")
    below = passed_over([tmp_path / "set", tmp_path / "flat", tmp_path / "deep", tmp_path / "set" / "a.nii.gz"])
    assert below == [tmp_path / "set" / name for name in ("b", "b/d", "slices")]
    assert passed_over([tmp_path / "set", tmp_path / "set" / "b", tmp_path / "set" / "b" / "d" / "e.zip"]) == below[2:]


def test_unreadable_subfolders_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.nii.gz", "b/c.nii", "private/letter")
    opened = Path.open

    def open_file(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "letter":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_file)
    assert passed_over([tmp_path]) == [tmp_path / "b"]


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


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_list_names_cases_and_their_channels(tmp_path: Path, kind: str) -> None:
    t1, t2, other = touch(tmp_path, "in/t1.nii", "in/t2.nii", "other.mha")
    write_series(tmp_path / "scan")
    if kind == "csv":
        text = f"case,image,image2\none,in/t1.nii,in/t2.nii\ntwo,{other},\nthree,scan,\n"
    else:
        text = json.dumps(
            [
                {"case": "one", "image": "in/t1.nii", "image2": "in/t2.nii"},
                {"case": "two", "image": str(other)},
                {"case": "three", "image": "scan"},
            ]
        )
    (tmp_path / f"cases.{kind}").write_text(text, encoding="utf-8")
    scan = DicomFolder(tmp_path / "scan")
    assert find_cases([tmp_path / f"cases.{kind}"]) == [
        InputCase("one", (t1, t2)),
        InputCase("two", (other,)),
        InputCase("three", (scan,)),
    ]


@pytest.mark.parametrize("order", [(2, 1, 10), (10, 2, 1)])
def test_channels_of_a_list_are_sorted_by_number(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Not by the order of the columns or the alphabet, which JSON is often sorted by."""
    files: dict[int, Path] = dict(zip((1, 2, 10), touch(tmp_path, "a.nii", "b.nii", "c.nii"), strict=True))
    row = {f"image{number if number > 1 else ''}": files[number].name for number in order}
    (tmp_path / "cases.json").write_text(json.dumps([{"case": "one", **row}]), encoding="utf-8")
    (case,) = find_cases([tmp_path / "cases.json"], channels=3)
    assert case.images == tuple(files.values())


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


RULE = "must have the columns case, image and optionally image2 and so on"
INVALID: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "a.nii", "a.nii: does not exist: must be a file or a folder"),
    "empty folder": (lambda folder: folder, "DICOM slices; name volumes in subfolders in a list (.csv)"),
    "other file": (write("notes.txt", ""), "notes.txt: extension '.txt': must be one of .nii.gz"),
    "slice": (lambda folder: write_series(folder / "ct")[0], "or the folder of a DICOM series"),
    "no list": (write("cases.json", "{}"), f"cases.json: not a list of cases: {RULE}"),
    "broken list": (write("cases.json", "[{"), "cases.json: "),
    "empty list": (write("cases.csv", "case,image\n"), f"cases.csv: not a list of cases: {RULE}"),
    "other column": (write("cases.csv", "case,volume\na,b\n"), f"cases.csv: case 1 has 'volume': {RULE}"),
    "no image": (write("cases.csv", "case,image\na,\n"), f"cases.csv: case 1 lacks its name or image: {RULE}"),
    "no image in between": (
        write("cases.csv", "case,image,image2,image3\na,cases.csv,,cases.csv\n"),
        f"cases.csv: case 1 lacks its name or image: {RULE}",
    ),
    "no name": (write("cases.json", '[{"case": 3, "image": "a"}]'), "cases.json: case 1 lacks its name or image"),
    "hidden name": (write("cases.csv", "case,image\n.a,cases.csv\n"), "cases.csv: case 1 is called '.a': a name must"),
    "column twice": (
        write("cases.csv", "case,image,image\na,b,c\n"),
        "cases.csv: column 'image' stands twice: must have each column once",
    ),
    "too many cells": (write("cases.csv", "case,image\na,b,c\n"), f"cases.csv: case 1 has None: {RULE}"),
    "missing image": (
        write("cases.csv", "case,image\na,b.nii\n"),
        "cases.csv: names b.nii: every image of a list",
    ),
    "path as name": (write("cases.csv", "case,image\n../a,cases.csv\n"), "cases.csv: case 1 is called '../a': a name"),
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
