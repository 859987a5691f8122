"""A training starts from the matching tensors of other weights, and logs which do not match."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import create_workflow
from torch import nn

from hybridseg.app.training import load_pretrained
from hybridseg.bundles import bundle_path
from hybridseg.networks import create_model

from ..conftest import SHAPE, write_volume


def saved(network: nn.Module, path: Path) -> Path:
    """Save the weights of a network."""
    torch.save(network.state_dict(), path)
    return path


def test_matching_tensors_are_loaded_and_the_rest_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = nn.ModuleDict({"body": nn.Linear(2, 3), "head": nn.Linear(3, 2), "old": nn.Linear(1, 1, bias=False)})
    network = nn.ModuleDict({"body": nn.Linear(2, 3), "head": nn.Linear(3, 4), "new": nn.Linear(1, 1, bias=False)})
    path = saved(source, tmp_path / "model.pt")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with caplog.at_level(logging.INFO, "hybridseg.training"):
        load_pretrained(network, path)
    after = network.state_dict()
    for name in after:
        expected = source.state_dict()[name] if name.startswith("body") else before[name]
        torch.testing.assert_close(after[name], expected, rtol=0, atol=0)
    assert caplog.messages == [
        f"pretrained: 2 of the network's 5 tensors loaded from {path}",
        "  2 of another shape: head.weight (2, 3) for (4, 3), head.bias (2,) for (4,)",
        "  1 in the file only: old.weight",
        "  1 in the network only: new.weight",
    ]


def test_no_file_changes_nothing() -> None:
    network = nn.Linear(1, 1)
    before = network.weight.item()
    load_pretrained(network, None)
    assert network.weight.item() == before


def test_file_without_a_matching_tensor_is_an_error(tmp_path: Path) -> None:
    path = saved(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt: none of its 2 tensors has the name and shape of one of the net"):
        load_pretrained(nn.Linear(3, 3), path)


@pytest.mark.filterwarnings("ignore:parsing config_file")  # MONAI warns that configs are code
@pytest.mark.filterwarnings("ignore:'(min|cumulative)_delta' is deprecated")  # MONAI passes it to ignite
def test_three_classes_start_from_weights_for_two(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = create_model("tiny", in_channels=1, out_channels=2)
    pretrained = saved(source, tmp_path / "two.pt")
    labels = np.random.default_rng(1).integers(0, 3, SHAPE).astype(np.uint8)
    for name in ("a", "b"):
        write_volume(tmp_path / "data" / "imagesTr" / f"{name}.nii.gz")
        write_volume(tmp_path / "data" / "labelsTr" / f"{name}.nii.gz", labels)
    bundle = bundle_path("hippocampus_mri_segmentation")
    overrides: dict[str, Any] = {
        "bundle_root": str(bundle),
        "dataset_dir": str(tmp_path / "data"),
        "run_dir": str(tmp_path / "run"),
        "split_file": None,
        "device": "cpu",
        "network_def::preset": "tiny",
        "patch_size": [16, 16, 16],
        "max_epochs": 1,
        "num_workers": 0,
    }
    config_file = str(bundle / "configs" / "train.json")
    workflow = create_workflow(config_file=config_file, logging_file=False, pretrained=str(pretrained), **overrides)
    workflow.parser.get_parsed_content("run::1")  # loads them, after the run folder is locked and before the training
    network = workflow.network_def
    matching = [name for name in source.state_dict() if not name.startswith("heads.")]
    for name in matching:
        torch.testing.assert_close(network.state_dict()[name], source.state_dict()[name], rtol=0, atol=0)
    assert workflow.trainer.network is network
    workflow.run()
    trained = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
    assert trained["heads.0.weight"].shape[0] == 3
    assert any(not torch.equal(trained[name], source.state_dict()[name]) for name in matching)
    resumed = create_workflow(
        config_file=config_file, logging_file=False, pretrained="no such file", resume=True, **overrides
    )
    resumed.finalize()  # a resumed run does not read the file
