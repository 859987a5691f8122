"""Every shipped bundle equals the one written for its settings, in files formatted as a person would write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hybridseg.app.bundling.writer import NETWORK_KEYS, configure, format_config, metadata
from hybridseg.bundles import bundle_names, bundle_path

WITH_SETTINGS = ("train.json", "inference.json", "evaluate.json", "multi_gpu_train.json")
TEXTS = ("run_dir", "subset")
LISTS = ("spacing", "window", "patch_size", "flip_axes", "mirror_axes", "rotation", "padding")
MAPPINGS = ("label_names", "label_codes", "regions", "modalities", "windows")


def settings_of(bundle: Path) -> dict[str, Any]:
    """Return the settings in which bundles differ: top-level values, and fields of the network."""
    read = {file: json.loads((bundle / "configs" / file).read_text()) for file in WITH_SETTINGS}
    network = read["train.json"]["network_def"]
    settings: dict[str, Any] = {key: network[key] for key in NETWORK_KEYS if key in network}
    for config in read.values():
        settings |= {key: value for key, value in config.items() if not isinstance(value, dict | str | list)}
        settings |= {key: config[key] for key in (*TEXTS, *LISTS, *MAPPINGS) if key in config}
    settings |= {key: read["train.json"][key] for key in ("dataset_dir", "split_file")}
    several = " and ".join(settings.get("modalities", ()))
    return settings | {"modality": several or ("CT" if "window" in settings else "MRI")}


@pytest.mark.parametrize("file", WITH_SETTINGS)
@pytest.mark.parametrize("name", bundle_names())
def test_shipped_bundle_is_what_its_settings_give(name: str, file: str) -> None:
    bundle = bundle_path(name)
    shipped = (bundle / "configs" / file).read_text()
    settings = settings_of(bundle)
    assert format_config(configure(file, settings)) + "\n" == shipped


def test_channels_of_several_modalities_have_their_own_pipeline() -> None:
    settings = {
        "modality": "CT and PET",
        "modalities": {"CT": "CT", "FDG": "PET"},
        "windows": {"CT": [-100, 150]},
        "channels": 2,
        "padding": [-1.0, 0.0],
        "label_names": {1: "tumour"},
        "channel_names": ["CT", "FDG"],
        "patch_size": [32, 32, 32],
        "preset": "tiny",
        "data_source": "sarcoma",
    }
    train = configure("train.json", settings)
    for config in (train, configure("inference.json", settings)):
        assert config["preprocessing"]["_target_"] == "hybridseg.transforms.channel_preprocessing"
        assert (config["modalities"], config["windows"]) == (settings["modalities"], settings["windows"])
        assert "channels" not in config["preprocessing"]
    assert train["train"]["augmentation"]["modalities"] == "$list(@modalities.values())"
    assert "channels=list(@modalities)" in train["split"]
    assert "channels=list(@modalities)" in configure("evaluate.json", settings)["dataset::data"]
    image = metadata("petct", settings)["network_data_format"]["inputs"]["image"]
    assert (image["modality"], image["channel_def"]) == ("CT, PT", {"0": "CT", "1": "FDG"})


@pytest.mark.parametrize("name", bundle_names())
def test_formatting_keeps_the_content(name: str) -> None:
    for path in (bundle_path(name) / "configs").glob("*.json"):
        content = json.loads(path.read_text())
        text = format_config(content)
        assert json.loads(text) == content
        assert json.loads(format_config([content])) == [content]


def test_short_values_stand_on_one_line() -> None:
    value = {
        "a": [1, 2],
        "b": {"c": None, "d": True},
        "e": [{"f": 1}],
        "g": [],
        "h": {"_target_": "x.Y"},
        "i": [[1], [2]],
    }
    assert format_config(value).splitlines() == [
        "{",
        '    "a": [1, 2],',
        '    "b": {"c": null, "d": true},',
        '    "e": [',
        '        {"f": 1}',
        "    ],",
        '    "g": [],',
        '    "h": {',
        '        "_target_": "x.Y"',
        "    },",
        '    "i": [[1], [2]]',
        "}",
    ]
