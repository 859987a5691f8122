"""Every shipped bundle, and planned ones, pass MONAI's own tools from any working directory."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export, load, verify_metadata, verify_net_in_out
from monai.bundle.properties import InferProperties, TrainProperties
from monai.losses import DiceLoss
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from hybridseg.app.cli import main
from hybridseg.bundles import bundle_names, bundle_path
from hybridseg.transforms import LabelsToRegionsd, region_labels
from hybridseg.transforms.phantoms import write_heads, write_phantoms

SCHEMA = Path(__file__).parent / "metadata_schema.json"
OVERRIDES = ("bundle_root", "dataset_dir", "run_dir", "device", "max_epochs", "val_interval")
FILES = (
    "LICENSE",
    "configs/evaluate.json",
    "configs/inference.json",
    "configs/logging.conf",
    "configs/metadata.json",
    "configs/multi_gpu_train.json",
    "configs/train.json",
    "docs/README.md",
    "docs/data_license.txt",
)


PLANNED = {
    "planned for CT": (write_phantoms, ()),
    "planned for regions": (write_heads, ("--regions", "whole=1,2,3", "core=2,3", "enhancing=3")),
}


@pytest.fixture(scope="session")
def planned(tmp_path_factory) -> Callable[[str], Path]:
    """Plans a bundle, once."""

    @cache
    def plan(name: str) -> Path:
        write, options = PLANNED[name]
        folder = tmp_path_factory.mktemp("planned")
        dataset = write(folder / "dataset", 2, seed=0)
        words = ["plan", str(dataset), "-o", str(folder / "bundle"), "--patch", "32", "32", "32", *options]
        assert main([*words, "--spacing", "8", "8", "8", "--device", "cpu"]) == 0
        return folder / "bundle"

    return plan


@pytest.fixture(params=[*bundle_names(), *PLANNED])
def bundle(request, tmp_path, monkeypatch, planned) -> Path:
    monkeypatch.chdir(tmp_path)
    return planned(request.param) if request.param in PLANNED else bundle_path(request.param)


def read(bundle: Path, *names: str) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(bundle / "configs" / name) for name in names])
    return parser


def test_bundle_is_complete(bundle):
    assert [name for name in FILES if not (bundle / name).is_file()] == []


def test_metadata_follow_the_schema(bundle):
    verify_metadata(
        meta_file=str(bundle / "configs/metadata.json"),
        filepath=str(SCHEMA),  # exists and has this hash, so nothing is downloaded
        hash_val=hashlib.sha256(SCHEMA.read_bytes()).hexdigest(),
        hash_type="sha256",
    )


def test_changelog_has_the_version(bundle):
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]


def test_network_has_the_shapes_of_the_metadata(bundle):
    configs = bundle / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
        device="cpu",
    )


@pytest.mark.parametrize(
    ("config", "properties"), [("train.json", TrainProperties), ("inference.json", InferProperties)]
)
def test_workflow_properties_are_where_monai_looks(bundle, config, properties):
    parser = read(bundle, config)
    for name, entry in properties.items():
        present = entry["id"] in parser
        assert present or not entry["required"], name
        reference = entry.get("refer_id")
        if present and reference is not None and "::" in reference and reference in parser:
            assert parser[reference] == f"@{entry['id']}", name


def test_overridden_keys_are_at_the_top_level(bundle):
    config = json.loads((bundle / "configs/train.json").read_text())
    assert [name for name in OVERRIDES if name not in config] == []


@pytest.mark.parametrize("item", ["network_def", "spacing", "label_names", "regions", "patch_size"])
def test_training_and_inference_agree(bundle, item):
    training, inference = (dict(read(bundle, name).get()) for name in ("train.json", "inference.json"))
    assert training.get(item) == inference.get(item)
    assert item in training or item == "regions"


def test_training_and_inference_preprocess_alike(bundle):
    training, inference = (dict(read(bundle, name)["preprocessing"]) for name in ("train.json", "inference.json"))
    assert training.pop("keys") == ["image", "label"]
    assert inference.pop("keys") == ["image"]
    assert training == inference


def test_validation_and_inference_use_the_same_inferer(bundle):
    assert read(bundle, "train.json")["validate::inferer"] == read(bundle, "inference.json")["inferer"]


def test_metrics_and_curves_have_the_names_of_the_channels(bundle):
    config = read(bundle, "train.json")
    names = list(config["regions"]) if "regions" in config else list(config["label_names"].values())
    handlers = [handler for handler in config["train::handlers"] if "labels" in handler]
    assert [handler["_target_"].rpartition(".")[2] for handler in handlers] == ["TrainingMetrics", "Curves"]
    for index in [config["train::handlers"].index(handler) for handler in handlers]:
        assert config.get_parsed_content(f"train::handlers::{index}::labels") == names


def test_train_handlers_are_a_list_of_dictionaries(bundle):
    """MONAI Label calls `.get("_target_")` on every entry."""
    assert all("_target_" in handler for handler in read(bundle, "train.json")["train::handlers"])
    assert all(isinstance(handler, dict) for handler in read(bundle, "train.json")["train::handlers"])


def test_metadata_name_the_labels_or_regions(bundle):
    outputs = json.loads((bundle / "configs/metadata.json").read_text())["network_data_format"]["outputs"]["pred"]
    config = read(bundle, "inference.json")
    channels = config["regions"] if "regions" in config else ["background", *config["label_names"].values()]
    assert outputs["channel_def"] == {str(index): name for index, name in enumerate(channels)}
    assert outputs["num_channels"] == len(channels)


def test_regions_write_the_labels_that_have_names(bundle):
    config = read(bundle, "inference.json")
    if "regions" not in config:
        pytest.skip(f"{bundle.name} has classes")
    assert {str(label) for label in region_labels(config["regions"])} == set(config["label_names"])
    assert config["postprocessing"]["regions"] == "@regions"
    assert config["inferer"]["unseen"] < 0


def test_loss_is_dice_and_cross_entropy_of_the_channels(bundle):
    """For regions, the binary cross-entropy of each channel."""
    config = read(bundle, "train.json")
    loss = config.get_parsed_content("loss").loss
    labels = torch.randint(0, 1 + len(config["label_names"]), (2, 1, 6, 5, 4))
    if "regions" in config:
        logits = torch.randn(2, len(config["regions"]), 6, 5, 4)
        target = torch.stack(
            [LabelsToRegionsd("label", config["regions"])({"label": item})["label"] for item in labels]
        )
        expected = DiceLoss(sigmoid=True, batch=True)(logits, target) + binary_cross_entropy_with_logits(logits, target)
    else:
        logits, target = torch.randn(2, 1 + len(config["label_names"]), 6, 5, 4), labels
        dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)(logits, labels)
        expected = dice + cross_entropy(logits, labels[:, 0])
    torch.testing.assert_close(loss(logits, target), expected)


def test_no_case_is_in_two_subsets(bundle):
    path = bundle / "configs/split.json"
    if not path.is_file():
        pytest.skip(f"{bundle.name} splits its cases by a seed")
    listed = json.loads(path.read_text())
    subsets = [*listed.pop("folds", []), *listed.values()]
    names = [name for subset in subsets for name in subset]
    assert len(set(names)) == len(names) > 0
    assert set(listed) in ({"training", "validation", "test"}, {"test"})


def test_weights_load_as_tensors_and_match_the_network(bundle):
    weights = bundle / "models/model.pt"
    if not weights.is_file():
        pytest.skip(f"{bundle.name} ships no weights")
    assert weights.stat().st_size <= 25e6
    network = read(bundle, "inference.json").get_parsed_content("network_def")
    network.load_state_dict(torch.load(weights, weights_only=True))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # tracing fixes the size, on purpose
def test_weights_export_as_torchscript(bundle, tmp_path):
    weights = bundle / "models/model.pt"
    if not weights.is_file():
        pytest.skip(f"{bundle.name} ships no weights")
    size = json.loads((bundle / "configs/metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    shape = [1, size["num_channels"], *size["spatial_shape"]]
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(weights),
        meta_file=str(bundle / "configs/metadata.json"),
        config_file=str(bundle / "configs/inference.json"),
        use_trace=True,
        input_shape=shape,
    )
    parser = read(bundle, "inference.json")
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    image = torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(image), network(image), rtol=1e-4, atol=1e-4)


def test_monai_loads_the_network_with_its_weights(tmp_path, monkeypatch):
    bundle = bundle_path("hippocampus_mri_segmentation")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: Any = load(bundle.name, bundle_dir=bundle.parent, device="cpu")
    weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(weights[name], tensor) for name, tensor in network.state_dict().items())
