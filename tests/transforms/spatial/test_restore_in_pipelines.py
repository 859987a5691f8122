"""A case is restored to its file's grid: alone, from a batch, and by an evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from monai.transforms import Compose, CropForegroundd, EnsureTyped, Orientation, Orientationd, Spacingd
from torch import Tensor, nn

from hybridseg.transforms import LoadVolumed, RestoreLabelsd

from .grids import ellipsoid, make_affine, to_logits


class Halves(nn.Module):
    """A network that segments voxels brighter than 500."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([500 - image, image - 500], dim=1)


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    """A bright ellipsoid on an oblique grid with axes posterior, superior, left."""
    shape, affine = (30, 20, 40), make_affine((90, 12, 100), (1.2, 2, 0.9))
    centre = (affine @ [15, 10, 20, 1])[:3]
    voxels = np.int16(1000) * ellipsoid(shape, affine, centre, np.array([14.0, 12, 13]))
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "case.nii.gz")
    return tmp_path / "case.nii.gz"


def preprocessing() -> Compose:
    return Compose(
        [
            LoadVolumed("image"),
            Orientationd("image", axcodes="RAS", labels=None),
            CropForegroundd("image", source_key="image"),
            Spacingd("image", pixdim=(1, 1, 1)),
            EnsureTyped("image"),
        ]
    )


def check_restored(restored: Any, path: Path) -> None:
    reference = nib.Nifti1Image.from_filename(path)
    expected = np.asarray(reference.dataobj) > 500
    assert isinstance(restored, MetaTensor)
    assert restored.dtype == torch.uint8
    assert restored.shape == (1, *reference.shape)
    np.testing.assert_allclose(restored.affine, np.asarray(reference.affine), atol=1e-6)
    labels = restored.numpy()[0]
    assert 2 * (labels & expected).sum() / (labels.sum() + expected.sum()) > 0.95
    assert restored.meta["filename_or_obj"] == str(path)


def test_one_case_is_restored(image_file: Path) -> None:
    case: Any = preprocessing()({"image": str(image_file)})
    case["pred"] = Halves()(case["image"][None])[0]
    check_restored(RestoreLabelsd()(case)["pred"], image_file)
    case["pred"] = case["pred"].as_tensor()
    check_restored(RestoreLabelsd()(case)["pred"], image_file)


def test_decollated_batch_is_restored(image_file: Path) -> None:
    loader = DataLoader(Dataset([{"image": str(image_file)}] * 2, preprocessing()), batch_size=2)
    batch = next(iter(loader))
    batch["pred"] = Halves()(batch["image"])
    cases: Any = decollate_batch(batch)
    for case in cases:
        check_restored(RestoreLabelsd()(case)["pred"], image_file)


def test_evaluator_restores(image_file: Path) -> None:
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset([{"image": str(image_file)}] * 2, preprocessing()), batch_size=2),
        network=Halves(),
        inferer=SimpleInferer(),
        postprocessing=RestoreLabelsd(),
    )
    evaluator.run()
    outputs: Any = evaluator.state.output
    assert len(outputs) == 2
    for case in outputs:
        check_restored(case["pred"], image_file)


def test_image_without_file_and_wrong_grid_are_errors(image_file: Path) -> None:
    with pytest.raises(ValueError, match="image: Tensor: must be a MetaTensor loaded from a file"):
        RestoreLabelsd()({"image": torch.zeros(1, 4, 4, 4), "pred": torch.zeros(2, 4, 4, 4)})
    case = LoadVolumed("image")({"image": str(image_file)})
    case["pred"] = torch.zeros(2, 4, 4, 4)
    with pytest.raises(ValueError, match=r"pred: grid of \(4, 4, 4\) voxels: must be that of image, \(30, 20, 40\)"):
        RestoreLabelsd()(case)


@pytest.mark.parametrize("name", ["ct_small", "mr_small"])
def test_torso_labels_are_restored(data_dir: Path, name: str) -> None:
    """Restored voxel for voxel without resampling; labels are not contiguous and go up to 117."""
    path = data_dir / "torso" / f"{name}_labels.nii.gz"
    labels = LoadVolumed("label")({"label": str(path)})["label"]
    turned = Orientation(axcodes="PIR", labels=None)(labels)
    assert isinstance(turned, MetaTensor)
    logits = to_logits(turned.as_tensor()[0], int(labels.max()) + 1).half()
    case: dict[Any, Any] = {"image": turned, "pred": logits}
    restored = RestoreLabelsd()(case)["pred"]
    np.testing.assert_array_equal(restored.numpy(), labels.numpy())
