"""Folders that are skipped below the cases of an input are found, for a warning."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from hybridseg.transforms import find_cases
from hybridseg.transforms.datasets.skipped_inputs import other_formats, passed_over

from ..io.dicom.dicom_files import write_series
from ..io.dicom.pydicom_files import write_classic
from .dataset_folders import touch


def test_skipped_subfolders_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "set/a.nii.gz", "set/notes/todo.txt", "set/b/c.nii", "set/b/d/e.zip", "flat/a.nii", "deep/a/b.nii")
    write_series(tmp_path / "set" / "slices")
    below = passed_over([tmp_path / "set", tmp_path / "flat", tmp_path / "deep", tmp_path / "set" / "a.nii.gz"])
    assert below == [tmp_path / "set" / name for name in ("b", "b/d", "slices")]
    assert passed_over([tmp_path / "set", tmp_path / "set" / "b", tmp_path / "set" / "b" / "d" / "e.zip"]) == below[2:]


def test_volumes_in_other_formats_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "._b.mgz", "notes.txt", "c.HDR", "c.img", "d.nhdr", "e.mgz")
    assert other_formats([tmp_path, tmp_path / "a.nii.gz"]) == [
        tmp_path / name for name in ("c.HDR", "c.img", "d.nhdr", "e.mgz")
    ]


def test_unreadable_subfolders_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.nii.gz", "b/c.nii", "private/letter")
    opened = Path.open

    def open_file(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "letter":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_file)
    assert passed_over([tmp_path]) == [tmp_path / "b"]


def test_slices_below_slices_are_listed(tmp_path: Path) -> None:
    write_classic(tmp_path / "p1")
    write_classic(tmp_path / "p1" / "old")
    assert [case.name for case in find_cases([tmp_path / "p1"])] == ["p1"]
    assert passed_over([tmp_path / "p1"]) == [tmp_path / "p1" / "old"]
