"""Bundles of labels of any values, and of voxels without annotation, number them and leave them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from hybridseg.app.bundling.config import ignore_label
from hybridseg.app.bundling.writer import configure, metadata, write_bundle
from hybridseg.app.training import AnnotatedLoss

SHAPE = (16, 14, 12)
VALUES = np.array([0, 500, 820, 900])
"""Background, two labels, and the label of voxels without annotation."""
REGIONS = {"either": [500, 820], "box": [820]}


def settings(**more: Any) -> dict[str, Any]:
    """Return the settings of a bundle with a tiny network."""
    return {
        "modality": "MRI",
        "channels": 1,
        "channel_names": ["MRI"],
        "label_names": {500: "ball", 820: "box"},
        "ignore_label": 900,
        "patch_size": [8, 8, 8],
        "patches": 1,
        "crop_margin": None,
        "preset": "tiny",
        "data_source": "made",
        **more,
    }


@pytest.fixture
def case(tmp_path: Path) -> dict[str, str]:
    """An image, and a label map with all values."""
    random = np.random.default_rng(0)
    paths = {key: str(tmp_path / f"{key}.nii.gz") for key in ("image", "label")}
    nib.save(nib.Nifti1Image(random.normal(100, 20, SHAPE).astype(np.float32), np.eye(4)), paths["image"])
    nib.save(nib.Nifti1Image(random.choice(VALUES, SHAPE).astype(np.uint16), np.eye(4)), paths["label"])
    return paths


def config(file: str, **more: Any) -> ConfigParser:
    """Return a config with what `monai.bundle` would fill in."""
    return ConfigParser({**configure(file, settings(**more)), "device": "cpu", "output_dir": None, "run_dir": "run"})


def test_labels_are_numbered_for_training_and_written_with_values(case: dict[str, str]) -> None:
    prepared = config("train.json").get_parsed_content("preprocessing")(case)
    given = nib.Nifti1Image.from_filename(case["label"]).get_fdata()
    numbers = prepared["label"].numpy()[0].astype(int)
    np.testing.assert_array_equal(VALUES[numbers], given)
    logits = torch.from_numpy(np.stack([numbers == number for number in range(3)])).float()
    parser = config("inference.json")
    image = parser.get_parsed_content("preprocessing")({"image": case["image"]})["image"]
    restored = parser.get_parsed_content("postprocessing")({"image": image, "pred": logits})["pred"]
    np.testing.assert_array_equal(restored.numpy()[0], np.where(given == 900, 0, given))


@pytest.mark.parametrize("regions", [{}, {"regions": REGIONS}])
def test_loss_and_validation_leave_out_voxels_without_annotation(case: dict[str, str], regions: dict[str, Any]) -> None:
    train = config("train.json", **regions)
    prepared = train.get_parsed_content("preprocessing")(case)
    ignored = prepared["label"].as_tensor() == 3
    channels = 2 if regions else 3
    (patch,) = train.get_parsed_content("train::augmentation").set_random_state(0)(dict(prepared))
    logits = torch.randn(1, channels, 8, 8, 8, requires_grad=True)
    loss = train.get_parsed_content("loss")
    assert isinstance(loss.loss, AnnotatedLoss)
    loss([logits], patch["label"][None]).backward()
    assert logits.grad is not None
    trained = logits.grad[0].abs().sum(0) > 0
    assert torch.equal(trained, (patch["label"] != 3)[0])
    steps = train.get_parsed_content("validate::postprocessing")
    pred = torch.ones(channels, *SHAPE)
    done = steps({"pred": pred, "label": prepared["label"]})
    foreground = slice(0 if regions else 1, None)
    assert not done["pred"][foreground, ignored[0]].any()
    assert not done["label"][foreground, ignored[0]].any()
    labels = prepared["label"].numpy()
    ball, box = (labels == 1).sum(), (labels == 2).sum()
    wanted = [ball + box, box] if regions else [ball, box]
    assert done["label"][foreground].sum(dim=(1, 2, 3)).tolist() == wanted


def test_bundle_names_values_and_the_ignore_label(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", settings(), {"training": [], "validation": []}, {})
    assert ignore_label(tmp_path / "bundle") == 900
    assert configure("evaluate.json", settings())["handlers"][-1]["ignore"] == "@ignore_label"
    assert "ignore_label" not in configure("inference.json", settings())
    assert metadata("bundle", settings())["label_classes"] == "0: background, 500: ball, 820: box"


def test_unknown_values_are_still_an_error(case: dict[str, str]) -> None:
    train = config("train.json", label_names={500: "ball"})
    with pytest.raises(RuntimeError) as error:  # as MONAI wraps it
        train.get_parsed_content("preprocessing")(case)
    assert str(error.value.__cause__).endswith("label.nii.gz: labels 820: must be among 0, 500, 900")
