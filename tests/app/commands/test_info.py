"""`hybridseg info` tells what is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hybridseg.bundles import bundle_names, bundle_path
from hybridseg.networks import FUSIONS, MIXERS, PRESETS, STEMS, create_model

from ..conftest import hybridseg


def test_it_lists_bundles_and_presets() -> None:
    outcome = hybridseg("info")
    assert (outcome.code, outcome.err) == (0, "")
    for name in (*bundle_names(), *PRESETS, *STEMS, *MIXERS, *FUSIONS):
        assert f"{name} " in outcome.out


def test_json_holds_what_the_bundles_say_and_what_the_networks_have() -> None:
    told = json.loads(hybridseg("info", "--json").out)
    assert [bundle["name"] for bundle in told["bundles"]] == bundle_names()
    for bundle in told["bundles"]:
        metadata = json.loads((Path(bundle["path"]) / "configs" / "metadata.json").read_text())
        assert (bundle["version"], bundle["task"]) == (metadata["version"], metadata["task"])
        assert bundle["weights"] == (Path(bundle["path"]) / "models" / "model.pt").exists()
    tiny = create_model("tiny", in_channels=1, out_channels=2)
    assert told["networks"].keys() == PRESETS.keys()
    assert told["networks"]["tiny"]["parameters"] == sum(parameter.numel() for parameter in tiny.parameters())
    assert 1e10 < told["networks"]["tiny"]["multiply_adds"] < told["networks"]["base"]["multiply_adds"]
    assert told["parts"]["mixers"].keys() == MIXERS.keys()
    assert all(summary for parts in told["parts"].values() for summary in parts.values())


@pytest.mark.parametrize("name", bundle_names())
def test_path_is_all_that_is_printed(name: str) -> None:
    assert hybridseg("info", "--path", name).out == f"{bundle_path(name)}\n"
    assert json.loads(hybridseg("info", "--path", name, "--json").out) == {"path": str(bundle_path(name))}


def test_an_unknown_bundle_is_wrong_usage() -> None:
    outcome = hybridseg("info", "--path", "liver")
    assert (outcome.code, outcome.out) == (2, "")
    assert "hybridseg info: bundle: 'liver': must be the name of a shipped bundle" in outcome.err
