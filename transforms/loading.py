"""Load images and label maps as MONAI does, and refuse at the door what cannot be segmented."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor
from monai.transforms import LoadImage, MapTransform
from monai.utils import ImageMetaKey, MetaKeys, ensure_tuple

from .cases import NIFTI_EXTENSIONS, volume_extension
from .checks import GREATEST_LABEL, check_grid, check_header, check_image, check_labels
from .headers import VolumeHeader, read_header, unreadable_is_volume_error
from .readers import SimpleITKReader, WholeFileNibabelReader

KEPT_METADATA = (
    MetaKeys.AFFINE,
    MetaKeys.ORIGINAL_AFFINE,
    MetaKeys.SPATIAL_SHAPE,
    MetaKeys.SPACE,
    MetaKeys.ORIGINAL_CHANNEL_DIM,
    ImageMetaKey.FILENAME_OR_OBJ,
)
"""The same entries for every format, so that cases of different formats can be collated into one batch."""


class LoadVolumed(MapTransform):
    """Load NIfTI, NRRD and MetaImage files as float32 MetaTensors (C, D, H, W), or say why they cannot be used.

    The axes D, H, W are the file's own first, second and third axes, in whatever direction they run; the affine
    (4, 4) in `meta["affine"]` takes their indices to RAS millimetres. `meta` also has `original_affine`,
    `spatial_shape` (3,), `space` and `filename_or_obj`. A fourth axis is the channels. Headers of all keys are
    checked before the voxels of any are read.

    Args:
        keys: entries that hold the paths of images and label maps.
        label_keys: those of the keys that hold label maps: one channel of integers from 0, on the grid of the first
            image; unlike an image, a label map may be all zero.
        channels: channels of each image.
        classes: labels a label map may have, the background among them: 0 to `classes` - 1.
        allow_missing_keys: whether a case may lack some of the keys.

    Raises:
        VolumeError: when called with a file that cannot be read whole or cannot be segmented; it names the file, the
            value and the rule.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_keys: KeysCollection = ("label",),
        channels: int = 1,
        classes: int = GREATEST_LABEL + 1,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if channels < 1:
            raise ValueError(f"channels: {channels}: must be at least 1")
        self.label_keys = frozenset(ensure_tuple(label_keys))
        self.channels = channels
        self.classes = classes
        self.load = LoadImage(dtype=np.float32, ensure_channel_first=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        loaded = dict(data)
        paths = {key: data[key] for key in self.key_iterator(loaded)}
        self._check_headers(paths)
        for key, path in paths.items():
            loaded[key] = self._load(path, is_label=key in self.label_keys)
        return loaded

    def _check_headers(self, paths: Mapping[Hashable, Any]) -> None:
        headers: dict[Hashable, VolumeHeader] = {}
        for key, path in paths.items():
            headers[key] = read_header(path)
            check_header(path, headers[key], channels=1 if key in self.label_keys else self.channels)
        images = [key for key in paths if key not in self.label_keys]
        for key in paths:
            if images and key != images[0]:
                check_grid(paths[key], headers[key], paths[images[0]], headers[images[0]])

    def _load(self, path: Any, *, is_label: bool) -> MetaTensor:
        reader: ImageReader = SimpleITKReader()
        if volume_extension(path) in NIFTI_EXTENSIONS:
            reader = WholeFileNibabelReader()
        # What is too large for float32 becomes infinite, and is found below.
        with unreadable_is_volume_error(path), np.errstate(over="ignore"):
            volume = self.load(path, reader=reader)
        assert isinstance(volume, MetaTensor)  # MONAI gives other types when its tracking of metadata is turned off
        meta = {key: volume.meta[key] for key in KEPT_METADATA}
        meta[MetaKeys.SPATIAL_SHAPE] = np.asarray(meta[MetaKeys.SPATIAL_SHAPE], dtype=np.int64)
        volume.meta = meta
        if is_label:
            check_labels(path, volume.as_tensor(), self.classes)
            volume.round_()
        else:
            check_image(path, volume.as_tensor())
        return volume
