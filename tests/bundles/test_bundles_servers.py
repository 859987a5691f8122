"""Bundles work in servers: MONAI Label uses single items of a config, writes results itself, and sets the epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import SaveImaged

from hybridseg.app.inference.predictor import Predictor
from hybridseg.app.training.schedule import warmup_cosine
from hybridseg.bundles import bundle_names, bundle_path
from hybridseg.transforms.phantoms import write_phantoms


@pytest.fixture
def parse(tmp_path, monkeypatch):
    """Reads a config as MONAI Label does, from another working directory."""
    monkeypatch.chdir(tmp_path)

    def read(bundle: str, file: str) -> ConfigParser:
        parser = ConfigParser()
        parser.read_config(str(bundle_path(bundle) / "configs" / file))
        parser["bundle_root"], parser["device"] = str(bundle_path(bundle)), "cpu"
        return parser

    return read


def test_single_items_give_the_labels_of_predict(parse, tmp_path):
    name = "phantom_ct_segmentation"
    images = write_phantoms(tmp_path / "data", 1, seed=3, test_count=1) / "imagesTs"
    image = next(images.iterdir())
    parser = parse(name, "inference.json")
    network = parser.get_parsed_content("network_def", instantiate=True)
    network.load_state_dict(torch.load(bundle_path(name) / "models" / "model.pt", weights_only=True))
    data: dict[str, Any] = {"image": str(image), "image_path": str(image), "device": "cpu", "model": name}
    for transform in parser.get_parsed_content("preprocessing").transforms:
        data = transform(data)
    with torch.no_grad():
        data["pred"] = parser.get_parsed_content("inferer")(data["image"][None], network.eval())[0]
    kept = [step for step in parser.get_parsed_content("postprocessing").transforms if not isinstance(step, SaveImaged)]
    for transform in kept:
        data = transform(data)
    assert data["pred"].shape[1:] == nib.Nifti1Image.from_filename(image).shape
    np.testing.assert_array_equal(data["pred"].numpy(), Predictor(name, "cpu").predict(str(image)))
    assert [path.name for path in Path().iterdir()] == ["data"]


@pytest.mark.parametrize("name", bundle_names())
def test_epochs_of_the_trainer_reach_schedule_and_validation(parse, name):
    parser = parse(name, "train.json")
    parser["train::trainer::max_epochs"] = 2
    schedule = parser.get_parsed_content("lr_scheduler::lr_lambda")
    assert [schedule(epoch) for epoch in range(3)] == [warmup_cosine(2)(epoch) for epoch in range(3)]
    targets = [handler["_target_"] for handler in parser["train::handlers"]]
    validation = targets.index("monai.handlers.ValidationHandler")
    assert parser.get_parsed_content(f"train::handlers::{validation}::interval") == 2
