"""The list of a viewer is worst first and reads no volumes; images and labels keep their values."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hybridseg.app.viewing import Viewing, open_cases
from hybridseg.app.viewing.cases import smallest, windows
from hybridseg.transforms.errors import VolumeError

from ..conftest import hybridseg, predict, write_volume


def test_scores_beside_label_maps_sort_the_list(cohort: Path) -> None:
    assert hybridseg("evaluate", cohort / "labels", cohort / "truth", "-o", cohort / "labels").code == 0
    viewing = open_cases([cohort / "labels"])
    assert [(case["name"], case["dice"]) for case in viewing.listed()] == [("bad", 0.4), ("good", 0.775)]


def test_images_are_those_of_the_run(bundle: Path, tmp_path: Path) -> None:
    image = write_volume(tmp_path / "images" / "one.nii.gz")
    assert predict(bundle, tmp_path / "out", image).code == 0
    viewing = open_cases([tmp_path / "out"])
    assert viewing.cases[0].image is not None
    assert [label["name"] for label in viewing.describe(0)["labels"]] == ["anterior", "posterior"]
    image.unlink()
    alone = open_cases([tmp_path / "out"])
    assert alone.describe(0)["missing"]
    assert not np.asarray(nib.Nifti1Image.from_bytes(alone.image(0, 0)[0]).dataobj).any()


def test_two_hundred_cases_are_listed_without_reading_them(tmp_path: Path) -> None:
    for number in range(200):
        tmp_path.joinpath(f"case_{number:03d}.nii.gz").write_bytes(b"not a volume")
    viewing = open_cases([tmp_path])
    assert len(viewing.listed()) == 200
    with pytest.raises(VolumeError, match=r"case_007\.nii\.gz"):
        viewing.describe(7)


def test_an_image_alone_or_with_labels_and_reference(cohort: Path) -> None:
    image, labels, truth = (cohort / name / "bad.nii.gz" for name in ("images", "labels", "truth"))
    other = truth.rename(cohort / "reference_of_another_name.nii.gz")
    assert open_cases([image]).describe(0)["layers"] == ["image"]
    viewing = open_cases([image, labels], references=other)
    assert viewing.describe(0)["layers"] == ["image", "prediction", "reference"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["images/bad.nii.gz", "labels"], "must be one folder, or an image and its label map"),
        (["labels", "--references", "images"], None),
        (["images/bad.nii.gz", "--images", "images"], "must be given with a folder of label maps"),
        (["nowhere"], "does not exist"),
        (["labels", "--port", "70000"], "port: 70000: must be from 1 to 65535"),
        ([], "inputs"),
    ],
)
def test_wrong_usage_is_one_line(
    cohort: Path, words: list[str], error: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if error is None:
        (cohort / "images" / "bad.nii.gz").rename(cohort / "images" / "else.nii.gz")
        (cohort / "images" / "good.nii.gz").unlink()
        error = "none is named for a case"
    monkeypatch.chdir(cohort)
    result = hybridseg("view", *words, "--no-browser")
    assert result.code == 2
    assert error in result.err


def test_labels_are_sent_as_their_place_in_the_list(tmp_path: Path) -> None:
    labels = np.zeros((6, 5, 4), np.uint16)
    labels[1], labels[3, 2] = 700, 41
    write_volume(tmp_path / "case.nii.gz", labels)
    viewing = open_cases([tmp_path])
    table = viewing.describe(0)["labels"]
    assert [label["name"] for label in table] == ["label 41", "label 700"]
    assert table[0]["centre"] == [3, 2, pytest.approx(1.5, abs=0.6)]
    sent = np.asarray(nib.Nifti1Image.from_bytes(viewing.labels(0, "prediction")).dataobj)
    assert np.array_equal(sent, np.select([labels == 41, labels == 700], [1, 2]))


def test_windows_of_ct_are_in_hu_and_of_others_percentiles() -> None:
    ct = np.linspace(-1000, 1000, 500, dtype=np.float32)
    assert [window["name"] for window in windows(ct, None)] == ["Soft tissue", "Lung", "Bone", "Brain"]
    assert windows(ct, (-100.0, 200.0))[0] == {"name": "Bundle", "low": -100, "high": 200}
    assert windows(np.arange(1000, dtype=np.float32), None)[-1] == {"name": "Full range", "low": 0, "high": 999}
    assert windows(np.zeros(10, np.float32), None)[0]["high"] == 1


def test_voxels_are_sent_unchanged() -> None:
    for voxels in ([-1000.0, 32767.0], [0.5, 1e6], [-40000.0]):
        assert np.array_equal(smallest(np.array(voxels, np.float32)), np.array(voxels, np.float32))


def test_unknown_layers_are_errors(cohort: Path) -> None:
    viewing: Viewing = open_cases([cohort / "labels"])
    with pytest.raises(KeyError):
        viewing.labels(0, "reference")
