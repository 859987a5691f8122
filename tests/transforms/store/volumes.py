"""A small labelled MRI on disk, and the preprocessing for it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from monai.transforms import Transform

from hybridseg.transforms.pipelines import mri_preprocessing


def write_case(folder: Path, name: str = "a", seed: int = 0) -> dict[str, str]:
    """Write an image and a label map of 70 x 20 x 12 voxels of 1 x 1 x 2 mm."""
    generator = np.random.default_rng(seed)
    image = generator.normal(100, 20, (70, 20, 12)).astype(np.float32)
    label = np.zeros(image.shape, np.uint8)
    label[10:50, 4:12, 3:8] = 1
    label[60:64, 4:8, 3:5] = 2
    folder.mkdir(parents=True, exist_ok=True)
    case = {"case": name}
    for key, voxels in (("image", image), ("label", label)):
        path = folder / f"{name}_{key}.nii.gz"
        nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 2.0, 1.0])).to_filename(path)
        case[key] = str(path)
    return case


def preprocessing(spacing: float = 1.0) -> list[Transform]:
    """Return the steps of `mri_preprocessing` for such a case."""
    return list(mri_preprocessing(["image", "label"], spacing=[spacing] * 3, labels=range(1, 3)).transforms)
