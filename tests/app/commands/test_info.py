"""`hybridseg info` lists what is installed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hybridseg.bundles import bundle_names, bundle_path
from hybridseg.networks import FUSIONS, MIXERS, PRESETS, STEMS, create_model

from ..conftest import hybridseg


def test_bundles_presets_and_parts_are_listed() -> None:
    result = hybridseg("info", "--networks")
    assert (result.code, result.err) == (0, "")
    for name in (*bundle_names(), *PRESETS, *STEMS, *MIXERS, *FUSIONS):
        assert f"{name} " in result.out


def test_licence_of_weights_and_synthetic_data_are_listed() -> None:
    lines = {line.split()[0]: line for line in hybridseg("info").out.splitlines() if line}
    assert "  synthetic, Apache-2.0  " in lines["phantom_ct_segmentation"]
    assert "  CC BY-NC-SA 4.0: no commercial use  " in lines["cardiac_cine_mri_segmentation"]
    assert "  no  " in lines["abdomen_ct_segmentation"]


def test_json_agrees_with_bundles_and_networks() -> None:
    listed = json.loads(hybridseg("info", "--networks", "--json").out)
    assert [bundle["name"] for bundle in listed["bundles"]] == bundle_names()
    for bundle in listed["bundles"]:
        metadata = json.loads((Path(bundle["path"]) / "configs" / "metadata.json").read_text())
        assert (bundle["version"], bundle["task"]) == (metadata["version"], metadata["task"])
        assert bundle["synthetic"] == metadata["training_data"]["synthetic"]
        assert bundle["weights"] == (Path(bundle["path"]) / "models" / "model.pt").exists()
    tiny = create_model("tiny", in_channels=1, out_channels=2)
    assert listed["networks"].keys() == PRESETS.keys()
    assert listed["networks"]["tiny"]["parameters"] == sum(parameter.numel() for parameter in tiny.parameters())
    assert 1e10 < listed["networks"]["tiny"]["multiply_adds"] < listed["networks"]["base"]["multiply_adds"]
    assert listed["parts"]["mixers"].keys() == MIXERS.keys()
    assert all(summary for parts in listed["parts"].values() for summary in parts.values())


def test_mixers_are_listed_with_source_and_costs() -> None:
    lines = hybridseg("info", "--mixers").out.splitlines()
    costs = next(line for line in lines if line.startswith("axial "))
    assert re.search(r" 0\.47 M +0\.24 G +[\d.]+ ms$", costs)
    assert "    Dong et al. 2022, https://arxiv.org/abs/2107.00652" in lines[lines.index("axial") :]


@pytest.mark.parametrize("name", bundle_names())
def test_path_prints_only_the_folder(name: str) -> None:
    assert hybridseg("info", "--path", name).out == f"{bundle_path(name)}\n"
    assert json.loads(hybridseg("info", "--path", name, "--json").out) == {"path": str(bundle_path(name))}


def test_unknown_bundle_is_wrong_usage() -> None:
    result = hybridseg("info", "--path", "liver")
    assert (result.code, result.out) == (2, "")
    assert "hybridseg info: bundle: 'liver': must be the name of a shipped bundle" in result.err
