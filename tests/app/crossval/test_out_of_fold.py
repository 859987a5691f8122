"""Out-of-fold label maps are tuned, finished and scored; a case that cannot be read does not stop the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hybridseg.app.crossval.out_of_fold import OutOfFold, score_maps, write_case_list
from hybridseg.app.crossval.tuning import Decision, Tuning
from hybridseg.app.inference.outputs import write_probabilities
from hybridseg.app.runtime.failed_cases import CaseFailures
from hybridseg.transforms.datasets.dataset import LabelledCase
from hybridseg.transforms.datasets.inputs import find_cases
from hybridseg.transforms.io.dicom.series import DicomFolder
from hybridseg.transforms.io.masks import MaskFile
from hybridseg.transforms.regions import Regions

from ...transforms.io.masks.mask_files import corners, write_rtstruct
from ..conftest import SPACING, voxels_of, write_volume
from .scored_cases import CASES, SPLIT

REGIONS: Regions = {"whole": [1, 2], "core": [2]}


def box(size: int, label: int = 1) -> NDArray[np.uint8]:
    """Labels (12, 10, 8) with a box of this length."""
    labels = np.zeros((12, 10, 8), dtype=np.uint8)
    labels[:size, 2:8, 2:6] = label
    return labels


def out_of_fold(folder: Path, prediction: NDArray[np.uint8], regions: Regions | None = None) -> OutOfFold:
    """Ten cases with the same prediction and the same reference."""
    cases: dict[str, LabelledCase] = {}
    for case, fold in SPLIT.fold_of.items():
        label = write_volume(folder / "labels" / f"{case}.nii.gz", box(6), SPACING)
        write_volume(folder / f"fold_{fold}" / f"{case}.nii.gz", prediction, SPACING)
        cases[case] = {"case": case, "image": str(label), "label": str(label)}
    return OutOfFold(
        cases=cases,
        folders=[folder / "fold_0", folder / "fold_1"],
        split=SPLIT,
        label_names={1: "shell", 2: "core"} if regions else {1: "organ"},
        regions=regions,
        failures=CaseFailures("crossval"),
    )


def test_false_components_are_removed_from_the_finished_maps(tmp_path: Path) -> None:
    prediction = box(6)
    prediction[10:12, 0:2, 0] = 1
    predictions = out_of_fold(tmp_path, prediction)
    tuning = predictions.tune()
    assert tuning.options == {"components": [{"labels": [1], "largest": True}]}
    finished = predictions.finish(tmp_path / "finished", tuning)
    assert list(finished) == CASES
    np.testing.assert_array_equal(voxels_of(finished["case_0"]), box(6))
    scores = score_maps(
        finished,
        predictions.cases,
        label_names={1: "organ"},
        regions=None,
        tolerance=1.0,
        failures=predictions.failures,
    )
    assert [score.dice for score in scores] == [1.0] * 10


def test_sound_label_maps_stay_as_they_are(tmp_path: Path) -> None:
    predictions = out_of_fold(tmp_path, box(5))
    tuning = predictions.tune()
    assert tuning.options == {}
    finished = predictions.finish(tmp_path / "finished", tuning)
    assert finished["case_7"].read_bytes() == (tmp_path / "fold_1" / "case_7.nii.gz").read_bytes()


@pytest.fixture
def regions(tmp_path: Path) -> OutOfFold:
    """Cases whose whole region ends where its probability falls below 0.4, not 0.5."""
    predictions = out_of_fold(tmp_path, box(4), REGIONS)
    chance = torch.tensor([0.9] * 4 + [0.45] * 2 + [0.1] * 6)[:, None, None] * torch.ones(12, 10, 8)
    mask = torch.from_numpy(box(12) > 0)
    whole = torch.where(mask, chance, torch.tensor(0.01))
    for case, path in predictions.maps.items():
        probabilities = torch.stack([whole, torch.full_like(whole, 0.01)])
        file = path.parent / "probabilities" / f"{case}.nii.gz"
        write_probabilities(probabilities.logit(), torch.from_numpy(SPACING), file, are_classes=False)
    return predictions


def test_threshold_of_a_region_is_tuned(regions: OutOfFold, tmp_path: Path) -> None:
    tuning = regions.tune()
    assert tuning.options == {"thresholds": {"whole": 0.3}}
    finished = regions.finish(tmp_path / "finished", tuning)
    np.testing.assert_array_equal(voxels_of(finished["case_0"]), box(6))


def test_case_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    predictions = out_of_fold(tmp_path, box(5))
    (tmp_path / "fold_0" / "case_2.nii.gz").write_bytes(b"no volume")
    predictions.tune()
    assert {case for case, _ in predictions.failures.failures} == {"case_2"}
    assert len(predictions.finish(tmp_path / "finished", Tuning(components=[removal()]))) == 9


def removal() -> Decision:
    return Decision.of("organ", {"labels": [1], "largest": True}, 0.1, 0.0, tests=1)


def test_list_of_cases_is_that_of_predict(tmp_path: Path) -> None:
    files: list[str | DicomFolder] = [str(write_volume(tmp_path / f"a_{channel}.nii.gz")) for channel in range(2)]
    listed: list[LabelledCase] = [
        {"case": "a", "image": files, "label": ""},
        {"case": "b", "image": files[0], "label": ""},
    ]
    write_case_list(tmp_path / "cases.json", listed)
    first, second = find_cases([tmp_path / "cases.json"], channels=2)
    assert (first.name, list(map(str, first.images))) == ("a", files)
    assert (second.name, list(map(str, second.images))) == ("b", files[:1])


def test_list_of_cases_names_the_series_of_each_folder(tmp_path: Path) -> None:
    (tmp_path / "ct").mkdir()
    images: list[str | DicomFolder] = [DicomFolder(tmp_path / "ct", "1.2.3"), str(tmp_path / "ct")]
    write_case_list(tmp_path / "cases.json", [{"case": "a", "image": images, "label": ""}])
    (case,) = find_cases([tmp_path / "cases.json"], channels=2)
    series = [image.series for image in case.images if isinstance(image, DicomFolder)]
    assert (series, [Path(image) for image in case.images]) == (["1.2.3", None], [tmp_path / "ct"] * 2)


def test_contours_are_references_on_the_grid_of_the_map(tmp_path: Path) -> None:
    predictions = out_of_fold(tmp_path, box(6))
    contours = [corners((0, 2), (5, 7), index, SPACING) for index in range(2, 6)]
    masks = MaskFile(write_rtstruct(tmp_path / "RS.dcm", {"GTV_1": contours}), {"GTV*": 1})
    predictions.cases = {
        case: {"case": case, "image": str(tmp_path / "gone"), "label": masks} for case in predictions.cases
    }
    np.testing.assert_array_equal(predictions.reference("case_0", box(6)), box(6))
    scores = score_maps(
        predictions.maps,
        predictions.cases,
        label_names={1: "organ"},
        regions=None,
        tolerance=1.0,
        failures=predictions.failures,
    )
    assert [score.dice for score in scores] == [1.0] * 10
