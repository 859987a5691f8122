"""Load volumes of any format as MONAI MetaTensors.

All headers are checked before any voxels are read: a file of a few bytes can claim terabytes of voxels.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor
from monai.transforms import EnsureChannelFirst, MapTransform
from monai.utils import ImageMetaKey, MetaKeys, ensure_tuple
from numpy.typing import NDArray

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.label_values import label_values, number_labels

from .checks import check_channel, check_grid, check_header, check_image, check_label_map, shares_grid
from .dicom.reader import DicomReader
from .dicom.series import is_series, open_series
from .header import VolumeHeader, unreadable_is_volume_error
from .in_memory import NAME, MemoryReader
from .itk import SimpleITKReader, read_itk_header
from .limits import check_memory, loading_bytes
from .masks import MaskFile, MaskReader
from .names import NIFTI_EXTENSIONS, VOLUME_EXTENSIONS, volume_extension
from .nifti import NiftiReader, read_nifti_header

KEPT_METADATA = (
    MetaKeys.AFFINE,
    MetaKeys.ORIGINAL_AFFINE,
    MetaKeys.SPATIAL_SHAPE,
    MetaKeys.SPACE,
    MetaKeys.ORIGINAL_CHANNEL_DIM,
    ImageMetaKey.FILENAME_OR_OBJ,
)
"""The same entries for every format, so that cases of different formats can be collated into one batch."""

CHANNEL_FIRST = EnsureChannelFirst()


def read_header(path: PathLike) -> VolumeHeader:
    """Read the header of a NIfTI, NRRD or MetaImage file.

    Raises:
        VolumeError: the file is missing, is not a volume by its extension, or has no readable header.
    """
    path = Path(path)
    extension = volume_extension(path)
    if not extension:
        raise VolumeError(path, f"extension {path.suffix!r}", f"must be one of {', '.join(VOLUME_EXTENSIONS)}")
    if not path.is_file():
        raise VolumeError(path, "not a file", "must be a file that exists")
    with unreadable_is_volume_error(path):
        return read_nifti_header(path) if extension in NIFTI_EXTENSIONS else read_itk_header(path)


@dataclass(frozen=True)
class Source:
    """A volume that is about to be read.

    Args:
        path: its file or folder, or a name that stands for it.
        header: its header.
        reader: MONAI reader for its format.
    """

    path: Any
    header: VolumeHeader
    reader: ImageReader


@contextmanager
def open_volume(path: Any, max_bytes: int | None = None, grid: VolumeHeader | None = None) -> Iterator[Source]:
    """Read the header of a volume in any format and choose its reader; the voxels can be read within the block.

    Args:
        path: a NIfTI, NRRD or MetaImage file; a folder of DICOM slices, a zip of one, or a `DicomFolder`; a `MaskFile`;
            a MetaTensor that was read already.
        max_bytes: most bytes of a DICOM file that its reader may read; None allows the free memory.
        grid: header of the image on whose grid named masks are put; None for the image of the `MaskFile`.

    Raises:
        VolumeError: the volume cannot be read.
    """
    if isinstance(path, MetaTensor):
        reader = MemoryReader(path)
        yield Source(NAME, reader.header, reader)
        return
    if isinstance(path, MaskFile):
        masks = MaskReader(path, grid or mask_grid(path))  # pyright: ignore[reportArgumentType] # one class by two names
        yield Source(path, masks.header, masks)  # pyright: ignore[reportArgumentType]
        return
    if is_series(path):
        with open_series(path) as series:
            header: VolumeHeader = series.header  # pyright: ignore[reportAssignmentType] # one class by two names
            yield Source(path, header, DicomReader(series, max_bytes))
        return
    header = read_header(path)
    nifti = volume_extension(path) in NIFTI_EXTENSIONS
    yield Source(path, header, NiftiReader() if nifti else SimpleITKReader())


def mask_grid(masks: MaskFile) -> VolumeHeader:
    """Return the header of the image that named masks belong to.

    Raises:
        VolumeError: it is not known, or cannot be read.
    """
    if masks.image is None:
        raise VolumeError(masks, "masks without an image", "an image must be loaded with them, for its grid")
    with open_volume(masks.image) as image:
        return image.header


class LoadVolumed(MapTransform):
    """Load volumes as float32 MetaTensors (C, D, H, W), and check that they can be segmented.

    An entry is the path of a NIfTI, NRRD or MetaImage file, of a folder of DICOM slices or of a zip of one; a list of
    these, one per channel, all on the grid of the first; or a MetaTensor that a server has read already, (D, H, W) or
    (C, D, H, W) with an affine to RAS millimetres. In a file with four axes, the fourth is the channels. A label map
    may also be a `MaskFile`, whose contours or masks are put on the grid of the first image or, without one, of the
    image that it names. The headers of all keys are checked before the voxels of any are read.

    D, H, W are the file's own first, second and third axes, in any direction (column, row, slice in DICOM). The affine
    (4, 4) in `meta["affine"]` maps their indices to RAS millimetres. All keys get the affine of the first image, so
    that they share one grid: those of the other files may differ by rounding. `meta` also has `original_affine`,
    `spatial_shape` (3,), `space` and `filename_or_obj`, which is empty for a volume from memory.

    Args:
        keys: entries that hold the paths of images and label maps.
        label_keys: the keys of label maps: one channel of integers from 0, on the grid of the first image. Unlike an
            image, a label map may be all zero.
        channels: channels of each image.
        labels: the values that a label map may have besides 0, such as the keys of a bundle's
            `label_names`; the label map gets their numbers from 1, in the order of the values. None keeps the values.
        orientation: directions for D, H and W, such as `RAS`, as close as flips and permutations allow; None keeps the
            file's axes. `original_affine` and `spatial_shape` stay those of the file.
        allow_missing_keys: skip keys that a case lacks.
        max_bytes: most bytes that the volumes of a case may need in memory by their headers, as stored and as float32
            voxels; None allows the memory that is free when the case is loaded.
        one_grid: False allows channels in files of their own to have grids of their own, and a label map to be on that
            of any channel. Unless all are on the grid of the first, the entry `image` becomes the first channel alone,
            and the others become entries `image_1`, `image_2` and so on; a label map on another grid becomes `label_0`.

    Raises:
        VolumeError: when called with a file that cannot be read or segmented; it names the file, the value and the
            rule.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_keys: KeysCollection = ("label",),
        channels: int = 1,
        labels: Iterable[int | str] | None = None,
        orientation: str | None = None,
        allow_missing_keys: bool = False,
        max_bytes: int | None = None,
        one_grid: bool = True,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if channels < 1:
            raise ValueError(f"channels: {channels}: must be at least 1")
        if max_bytes is not None and max_bytes < 1:
            raise ValueError(f"max_bytes: {max_bytes}: must be at least 1")
        self.label_keys = frozenset(ensure_tuple(label_keys))
        self.channels = channels
        self.values = None if labels is None else label_values(labels)
        self.orientation = orientation
        self.max_bytes = max_bytes
        self.one_grid = one_grid

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        loaded = dict(data)
        with ExitStack() as opened:
            sources: dict[Hashable, list[Source]] = {}
            grid: VolumeHeader | None = None
            for key in sorted(self.key_iterator(loaded), key=lambda key: key in self.label_keys):  # images first
                paths = ensure_tuple(data[key], wrap_array=True)
                sources[key] = [opened.enter_context(open_volume(path, self.max_bytes, grid)) for path in paths]
                grid = grid or sources[key][0].header
            reference = self._check_headers(sources)
            for key, files in sources.items():
                on_grid = [reference is None or shares_grid(source.header, reference.header) for source in files]
                volumes = [
                    self._load(
                        source,
                        (reference if shared and reference else source).header.affine,
                        is_label=key in self.label_keys,
                    )
                    for source, shared in zip(files, on_grid, strict=True)
                ]
                if all(on_grid):
                    loaded[key] = volumes[0] if len(volumes) == 1 else concatenate(volumes)
                    continue
                del loaded[key]
                for index, (volume, shared) in enumerate(zip(volumes, on_grid, strict=True)):
                    loaded[key if shared and not index else elsewhere(key, index)] = volume
        return loaded

    def _check_headers(self, sources: Mapping[Hashable, Sequence[Source]]) -> Source | None:
        """Check all headers, and return the first image, which defines the grid for all files."""
        images = [source for key, files in sources.items() if key not in self.label_keys for source in files]
        reference: Source | None = None
        needed = 0
        for key in sources:
            files, channels = sources[key], 1 if key in self.label_keys else self.channels
            if len(files) not in (1, channels):
                raise VolumeError(files[0].path, f"{len(files)} files", f"must be one, or one for each of {channels}")
            for source in files:
                check_header(source.path, source.header, channels if len(files) == 1 else 1)
                if not isinstance(source.reader, MemoryReader):
                    needed += loading_bytes(source.header)
                    check_memory(source.path, needed, self.max_bytes)
                if reference is None:
                    reference = source if key not in self.label_keys else None
                elif not self.one_grid and key not in self.label_keys:
                    check_channel(source.path, source.header, reference.path, reference.header)
                elif self.one_grid or not on_grid_of_any(source, images):
                    check_grid(source.path, source.header, reference.path, reference.header)
        return reference

    def _load(self, source: Source, affine: NDArray[np.float64], *, is_label: bool) -> MetaTensor:
        """Load a volume (C, D, H, W) with an affine that may differ by rounding from the file's own."""
        path = source.path
        # A value too large for float32 becomes infinite, and fails the check below.
        with unreadable_is_volume_error(path), np.errstate(over="ignore"):
            opened = source.reader.read(path)
            array, meta = source.reader.get_data(opened)
            meta[MetaKeys.AFFINE], meta[MetaKeys.ORIGINAL_AFFINE] = affine.copy(), affine.copy()
            if self.orientation is not None:
                array, meta[MetaKeys.AFFINE] = reorient(array, affine, self.orientation)
            array = array.astype(np.float32)  # keeps the memory order of the file, which is the fastest
        if is_label:
            check_label_map(path, array)
            np.round(array, out=array)
            if self.values is not None:
                number_labels(path, array, self.values)
        else:
            check_image(path, array)
        meta[ImageMetaKey.FILENAME_OR_OBJ] = "" if isinstance(source.reader, MemoryReader) else os.fspath(path)
        meta[MetaKeys.SPATIAL_SHAPE] = np.asarray(meta[MetaKeys.SPATIAL_SHAPE], dtype=np.int64)
        volume = CHANNEL_FIRST(MetaTensor(array, meta={key: meta[key] for key in KEPT_METADATA}))
        assert isinstance(volume, MetaTensor)
        return volume


def elsewhere(key: Hashable, index: int = 0) -> str:
    """Return the key of channel `index` of a volume, if it is on another grid than that of the first channel."""
    return f"{key}_{index}"


def on_grid_of_any(source: Source, images: Iterable[Source]) -> bool:
    """Return whether a volume is on the grid of any of these images."""
    return any(shares_grid(source.header, image.header) for image in images)


def reorient(
    array: NDArray[Any], affine: NDArray[np.float64], orientation: str
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Flip and permute voxels (D, H, W) or (D, H, W, C) to another orientation; return a view and its affine (4, 4)."""
    change = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt(orientation)
    )
    turned = nib.orientations.apply_orientation(array, change)
    return turned, affine @ nib.orientations.inv_ornt_aff(change, array.shape[:3])


def concatenate(volumes: Sequence[MetaTensor]) -> MetaTensor:
    """Concatenate volumes (1, D, H, W) to one (C, D, H, W), with the metadata of the first."""
    voxels = torch.cat([volume.as_tensor() for volume in volumes])
    return MetaTensor(voxels, meta=volumes[0].meta, applied_operations=[])
