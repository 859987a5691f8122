"""How much main memory a case needs, estimated before it is loaded, so that it fails in one line and is not killed.

The figures are what the pipelines of shipped bundles were measured to hold at their peaks; what windows need within the
network is not among them. Estimates are rather too small: a case is only refused if it cannot fit.

Shapes: V voxels of the file, N voxels on the network's grid, C channels, K classes or regions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psutil
from monai.transforms import CropForegroundd

from hybridseg.transforms.datasets.inputs import InputCase
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import voxel_lengths
from hybridseg.transforms.io.checks import check_header
from hybridseg.transforms.io.dicom.series import DicomFolder
from hybridseg.transforms.io.header import VolumeHeader
from hybridseg.transforms.io.limits import free_memory
from hybridseg.transforms.io.load import open_volume
from hybridseg.transforms.spatial.resample import Resampled

if TYPE_CHECKING:
    from .predictor import Data, Predictor

GIGABYTE = 1e9
LOADED = 4
"""Bytes of a voxel once loaded, as float32."""
CHECKED, JOINED = 1, 4
"""Bytes for each voxel while one file is checked, or while the files of several channels are joined."""
SCALED = 9
"""Bytes for each voxel on the network's grid while intensities are scaled."""
WEIGHED = 6
"""Bytes for each voxel on the network's grid, beside its logits, while windows are blended."""
LOGIT = 2
"""Bytes of a logit, in float16."""


def available_memory() -> int:
    """Return the bytes that this process can still get: free on the machine, and below its limit on address space."""
    free = free_memory()
    try:
        import resource
    except ImportError:  # Windows
        return free
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return free
    return max(0, min(free, most - psutil.Process().memory_info().vms))


def check_loading(predictor: Predictor, case: InputCase, beside: int = 0) -> None:
    """Check by its headers that a case fits into memory. A DICOM series is checked when it is loaded.

    Args:
        predictor: the bundle.
        case: the case.
        beside: bytes that another case is about to need.

    Raises:
        VolumeError: it does not fit, or a header cannot be read.
    """
    if not case.images or any(isinstance(image, DicomFolder) for image in case.images):
        return
    with ExitStack() as opened:
        headers = [opened.enter_context(open_volume(image)).header for image in case.images]
    if not all(map(is_valid, case.images, headers)):
        return  # the reader says why
    shape = " x ".join(str(size) for size in headers[0].shape)
    check_available(case, f"{shape} voxels", loading_bytes(predictor, headers), beside)


def is_valid(path: Any, header: VolumeHeader) -> bool:
    """Return whether the reader accepts a header, with any number of channels."""
    try:
        check_header(path, header, header.channel_axes[0] if header.channel_axes else 1)
    except VolumeError:
        return False
    return True


def check_network(predictor: Predictor, case: InputCase, data: Data) -> None:
    """Check that a loaded case fits into memory while its logits are computed.

    Raises:
        VolumeError: it does not fit.
    """
    shape = " x ".join(map(str, data["image"].shape[1:]))
    check_available(case, f"{shape} voxels on the network's grid", logit_bytes(predictor, data["image"][0].numel()))


def check_available(case: InputCase, what: str, needed: int, beside: int = 0) -> None:
    """Check that there is enough memory for a case, beside what another one is about to need.

    Raises:
        VolumeError: there is not.
    """
    available = available_memory() - beside
    if needed > available:
        rule = f"must be at most the {available / GIGABYTE:.2f} GB that are free"
        raise VolumeError(case.images[0], f"{what} need about {needed / GIGABYTE:.2f} GB of memory", rule)


def loading_bytes(predictor: Predictor, headers: Sequence[VolumeHeader]) -> int:
    """Estimate the peak of all stages of a case by its headers; only of loading if the network's grid is not known."""
    voxels = math.prod(headers[0].spatial_shape)
    channels = len(headers) if len(headers) > 1 else math.prod(headers[0].channel_axes)
    stored = sum(math.prod(header.spatial_shape) for header in headers) if len(headers) > 1 else voxels * channels
    beside = JOINED * stored if len(headers) > 1 else CHECKED * stored + headers[0].voxel_bytes
    loading = LOADED * stored + beside
    grid = network_voxels(predictor, headers[0])
    scaling = LOADED * stored + SCALED * grid * channels
    return max(loading, scaling, LOADED * grid * channels + logit_bytes(predictor, grid))


def network_voxels(predictor: Predictor, header: VolumeHeader) -> int:
    """Return about how many voxels a volume has on the network's grid; 0 if it is cropped first, or not resampled."""
    transforms = getattr(predictor.preprocessing, "transforms", ())
    spacing = next((transform.spacing for transform in transforms if isinstance(transform, Resampled)), None)
    if spacing is None or any(isinstance(transform, CropForegroundd) for transform in transforms):
        return 0
    volume = math.prod(header.spatial_shape) * float(voxel_lengths(header.affine).prod())
    return int(volume / math.prod(spacing))


def logit_bytes(predictor: Predictor, voxels: int) -> int:
    """Estimate the main memory that logits need while they are computed: none on a GPU, which has its own."""
    if predictor.device.type != "cpu":
        return 0
    classes = len(predictor.regions or predictor.label_names) + (predictor.regions is None)
    return (LOGIT * classes + WEIGHED) * voxels
