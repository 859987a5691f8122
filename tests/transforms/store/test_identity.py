"""The same preprocessing has the same description in every process; any other has another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from monai.transforms import Lambdad, ScaleIntensityRanged

from hybridseg.transforms.io.dicom.series import DicomFolder
from hybridseg.transforms.io.masks import MaskFile
from hybridseg.transforms.pipelines import mri_preprocessing
from hybridseg.transforms.store.identity import FileDigests, case_digest, files_of, recipe_digest

from .volumes import write_case

CODE = """
from hybridseg.transforms.pipelines import ct_preprocessing
from hybridseg.transforms.store.identity import recipe_digest
steps = ct_preprocessing(["image", "label"], spacing=[1, 1, 2], window=[-100, 100], crop_margin=3).transforms
print(recipe_digest(steps))
"""


def digest_in_process(seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE],
        env={"PYTHONHASHSEED": seed, "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.slow
def test_digest_is_the_same_in_every_process():
    assert digest_in_process("1") == digest_in_process("2")


def scaled(highest: float) -> ScaleIntensityRanged:
    return ScaleIntensityRanged("image", a_min=0, a_max=highest, b_min=0, b_max=1)


def plus(image: float, amount: float) -> float:
    return image + amount


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (scaled(100), scaled(101)),
        (Lambdad("image", lambda image: image + 1), Lambdad("image", lambda image: image + 2)),
        (Lambdad("image", partial(plus, amount=1)), Lambdad("image", partial(plus, amount=2))),
        (Lambdad("image", np.add), Lambdad("image", np.subtract)),
    ],
)
def test_other_parameters_have_another_digest(one, other):
    assert recipe_digest([one]) == recipe_digest([one])
    assert recipe_digest([one]) != recipe_digest([other])
    assert recipe_digest([one, other]) != recipe_digest([other, one])


def test_used_transforms_have_the_digest_of_new_ones(tmp_path: Path):
    new, used = (mri_preprocessing(["image", "label"], spacing=[1.0] * 3, crop_margin=2) for _ in range(2))
    used(write_case(tmp_path))
    assert recipe_digest(used.transforms) == recipe_digest(new.transforms)


def test_changed_file_has_another_digest(tmp_path: Path):
    file, digests = tmp_path / "file", FileDigests(tmp_path / "digests")
    file.write_text("a")
    first = digests(file)
    assert digests(file) == first
    file.write_text("b")
    assert digests(file) != first


def test_files_are_found_in_lists_and_folders(tmp_path: Path):
    paths = [tmp_path / "series" / "1", tmp_path / "series" / "2", tmp_path / "other"]
    (tmp_path / "series").mkdir()
    for path in paths:
        path.touch()
    assert list(files_of([str(tmp_path / "series"), {"a": tmp_path / "other"}, "no file"])) == paths


def test_same_size_and_copied_time_hide_no_change(tmp_path: Path):
    file, digests = tmp_path / "file", FileDigests(tmp_path / "digests")
    found = []
    for text in "ab":
        file.write_text(text)
        os.utime(file, (1e9, 1e9))
        found.append(digests(file))
    assert found[0] != found[1]


def test_digests_need_no_folder_that_can_be_written_to(tmp_path: Path):
    (tmp_path / "file").touch()
    os.utime(tmp_path / "file", (1e9, 1e9))
    assert FileDigests(tmp_path / "file" / "digests")(tmp_path / "file")


@pytest.mark.parametrize("name", ["a.mhd", "a.nrrd"])
def test_voxels_in_a_file_of_their_own_count(tmp_path: Path, name: str):
    image, found = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16)), []
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 4 3\nencoding: raw\nendian: little\ndata file: a.raw\n\n"
    for value in (1, 2):
        if name == "a.mhd":
            sitk.WriteImage(image + value, tmp_path / name)
        else:
            (tmp_path / name).write_text(header)
            (tmp_path / "a.raw").write_bytes(sitk.GetArrayFromImage(image + value).tobytes())
        assert list(files_of(str(tmp_path / name))) == [tmp_path / name, tmp_path / "a.raw"]
        found.append(case_digest({"image": str(tmp_path / name)}, ["image"], FileDigests(tmp_path / "digests")))
    assert found[0] != found[1]


def test_voxels_in_many_files_count(tmp_path: Path):
    (tmp_path / "a.mhd").write_text("ObjectType = Image\nNDims = 3\nElementDataFile = LIST\nb\nc\n")
    for name in "bc":
        (tmp_path / name).touch()
    assert list(files_of(str(tmp_path / "a.mhd"))) == [tmp_path / name for name in ("a.mhd", "b", "c")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda path: MaskFile(path, {"GTV": 1}), lambda path: MaskFile(path, {"GTV": 2})),
        (lambda path: MaskFile(path, {"G*": 1, "H*": 2}), lambda path: MaskFile(path, {"H*": 2, "G*": 1})),
        (lambda path: MaskFile(path, {"GTV": 1}, path), lambda path: MaskFile(path, {"GTV": 1}, path.parent)),
        (lambda path: DicomFolder(path, "1"), lambda path: DicomFolder(path, "2")),
        (lambda path: [DicomFolder(path, "1")], lambda path: [DicomFolder(path, "2")]),
        (lambda path: DicomFolder(path, fill_gaps=True), lambda path: DicomFolder(path)),
    ],
)
def test_what_is_read_from_a_file_counts(tmp_path: Path, one: Callable[[Path], Any], other: Callable[[Path], Any]):
    (tmp_path / "file").write_text("content")
    (tmp_path / "second").write_text("content")
    digests = FileDigests(tmp_path / "digests")

    def found(value: Any) -> str:
        return case_digest({"label": value}, ["label"], digests)

    assert found(one(tmp_path / "file")) == found(one(tmp_path / "second"))
    assert found(one(tmp_path / "file")) != found(other(tmp_path / "file"))


def test_modality_is_no_folder_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("CT", "series"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "slice").touch()
    assert list(files_of(DicomFolder(tmp_path / "series", modality="CT"))) == [tmp_path / "series" / "slice"]
