"""A bundle of overlapping regions predicts with every option, and is scored region by region."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from hybridseg.app.evaluation.handler import ScoreCases
from hybridseg.app.inference.predictor import Predictor
from hybridseg.bundles import bundle_path
from hybridseg.networks import create_model
from hybridseg.transforms import LoadVolumed
from hybridseg.transforms.regions import LabelsToRegionsd

from ..conftest import SHAPE, hybridseg, read_volume, voxels_of, write_volume

NAME = "brain_tumour_mri_segmentation"
REGIONS = {"whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing tumour": [3]}


@pytest.fixture(scope="module")
def region_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a copy of the bundle with a tiny network, small windows and two files of random weights."""
    folder = tmp_path_factory.mktemp("bundles") / NAME
    shutil.copytree(bundle_path(NAME), folder)
    file = folder / "configs" / "inference.json"
    config = json.loads(file.read_text())
    config["network_def"]["preset"] = "tiny"
    config["patch_size"] = [16, 16, 16]
    file.write_text(json.dumps(config))
    (folder / "models").mkdir()
    torch.manual_seed(0)
    weights = create_model("tiny", in_channels=4, out_channels=3).state_dict()
    torch.save(weights, folder / "models" / "model.pt")
    others = {name: tensor + 0.01 * torch.randn_like(tensor) for name, tensor in weights.items()}
    torch.save(others, folder / "models" / "other.pt")
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Make a folder with the same four channels in one file, `a`, and in four files, `b`."""
    channels = np.random.default_rng(0).normal(100, 20, (*SHAPE, 4)).astype(np.float32)
    affine = np.diag([-1.2, 1.0, 0.9, 1])
    write_volume(tmp_path / "images" / "a.nii.gz", channels, affine)
    for channel in range(4):
        write_volume(tmp_path / "images" / f"b_000{channel}.nii.gz", channels[..., channel], affine)
    return tmp_path / "images"


def test_one_file_or_four_give_the_same_label_map(region_bundle: Path, images: Path, tmp_path: Path) -> None:
    result = hybridseg("predict", images, "-o", tmp_path / "out", "--bundle", region_bundle)
    assert result.code == 0, result.err
    a, b = (read_volume(tmp_path / "out" / f"{name}.nii.gz") for name in "ab")
    assert a.shape == SHAPE
    assert a.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(a.affine, read_volume(images / "a.nii.gz").affine)
    np.testing.assert_array_equal(a.dataobj, b.dataobj)
    assert set(np.unique(a.dataobj)) == {0, 1, 2, 3}


def test_later_regions_overwrite_earlier_ones(region_bundle: Path, images: Path) -> None:
    predictor = Predictor(region_bundle, "cpu")
    case = predictor.infer(predictor.prepare({"image": str(images / "a.nii.gz")}))
    case["pred"] = torch.full_like(case["pred"], -1.0)
    case["pred"][0, 2:9], case["pred"][1, 4:9], case["pred"][2, 6:12] = 1.0, 1.0, 1.0
    case["image"].meta["original_affine"] = case["image"].affine
    case["image"].meta["spatial_shape"] = np.array(case["image"].shape[1:])
    labels = predictor.restore(case)["pred"][0, :, 5, 5].tolist()
    assert labels[:13] == [0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 0]


def test_every_option_works_with_regions(region_bundle: Path, images: Path, tmp_path: Path) -> None:
    words = ("predict", images / "a.nii.gz", "--bundle", region_bundle, "--checkpoint")
    files = [region_bundle / "models" / name for name in ("model.pt", "other.pt")]
    options = ("--tta", "--statistics", "--preview", "--probabilities", "--largest-component")
    result = hybridseg(*words, *files, "-o", tmp_path / "out", *options, "--labels", "edema,3")
    assert result.code == 0, result.err
    labels = voxels_of(tmp_path / "out" / "a.nii.gz")
    assert set(np.unique(labels)) == {0, 1, 3}
    rows = list(csv.DictReader((tmp_path / "out" / "statistics.csv").read_text().splitlines()))
    assert [(row["name"], row["channel"]) for row in rows] == [
        (name, str(channel)) for name in ("edema", "enhancing tumour") for channel in range(4)
    ]
    assert int(rows[0]["voxels"]) == (labels == 1).sum()
    assert (tmp_path / "out" / "a.png").read_bytes().startswith(b"\x89PNG")


def test_probabilities_are_those_of_each_region(region_bundle: Path, images: Path, tmp_path: Path) -> None:
    words = ("predict", images / "a.nii.gz", "-o", tmp_path / "out", "--bundle", region_bundle, "--probabilities")
    assert hybridseg(*words).code == 0
    probabilities = voxels_of(tmp_path / "out" / "probabilities" / "a.nii.gz")
    predictor = Predictor(region_bundle, "cpu")
    logits = predictor.infer(predictor.prepare({"image": str(images / "a.nii.gz")}))["pred"]
    np.testing.assert_allclose(np.moveaxis(probabilities, -1, 0), logits.float().sigmoid(), atol=1e-2)


def test_bundle_without_weights_explains_how_to_get_them(images: Path, tmp_path: Path) -> None:
    result = hybridseg("predict", images, "-o", tmp_path / "out", "--bundle", NAME)
    assert (result.code, result.out) == (2, "")
    rule = "this bundle has no weights yet: train them as described in its docs/README.md, and use --checkpoint"
    assert result.err.endswith(f"{NAME}/models/model.pt: does not exist: {rule}\n")
    assert result.err.count("\n") == 1


def test_regions_must_write_the_named_labels(region_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(region_bundle, tmp_path / "other")
    file = tmp_path / "other" / "configs" / "inference.json"
    config = json.loads(file.read_text())
    config["regions"] = {"whole tumour": [1, 7], "tumour core": [7]}
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"regions that write \[1, 7\]: must be among the label_names, \[1, 2, 3\]"):
        Predictor(tmp_path / "other", "cpu")


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, Path]:
    """Make folders of predictions and references of nested boxes, some of them shifted."""
    reference = np.zeros((16, 16, 16), np.uint8)
    reference[2:14, 2:14, 2:14] = 1
    reference[4:10, 4:10, 4:10] = 2
    reference[5:8, 5:8, 5:8] = 3
    write_volume(tmp_path / "predictions" / "case.nii.gz", np.where(reference == 3, 2, np.roll(reference, 1, axis=0)))
    write_volume(tmp_path / "references" / "case.nii.gz", reference)
    return tmp_path / "predictions", tmp_path / "references"


def dice_of_regions(maps: tuple[Path, Path]) -> Mapping[str, float]:
    """Return the Dice of each region, computed over whole volumes."""
    masks = [
        LabelsToRegionsd("x", REGIONS)({"x": torch.from_numpy(voxels_of(folder / "case.nii.gz"))[None]})["x"]
        for folder in maps
    ]
    overlap, total = (masks[0] * masks[1]).sum((1, 2, 3)), (masks[0] + masks[1]).sum((1, 2, 3))
    return dict(zip(REGIONS, (2 * overlap / total).tolist(), strict=True))


def test_evaluate_scores_the_regions_of_a_bundle(maps: tuple[Path, Path], tmp_path: Path) -> None:
    result = hybridseg("evaluate", *maps, "--bundle", NAME, "-o", tmp_path / "scores", "--json")
    assert result.code == 0, result.err
    scores = json.loads(result.out)["scores"]
    assert [(score["label"], score["name"]) for score in scores] == list(enumerate(REGIONS, start=1))
    for score in scores:
        assert score["dice"] == pytest.approx(dice_of_regions(maps)[score["name"]], abs=1e-6)
    reference = voxels_of(maps[1] / "case.nii.gz")
    assert [score["reference_voxels"] for score in scores] == [(reference >= label).sum() for label in (1, 2, 3)]


def test_handler_writes_the_same_region_scores(maps: tuple[Path, Path], tmp_path: Path) -> None:
    assert hybridseg("evaluate", *maps, "--bundle", NAME, "-o", tmp_path / "command").code == 0
    load = LoadVolumed(["pred", "label"], label_keys=["pred", "label"])
    cases = [load({"pred": maps[0] / "case.nii.gz", "label": maps[1] / "case.nii.gz"})]
    evaluator = Engine(lambda _, case: [case])
    ScoreCases({"1": "edema"}, tmp_path / "handler", regions=REGIONS).attach(evaluator)
    evaluator.run(cases)
    for name in ("scores.csv", "scores.json", "summary.json"):
        assert (tmp_path / "handler" / name).read_text() == (tmp_path / "command" / name).read_text()
