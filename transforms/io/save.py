"""Write label maps as NIfTI, with exactly the geometry of the image they were made from."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import SaveImaged
from monai.utils import ImageMetaKey
from numpy.typing import ArrayLike, NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.grid import GREATEST_LABEL, affine_problem, grid_difference, label_dtype
from hybridseg.transforms.structures import Structure

from .atomic import replacing
from .gzip_files import open_gzip
from .label_formats import names_extension
from .names import NIFTI_EXTENSIONS, case_name, volume_extension
from .nifti import NiftiImage, open_nifti

GEOMETRY_FIELDS = (
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
    "xyzt_units",
)
"""Fields of a NIfTI header for the position of its voxels; the first four of `pixdim` belong to them."""

NIFTI1_LARGEST_AXIS = 32767
SCANNER = "scanner"


def write_labels(
    labels: ArrayLike,
    path: PathLike,
    reference: PathLike | None = None,
    affine: ArrayLike | None = None,
    structures: Sequence[Structure] = (),
) -> None:
    """Write a label map as a NIfTI file, which is either complete or absent.

    The qform, sform, their codes, voxel sizes and units of a NIfTI reference are copied bit for bit, and nothing else.
    Without one, both forms are made from the affine, with the code for scanner coordinates.

    Args:
        labels: (X, Y, Z) or (1, X, Y, Z), integers from 0 to 65535; stored as uint16 if the array is uint16 or a label
            is above 255, otherwise as uint8.
        path: the file, ending in `.nii` or `.nii.gz`; its folder is created.
        reference: file of the image that the labels were made from; read only if it is NIfTI.
        affine: (4, 4), voxel indices to RAS mm. Required unless the reference is NIfTI; with one, it must agree.
        structures: the labels whose names and colours are written to the header; none by default.

    Raises:
        VolumeError: the labels are not on the grid of the reference, or the file cannot be written.
        ValueError: labels of another type or shape, no affine, another extension, or the path is the reference.
    """
    voxels = _as_voxels(np.asarray(labels))
    extension = volume_extension(path)
    if extension not in NIFTI_EXTENSIONS:
        raise ValueError(f"path: {os.fspath(path)}: must end in {' or '.join(NIFTI_EXTENSIONS)}")
    if reference is not None and Path(path).exists() and Path(path).samefile(reference):
        raise ValueError(f"path: {os.fspath(path)}: must be another file than the image")
    matrix = None if affine is None else np.asarray(affine, dtype=np.float64)
    if reference is not None and volume_extension(reference) in NIFTI_EXTENSIONS:
        image = _image_like(voxels, reference, matrix)
    elif matrix is None:
        raise ValueError(f"affine: None: is required unless the reference ({reference}) is a NIfTI file")
    else:
        image = _image_at(voxels, matrix)
    if structures:
        image.header.extensions.append(names_extension(structures))
    try:
        with replacing(path, suffix=extension) as temporary:
            compressed = extension.endswith(".gz")
            with open_gzip(temporary, "wb", compresslevel=1) if compressed else temporary.open("wb") as stream:
                image.to_stream(stream)
    except OSError as error:
        raise VolumeError(path, error.strerror or error, "the label map must be writable there") from error


class WriteLabelsd(SaveImaged):
    """Write label maps (1, X, Y, Z) on the grid of the image's file to `<output_dir>/<case>.nii.gz`.

    The case name is `data["case"]`, or else the name of the image's file without its extension. The data passes through
    unchanged, and nothing is written for an image from memory. The class is a `SaveImaged`, so that servers that write
    results themselves, such as MONAI Label, remove it from a bundle's postprocessing.

    Args:
        keys: entry that holds the labels, a MetaTensor from `RestoreLabelsd`.
        output_dir: folder of the files, created if missing.
        reference: entry that holds the image, a MetaTensor loaded by `LoadVolumed`.
        allow_missing_keys: skip a case that lacks the key.

    Raises:
        ValueError: there are several keys, whose files would have the same name.
        VolumeError: when called with labels that cannot be written; see `write_labels`.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        output_dir: PathLike = ".",
        reference: str = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, output_dir=os.fspath(output_dir), allow_missing_keys=allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys: {self.keys}: must be one, since each case has one file")
        self.output_dir = Path(output_dir)
        self.reference = reference

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        for key in self.key_iterator(dict(data)):
            if not (source := data[self.reference].meta[ImageMetaKey.FILENAME_OR_OBJ]):
                continue
            labels: MetaTensor = data[key]
            write_labels(
                labels.as_tensor().cpu().numpy(),
                self.output_dir / f"{data.get('case', case_name(source))}.nii.gz",
                reference=source,
                affine=labels.affine.cpu().numpy(),
            )
        return dict(data)


def _as_voxels(labels: NDArray[Any]) -> NDArray[np.uint8 | np.uint16]:
    if labels.ndim == 4 and len(labels) == 1:
        labels = labels[0]
    if labels.ndim != 3 or not labels.size:
        raise ValueError(f"labels: shape {labels.shape}: must be (X, Y, Z) or (1, X, Y, Z), with voxels")
    if labels.dtype.kind not in "iub":
        raise ValueError(f"labels: {labels.dtype}: must be integers")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest > GREATEST_LABEL:
        raise ValueError(f"labels: from {lowest} to {highest}: must be from 0 to {GREATEST_LABEL}")
    return labels.astype(np.uint16 if labels.dtype == np.uint16 else label_dtype(highest))


def _image_like(voxels: NDArray[Any], reference: PathLike, affine: NDArray[np.float64] | None) -> NiftiImage:
    """Make a NIfTI image with the version and geometry of the reference."""
    original = open_nifti(reference)
    expected = np.asarray(original.affine, dtype=np.float64)
    if difference := grid_difference(
        voxels.shape, expected if affine is None else affine, original.shape[:3], expected
    ):
        raise VolumeError(reference, f"labels with {difference}", "labels must be on its grid")
    header = type(original.header)()
    header.set_data_dtype(voxels.dtype)
    for field in GEOMETRY_FIELDS:
        header[field] = original.header[field]
    header["pixdim"][:4] = original.header["pixdim"][:4]  # handedness of the qform, and voxel sizes
    return type(original)(voxels, None, header)  # with an affine, nibabel would write its own forms


def _image_at(voxels: NDArray[Any], affine: NDArray[np.float64]) -> NiftiImage:
    """Make a NIfTI image from an affine, in scanner coordinates."""
    if affine.shape != (4, 4) or affine_problem(affine):
        raise ValueError(f"affine: {affine.tolist()}: must be (4, 4), finite, and its three axes independent")
    kind = nib.Nifti2Image if max(voxels.shape) > NIFTI1_LARGEST_AXIS else nib.Nifti1Image
    image = kind(voxels, affine)
    image.set_sform(affine, code=SCANNER)
    image.set_qform(affine, code=SCANNER)
    if not np.allclose(image.get_qform(), affine, rtol=0, atol=1e-3 * np.abs(affine[:3, :3]).max()):
        image.header["qform_code"] = 0  # a sheared affine, which no qform can express
    image.header.set_xyzt_units("mm")
    return image
