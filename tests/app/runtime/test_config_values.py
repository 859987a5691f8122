"""A value in a config that breaks the rule of its key is found, of whatever type; what MONAI computes passes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hybridseg.app.bundling.config import inference_config, optional_config
from hybridseg.app.runtime.config_values import LARGEST_PATCH, RULES, broken_rule
from hybridseg.bundles import bundle_names, bundle_path
from hybridseg.transforms.errors import VolumeError


@pytest.mark.parametrize("name", bundle_names())
def test_shipped_configs_keep_the_rules(name: str) -> None:
    assert inference_config(bundle_path(name))
    for path in (bundle_path(name) / "configs").glob("*.json"):
        assert optional_config(bundle_path(name), path.name)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("spacing", None, "must be three positive, finite lengths in mm"),
        ("spacing", [1.0, 1.0], "must be three positive, finite lengths in mm"),
        ("spacing", [1.0, 0.0, math.inf], "must be three positive, finite lengths in mm"),
        ("channels", "1", "must be a whole number from 1"),
        ("channels", True, "must be a whole number from 1"),
        ("patch_size", [100000, 16, 16], f"must be three whole numbers of voxels from 1 to {LARGEST_PATCH}"),
        ("patch_size", "64", f"must be three whole numbers of voxels from 1 to {LARGEST_PATCH}"),
        ("patch_size", [0, 8, 8], f"must be three whole numbers of voxels from 1 to {LARGEST_PATCH}"),
        ("batch_size", 0, "must be a whole number from 1"),
        ("learning_rate", math.nan, "must be a positive, finite number"),
        ("learning_rate", "nan", "must be a positive, finite number"),
        ("max_epochs", -1, "must be a whole number from 1"),
        ("val_interval", 0, "must be a whole number from 1"),
        ("samples_per_epoch", 0, "must be a whole number from 1, or null"),
        ("seed", 2**32, "must be a whole number from 0 to 4294967295"),
        ("label_names", {}, "must have the name of each label by its number"),
        ("label_names", {"1.5": "liver"}, "must have the name of each label by its number"),
        ("label_names", {"1": 5}, "must have the name of each label by its number"),
        ("regions", {"tumour": []}, "must have the labels of each region by its name"),
        ("window", [300, -200], "must be the lowest and the highest HU"),
        ("mirror_axes", [3], "must be a list of 0, 1 and 2"),
        ("inferer", {"roi_size": [16, 16, 16]}, "must have a _target_"),
        ("network", 3, "must have a _target_"),
        ("rois", {"GTV*": 0}, "must have a label from 1 to 65535 by the pattern of names of ROIs"),
        ("ignore_label", "255", "must be a whole number from 1 to 65535"),
        ("precision", ["fp32"], "must be one of auto, fp32, bf16, fp16"),
        ("resume", "yes", "must be true, false or auto"),
    ],
)
def test_value_that_breaks_its_rule_is_found(key: str, value: Any, rule: str) -> None:
    assert broken_rule({"version": 1, key: value}) == (key, json.dumps(value), rule)


@pytest.mark.parametrize("value", ["$2 * 3", "@channels", "%configs/other.json::value", "$None"])
def test_value_that_monai_computes_passes(value: str) -> None:
    keys = [key for key in RULES if value != "$None" or RULES[key].holds(None)]
    assert broken_rule(dict.fromkeys(keys, value)) is None


def test_options_of_a_network_have_no_rule() -> None:
    assert broken_rule({"network_def::channels": [24, 48, 96], "network_def::mixers::2::window": 4}) is None
    assert broken_rule({"preprocessing::channels": [24, 48, 96]}) is not None


def test_long_value_is_shortened() -> None:
    broken = broken_rule({"spacing": [1.0] * 1000})
    assert broken is not None
    assert len(broken[1]) < 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "a list: must be an object with the keys of a config"),
        ('{"channels": 1, "channels": 2}', "duplicate key 'channels': must be a JSON file"),
        ('{"label_names": {"1": "liver"}}', "no preprocessing: must have label_names, preprocessing, network, "),
    ],
)
def test_unusable_config_is_an_error(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text(content)
    with pytest.raises(VolumeError) as raised:
        inference_config(tmp_path)
    assert f"inference.json: {message}" in str(raised.value)
