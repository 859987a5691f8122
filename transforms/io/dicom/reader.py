"""Read the voxels of a series: classic slices by GDCM, the frames of enhanced multi-frame files by highdicom.

Values are those stored, rescaled by slope and intercept: HU for CT; those of PET become SUV. How a viewer would show
them (photometric interpretation, windows, real-world values, private scaling as of Philips MRI) is ignored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import SimpleITK as sitk
from monai.data import ImageReader
from numpy.typing import NDArray

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.extras import install_command
from hybridseg.transforms.io.header import unreadable_is_volume_error
from hybridseg.transforms.io.itk import quiet_itk
from hybridseg.transforms.io.limits import check_memory
from hybridseg.transforms.io.metadata import volume_metadata

from .elements import quiet_pydicom
from .file_header import INVERTED, without_inversion
from .pixel_checks import RLE, check_runs
from .series import DicomSeries
from .slices import Slice
from .suv import suv_scales


class DicomReader(ImageReader):
    """Reads the volume of a series, with the rescaling of each slice applied: HU for CT, SUV for PET.

    Args:
        series: the series to read.
        max_bytes: most bytes of a file; None allows the free memory.
    """

    def __init__(self, series: DicomSeries, max_bytes: int | None = None) -> None:
        self.series = series
        self.max_bytes = max_bytes

    def verify_suffix(self, filename: Any) -> bool:
        """Return True: the series may be in any folder or zip."""
        return True

    def read(self, data: Any, **kwargs: Any) -> NDArray[np.float32]:
        """Read all planes (planes, rows, columns); `data`, the path that MONAI passes, is ignored.

        Raises:
            VolumeError: a slice cannot be decoded, or to another size than its header says; or it is a frame, and
                highdicom is not installed.
        """
        slices = self.series.slices
        columns, rows = slices[0].shape
        voxels = np.empty((len(slices), rows, columns), np.float32)
        for plane, decoded in zip(voxels, self.planes(slices), strict=True):
            plane[:] = decoded
        if (scales := suv_scales(slices)) is not None:
            voxels *= np.asarray(scales, np.float32)[:, None, None]
        return self.series.stack.to_volume(voxels)

    def planes(self, slices: Sequence[Slice]) -> Iterator[NDArray[np.float32]]:
        """Yield the planes (rows, columns) of slices; the frames of a file are read together."""
        for stored, parts in groupby(slices, key=lambda part: part.stored):
            check_memory(stored.path, stored.size, self.max_bytes)
            group = list(parts)
            decoded = read_frames(group) if group[0].frame is not None else [read_slice(part) for part in group]
            for part, plane in zip(group, decoded, strict=True):
                if plane.shape not in (part.shape[::-1], (1, *part.shape[::-1])):
                    raise VolumeError(part.path, f"{plane.shape} voxels when decoded", f"must be {part.shape[::-1]}")
                yield plane.reshape(part.shape[::-1])

    def get_data(self, img: NDArray[np.float32]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return voxels (columns, rows, planes) and the metadata that MONAI expects."""
        return img.T, volume_metadata(img.T, self.series.affine)


def read_slice(part: Slice) -> NDArray[np.float32]:
    """Read a slice that is a file of its own, by GDCM.

    Raises:
        VolumeError: it cannot be decoded.
    """
    path, header = part.path, part.header
    change = None
    if header.text.get("PhotometricInterpretation") == INVERTED:
        change = partial(without_inversion, path, size=part.stored.size, header=header)
    with unreadable_is_volume_error(path):
        if header.transfer_syntax == RLE:
            with part.stored.open() as stream:
                check_runs(path, stream, header)
        with part.stored.as_file(change) as file, quiet_itk():
            image = sitk.ReadImage(os.fspath(file), sitk.sitkFloat32, imageIO="GDCMImageIO")
    decoded: NDArray[np.float32] = sitk.GetArrayFromImage(image)
    return decoded


def read_frames(parts: Sequence[Slice]) -> NDArray[np.float32]:
    """Read frames (frames, rows, columns) of one file, by highdicom.

    Raises:
        VolumeError: they cannot be decoded, or highdicom is not installed.
    """
    path = parts[0].path
    try:
        from highdicom import imread
    except ImportError as error:
        rule = f"reading them needs highdicom: {install_command('dicom')}"
        raise VolumeError(path, "frames of a multi-frame file", rule) from error
    numbers = [part.frame for part in parts if part.frame is not None]
    with unreadable_is_volume_error(path), parts[0].stored.as_file() as file, quiet_pydicom():
        frames: NDArray[np.float32] = imread(file).get_frames(
            numbers, dtype=np.float32, apply_real_world_transform=False, apply_presentation_lut=False
        )
    return frames
