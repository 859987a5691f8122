"""The same preprocessing has the same description in every process; any other has another."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import Lambdad, ScaleIntensityRanged

from hybridseg.transforms.store.identity import FileDigests, files_of, recipe_digest

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
