"""Write and load small volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from monai.data import MetaTensor
from numpy.typing import NDArray

from hybridseg.transforms import LoadVolumed

Array = NDArray[Any]

SHAPE = (7, 6, 5)
VOXELS = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
AFFINE = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 7], [0, 0, 3, -20], [0, 0, 0, 1]])


def write_nifti(path: Path, voxels: Array = VOXELS, affine: Array = AFFINE, kind: Any = nib.Nifti1Image) -> Path:
    """Write a NIfTI file."""
    nib.save(kind(voxels, affine), path)
    return path


def write_itk(path: Path, voxels: Array, affine: Array, *, compressed: bool = False) -> Path:
    """Write voxels (X, Y, Z) or (X, Y, Z, C) with an affine to RAS mm without shear."""
    image = sitk.GetImageFromArray(np.moveaxis(voxels, (0, 1, 2), (2, 1, 0)), isVector=voxels.ndim == 4)
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, path, useCompression=compressed)
    return path


def change_header(path: Path, **fields: Any) -> Path:
    """Overwrite fields of an uncompressed NIfTI-1 header."""
    content = path.read_bytes()
    header = np.frombuffer(content[:348], dtype=nib.Nifti1Header.template_dtype).copy()
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.tobytes() + content[348:])
    return path


def load(path: Path | str, **options: Any) -> MetaTensor:
    """Load an image."""
    image = LoadVolumed("image", **options)({"image": path})["image"]
    assert isinstance(image, MetaTensor)
    return image


def load_labels(path: Path) -> MetaTensor:
    """Load a label map."""
    labels = LoadVolumed("label")({"label": path})["label"]
    assert isinstance(labels, MetaTensor)
    return labels
