"""A predictor does what the bundle's inference configuration says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser

from hybridseg.app.inference.predictor import Predictor

from ..conftest import SHAPE, hybridseg, read_volume, write_volume


def test_labels_equal_those_of_the_bundle_run_by_monai(bundle: Path, tmp_path: Path) -> None:
    image = write_volume(tmp_path / "images" / "case.nii.gz", affine=np.diag([-1.2, -1.0, 0.9, 1]))
    config = ConfigParser()
    config.read_config(bundle / "configs" / "inference.json")
    config.update({"bundle_root": str(bundle), "dataset_dir": str(image.parent), "output_dir": str(tmp_path / "out")})
    config["device"] = "$torch.device('cpu')"
    config.parse()
    for section in ("initialize", "run"):
        config.get_parsed_content(section)
    labels = Predictor(bundle, "cpu").predict(image)
    assert labels.shape == (1, *SHAPE)
    np.testing.assert_array_equal(labels.affine, read_volume(image).affine)
    np.testing.assert_array_equal(labels[0], read_volume(tmp_path / "out" / "case.nii.gz").dataobj)
    assert len(np.unique(labels)) > 1


def test_progress_counts_all_windows(bundle: Path, tmp_path: Path) -> None:
    image = write_volume(
        tmp_path / "case.nii.gz", np.random.default_rng(0).normal(size=(30, 20, 16)).astype(np.float32)
    )
    calls: list[tuple[int, int]] = []
    Predictor(bundle, "cpu").predict(image, lambda windows, total: calls.append((windows, total)))
    assert {total for _, total in calls} == {sum(windows for windows, _ in calls)}


def test_label_names_are_the_bundles(bundle: Path) -> None:
    assert Predictor(bundle, "cpu").label_names == {1: "anterior", 2: "posterior"}


def test_logits_of_several_checkpoints_are_averaged(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
    other = {name: tensor + 0.05 * torch.randn_like(tensor) for name, tensor in weights.items()}
    torch.save(other, tmp_path / "other.pt")
    files = [bundle / "models" / "model.pt", tmp_path / "other.pt"]
    case = {"image": str(volume("one"))}
    each = [Predictor(bundle, "cpu", file) for file in files]
    for predictor in each:
        predictor.inferer.half = predictor.inferer.amp = False
    both = Predictor(bundle, "cpu", files)
    both.inferer.half = both.inferer.amp = False
    mean = sum(predictor.infer(predictor.prepare(case))["pred"] for predictor in each) / 2
    torch.testing.assert_close(both.infer(both.prepare(case))["pred"], mean, rtol=1e-4, atol=1e-4)
    words = ("predict", case["image"], "-o", tmp_path / "out", "--bundle", bundle, "--checkpoint")
    assert hybridseg(*words, *files).code == 0


def test_mirroring_uses_the_axes_that_the_bundle_allows(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    assert Predictor(bundle, "cpu", mirror=True).inferer.mirror_axes == (0,)
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    file = other / "configs" / "inference.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "mirror_axes": []}))
    result = hybridseg("predict", volume("one"), "-o", tmp_path / "out", "--bundle", other, "--tta")
    assert result.code == 2
    assert "inference.json: no mirror_axes: mirroring needs an axis along which all labels stay correct" in result.err


def test_part_that_cannot_be_built_is_named_with_its_file(bundle: Path, tmp_path: Path) -> None:
    other = shutil.copytree(bundle, tmp_path / "other")
    file = other / "configs" / "inference.json"
    config = json.loads(file.read_text())
    config["inferer"]["overlap"] = 7
    file.write_text(json.dumps(config))
    result = hybridseg("export", other, "-o", tmp_path / "net.ts")
    assert (result.code, result.out) == (2, "")
    assert result.err == f"hybridseg export: {file}: inferer: overlap: 7: must be at least 0 and below 1\n"
