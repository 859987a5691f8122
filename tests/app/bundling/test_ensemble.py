"""The bundle of an ensemble segments as `--checkpoint` with several files does, by every way a bundle runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hybridseg.app.bundling.config import input_channels
from hybridseg.app.bundling.ensemble import can_be_joined, write_ensemble
from hybridseg.app.bundling.monai_command import bundle_run
from hybridseg.app.inference.predictor import Predictor
from hybridseg.networks import create_model

from ..conftest import hybridseg, predict, voxels_of


@pytest.fixture
def weights(tmp_path: Path) -> list[Path]:
    """Random weights of three networks."""
    paths = [tmp_path / f"fold_{fold}.pt" for fold in range(3)]
    for path in paths:
        torch.save(create_model("tiny", in_channels=1, out_channels=3).state_dict(), path)
    return paths


@pytest.fixture
def ensemble(bundle: Path, weights: list[Path], tmp_path: Path) -> Path:
    """The bundle of their ensemble."""
    folder = tmp_path / "bundles" / bundle.name
    write_ensemble(folder, [(bundle, path) for path in weights])
    return folder


def test_label_map_is_that_of_several_checkpoints(
    bundle: Path, ensemble: Path, weights: list[Path], volume: Callable[[str], Path], tmp_path: Path
) -> None:
    scan = volume("a")
    assert predict(bundle, tmp_path / "several", scan, "--checkpoint", *weights).code == 0
    assert predict(ensemble, tmp_path / "one", scan).code == 0
    several, one = (voxels_of(tmp_path / name / "a.nii.gz") for name in ("several", "one"))
    np.testing.assert_array_equal(one, several)
    assert len(np.unique(one)) > 1


def test_average_of_the_weights_is_one_network(bundle: Path, weights: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "average"
    write_ensemble(folder, [(bundle, weights[0]), (bundle, weights[0])], average=True)
    averaged, first = Predictor(folder, "cpu").network, Predictor(bundle, "cpu", weights[0]).network
    for name, tensor in first.state_dict().items():
        torch.testing.assert_close(averaged.state_dict()[name], tensor)


def test_postprocessing_of_the_bundle_is_followed(
    bundle: Path, weights: list[Path], volume: Callable[[str], Path], tmp_path: Path
) -> None:
    rules = [{"labels": [1], "smallest_mm3": 1e9}]
    write_ensemble(tmp_path / "none", [(bundle, weights[0])])
    write_ensemble(tmp_path / "rules", [(bundle, weights[0])], postprocessing={"components": rules})
    found = [np.unique(Predictor(tmp_path / name, "cpu").predict(str(volume("a")))) for name in ("none", "rules")]
    assert (1 in found[0], 1 in found[1]) == (True, False)
    metadata = [json.loads((tmp_path / name / "configs" / "metadata.json").read_text()) for name in ("none", "rules")]
    assert ["scipy" in content["required_packages_version"] for content in metadata] == [False, True]


def test_exports_like_any_bundle(ensemble: Path, tmp_path: Path) -> None:
    result = hybridseg("export", ensemble, "-o", tmp_path / "network.pt2")
    assert result.code == 0, result.err


def test_packs_like_any_bundle(ensemble: Path, tmp_path: Path) -> None:
    assert hybridseg("pack", ensemble, "-o", tmp_path / "packed.zip").code == 0
    names = zipfile.ZipFile(tmp_path / "packed.zip").namelist()
    assert f"{ensemble.name}/models/model.pt" in names
    assert f"{ensemble.name}/hybridseg/networks/ensemble.py" in names


def test_channels_are_those_of_the_members(ensemble: Path) -> None:
    file = ensemble / "configs" / "inference.json"
    config = json.loads(file.read_text())
    config["network_def"]["networks"][0]["in_channels"] = 4
    file.write_text(json.dumps(config))
    assert input_channels(ensemble) == 4


def test_new_bundle_replaces_an_earlier_one(bundle: Path, ensemble: Path, weights: list[Path]) -> None:
    before = (ensemble / "models" / "model.pt").stat().st_size
    write_ensemble(ensemble, [(bundle, weights[0])], metadata={"version": "9.0.0"}, readme="## Folds\n")
    assert (ensemble / "models" / "model.pt").stat().st_size < before
    assert json.loads((ensemble / "configs" / "metadata.json").read_text())["version"] == "9.0.0"
    assert (ensemble / "docs" / "README.md").read_text().endswith("\n## Folds\n")
    assert [path.name for path in ensemble.parent.iterdir()] == [ensemble.name]


def test_unreadable_weights_leave_the_earlier_bundle(bundle: Path, ensemble: Path, tmp_path: Path) -> None:
    before = sorted(path.relative_to(ensemble) for path in ensemble.rglob("*"))
    with pytest.raises(ValueError, match=r"none.pt: does not exist"):
        write_ensemble(ensemble, [(bundle, tmp_path / "none.pt")])
    assert sorted(path.relative_to(ensemble) for path in ensemble.rglob("*")) == before
    assert [path.name for path in ensemble.parent.iterdir()] == [ensemble.name]


def test_bundles_join_if_only_their_networks_differ(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    file = other / "configs" / "inference.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"network_def": {**config["network_def"], "preset": "small"}}))
    assert can_be_joined([bundle, other])
    file.write_text(json.dumps(config | {"spacing": [2.0, 2.0, 2.0]}))
    assert not can_be_joined([bundle, other])


@pytest.mark.slow
def test_monai_runs_it(ensemble: Path, volume: Callable[[str], Path], tmp_path: Path) -> None:
    scan = volume("a")
    options = {"dataset_dir": scan.parent, "output_dir": tmp_path / "monai", "device": "cpu"}
    subprocess.run(bundle_run([ensemble / "configs" / "inference.json"], options), check=True, cwd=tmp_path)
    assert predict(ensemble, tmp_path / "labels", scan).code == 0
    np.testing.assert_array_equal(voxels_of(tmp_path / "monai" / "a.nii.gz"), voxels_of(tmp_path / "labels/a.nii.gz"))
