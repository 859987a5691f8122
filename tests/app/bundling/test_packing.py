"""Only the bundle and code that exists are packed, and nothing that gives away where the data were."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from hybridseg.app.bundling.packing import bundle_files, hide_dataset_path, pack_bundle
from hybridseg.app.bundling.writer import write_bundle


def test_files_beside_the_bundle_are_not_packed(tmp_path: Path) -> None:
    for name in ("configs/metadata.json", "configs/.hidden", "runs/model.pt", "scripts/__pycache__/x.pyc", "docs/a.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert bundle_files(tmp_path).keys() == {"configs/metadata.json", "docs/a.md"}


def test_path_of_the_dataset_is_not_packed(tmp_path: Path) -> None:
    settings = {
        "preset": "tiny",
        "modality": "MRI",
        "channels": 1,
        "channel_names": ["MRI"],
        "label_names": {1: "one"},
        "patch_size": [16, 16, 16],
        "data_source": "data",
        "dataset_dir": "/home/someone/hidden_place/däta",
    }
    write_bundle(tmp_path / "mine", settings, {"folds": [["a"], ["b"]], "test": []}, {"plan.json": "{}"})
    (tmp_path / "mine" / "plan").mkdir()
    (tmp_path / "mine" / "plan" / "integrity.csv").write_text("a,")
    pack_bundle(tmp_path / "mine", tmp_path / "mine.zip")
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        assert not [path for path in archive.namelist() if "plan" in path]
        assert not [path for path in archive.namelist() if b"hidden_place" in archive.read(path)]
        assert json.loads(archive.read("mine/configs/train.json"))["dataset_dir"] == "./däta"


def test_escaped_path_of_the_dataset_is_hidden_too() -> None:
    config = json.dumps({"dataset_dir": "/home/someone/däta"}).encode()
    assert json.loads(hide_dataset_path(config)) == {"dataset_dir": "./däta"}


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("hybridseg.losses.Dice", "must be in a package that is packed: hybridseg.bundles, hybridseg.networks, "),
        ("hybridseg.app.commands.predict", "must be in a package that is packed: "),
        ("hybridseg.transforms.Flip", "must be a name of HybridSeg "),
    ],
)
def test_config_may_name_only_packed_code(name: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / "mine" / "configs").mkdir(parents=True)
    (tmp_path / "mine" / "configs" / "metadata.json").write_text("{}")
    (tmp_path / "mine" / "configs" / "train.json").write_text(json.dumps({"loss": [{"_target_": name}]}))
    with pytest.raises(ValueError, match=rf"train\.json: {name}: {rule}"):
        pack_bundle(tmp_path / "mine", tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()
