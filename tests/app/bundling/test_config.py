"""Configs are read without building a network; names that have moved are reported."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hybridseg.app.bundling.config import (
    HYBRIDSEG_NAME,
    MOVED,
    NEEDED,
    bundle_version,
    input_channels,
    input_modalities,
    label_parts,
    read_config,
    shown_window,
    strings,
)
from hybridseg.bundles import bundle_names, bundle_path

from ..conftest import hybridseg

BUNDLE = "hippocampus_mri_segmentation"
PACKAGES = {f"hybridseg.{name}" for name in ("app.evaluation", "app.training", "bundles", "networks", "transforms")}
OLD_NAMES = {
    "train.json": {
        "$import hybridseg.app.training as training": "$import hybridseg.app.handlers as handlers",
        "hybridseg.app.training.BestModel": "hybridseg.app.handlers.BestModel",
        "hybridseg.app.training.EarlyStop": "hybridseg.app.early_stop.EarlyStop",
        "$training.load_pretrained": "$from hybridseg.app.weights import load_pretrained",
    },
    "evaluate.json": {"hybridseg.app.evaluation.ScoreCases": "hybridseg.app.handlers.ScoreCases"},
}
"""Texts in the configs of today, and in those of earlier versions."""


@pytest.fixture
def earlier_bundle(tmp_path: Path) -> Path:
    """A bundle whose configs have the names of an earlier version."""
    folder = shutil.copytree(bundle_path(BUNDLE), tmp_path / "earlier")
    for file, texts in OLD_NAMES.items():
        text = (folder / "configs" / file).read_text()
        for new, old in texts.items():
            assert new in text
            text = text.replace(new, old)
        (folder / "configs" / file).write_text(text)
    return folder


@pytest.mark.parametrize("name", bundle_names())
def test_shipped_configs_name_packages_not_modules(name: str) -> None:
    for path in (bundle_path(name) / "configs").glob("*.json"):
        if path.name == "metadata.json":
            continue
        for text in strings(read_config(path)):
            for found in HYBRIDSEG_NAME.findall(text):
                assert found in PACKAGES or found.rpartition(".")[0] in PACKAGES


def test_names_that_moved_are_reported_with_the_new_ones(earlier_bundle: Path) -> None:
    config = earlier_bundle / "configs" / "train.json"
    rule = (
        "replace hybridseg.app.handlers by hybridseg.app.training, "
        "hybridseg.app.early_stop by hybridseg.app.training, "
        "hybridseg.app.weights by hybridseg.app.training, or plan the bundle again"
    )
    with pytest.raises(ValueError, match=rf"train\.json: names modules of an earlier HybridSeg: {re.escape(rule)}$"):
        read_config(config)


def test_replacing_the_names_repairs_the_config(earlier_bundle: Path) -> None:
    for file in OLD_NAMES:
        path = earlier_bundle / "configs" / file
        text = path.read_text()
        for old, new in MOVED.items():
            text = text.replace(old, new)
        path.write_text(text)
        assert read_config(path) == json.loads(text)


@pytest.mark.parametrize("command", [["train", "earlier", "."], ["pack", "earlier", "-o", "bundle.zip"]])
def test_commands_report_moved_names_in_one_line(
    command: list[str], earlier_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(earlier_bundle.parent)
    result = hybridseg(*command)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "names modules of an earlier HybridSeg: replace hybridseg.app." in result.err
    assert [path.name for path in earlier_bundle.parent.iterdir()] == ["earlier"]


def test_facts_are_read_from_the_configs() -> None:
    ct, mri = bundle_path("phantom_ct_segmentation"), bundle_path("brain_tumour_mri_segmentation")
    assert shown_window(ct) == (-200, 300)
    assert shown_window(mri) is None
    assert (input_channels(ct), input_channels(mri)) == (1, 4)
    assert label_parts(ct)[0][1] == "liver"
    assert label_parts(ct)[1] is None
    labels, regions = label_parts(mri)
    assert regions is not None
    assert (len(labels), len(regions)) == (3, 3)


def test_missing_facts_have_defaults(tmp_path: Path) -> None:
    write_inference(tmp_path, {})
    assert bundle_version(tmp_path) is None
    assert input_channels(tmp_path) == 1


def test_modality_of_each_channel_is_read(tmp_path: Path) -> None:
    assert input_modalities(bundle_path("phantom_ct_segmentation")) == ("CT",)
    assert input_modalities(bundle_path("brain_tumour_mri_segmentation")) == ("MR",) * 4
    modalities = {"CT": "CT", "FDG": "PET", "T1": "MRI"}
    write_inference(tmp_path, {"modalities": modalities, "network_def": {"_target_": "monai.Net", "in_channels": 3}})
    assert input_modalities(tmp_path) == ("CT", "PT", "MR")
    write_inference(tmp_path, {"network_def": {"_target_": "monai.Net", "in_channels": 2}})
    assert input_modalities(tmp_path) == (None, None)


def write_inference(bundle: Path, config: Mapping[str, Any]) -> None:
    """Write an `inference.json` with these keys, and those that every one needs."""
    (bundle / "configs").mkdir(exist_ok=True)
    needed = {**dict.fromkeys(NEEDED, "$computed"), "checkpoint": "model.pt", "label_names": {"1": "liver"}}
    (bundle / "configs" / "inference.json").write_text(json.dumps({**needed, **config}))
