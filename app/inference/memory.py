"""How much main memory a case needs, estimated before it is loaded, so that it fails in one line and is not killed.

The figures are what the pipelines of shipped bundles were measured to hold at their peaks. What the network holds while
it computes windows is counted without computing them. Estimates are rather too small: a case fails only if it cannot
fit.

Shapes: V voxels of the file, N voxels on the network's grid, C channels, K classes or regions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import psutil
import torch
from monai.transforms import CropForegroundd
from torch import nn

from hybridseg.networks.inspection.cost import count_activation_bytes
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import voxel_lengths
from hybridseg.transforms.inferers import WindowInferer
from hybridseg.transforms.io.checks import check_header
from hybridseg.transforms.io.dicom.series import DicomFolder
from hybridseg.transforms.io.header import VolumeHeader
from hybridseg.transforms.io.limits import limit_rule, most_memory
from hybridseg.transforms.io.load import open_volume
from hybridseg.transforms.precision import choose_precision
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
PROBABILITY = 2
"""Bytes of a probability while `--probabilities` writes it, in uint16."""
GENEROUS = 1600
"""Bytes for each voxel of a window that networks hardly ever need: activations are counted only if these do not fit."""


def available_memory() -> int:
    """Return the bytes that a case may need: `most_memory`, and what is left of a limit on address space."""
    free = most_memory()
    try:
        import resource
    except ImportError:  # Windows
        return free
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return free
    return max(0, min(free, most - psutil.Process().memory_info().vms))


def check_loading(predictor: Predictor, case: InputCase, beside: int = 0, *, probabilities: bool = False) -> None:
    """Check by its headers that a case fits into memory. A DICOM series is checked when it is loaded.

    Args:
        predictor: the bundle.
        case: the case.
        beside: bytes that another case is about to need.
        probabilities: whether they will be written too.

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
    available = available_memory() - beside
    needed = loading_bytes(predictor, headers, available, probabilities=probabilities)
    check_available(case, f"{shape} voxels", needed, available)


def is_valid(path: Any, header: VolumeHeader) -> bool:
    """Return whether the reader accepts a header, with any number of channels."""
    try:
        check_header(path, header, header.channel_axes[0] if header.channel_axes else 1)
    except VolumeError:
        return False
    return True


def check_network(predictor: Predictor, case: InputCase, data: Data, *, probabilities: bool = False) -> None:
    """Check that a loaded case fits into memory while its logits are computed, and its probabilities written.

    Raises:
        VolumeError: it does not fit.
    """
    shape = " x ".join(map(str, data["image"].shape[1:]))
    available = available_memory()
    channels, voxels = len(data["image"]), data["image"][0].numel()
    needed = network_bytes(predictor, channels, voxels, available, probabilities=probabilities)
    check_available(case, f"{shape} voxels on the network's grid", needed, available)


def check_available(case: InputCase, what: str, needed: int, available: int) -> None:
    """Check that a case needs no more memory than there is.

    Raises:
        VolumeError: it needs more.
    """
    if needed > available:
        rule = limit_rule(f"{max(0, available) / GIGABYTE:.2f} GB")
        raise VolumeError(case.images[0], f"{what} need about {needed / GIGABYTE:.2f} GB of memory", rule)


def loading_bytes(
    predictor: Predictor, headers: Sequence[VolumeHeader], available: int, *, probabilities: bool = False
) -> int:
    """Estimate the peak of all stages of a case by its headers; only of loading if the network's grid is not known."""
    voxels = math.prod(headers[0].spatial_shape)
    channels = len(headers) if len(headers) > 1 else math.prod(headers[0].channel_axes)
    stored = sum(math.prod(header.spatial_shape) for header in headers) if len(headers) > 1 else voxels * channels
    beside = JOINED * stored if len(headers) > 1 else CHECKED * stored + headers[0].voxel_bytes
    loading = LOADED * stored + beside
    grid = network_voxels(predictor, headers[0])
    scaling = LOADED * stored + SCALED * grid * channels
    beside = LOADED * grid * channels
    network = network_bytes(predictor, channels, grid, available - beside, probabilities=probabilities) if grid else 0
    return max(loading, scaling, beside + network)


def network_voxels(predictor: Predictor, header: VolumeHeader) -> int:
    """Return about how many voxels a volume has on the network's grid; 0 if it is cropped first, or not resampled."""
    transforms = getattr(predictor.preprocessing, "transforms", ())
    spacing = next((transform.spacing for transform in transforms if isinstance(transform, Resampled)), None)
    if spacing is None or any(isinstance(transform, CropForegroundd) for transform in transforms):
        return 0
    volume = math.prod(header.spatial_shape) * float(voxel_lengths(header.affine).prod())
    return int(volume / math.prod(spacing))


def network_bytes(
    predictor: Predictor, channels: int, voxels: int, available: int, *, probabilities: bool = False
) -> int:
    """Estimate the main memory that a case needs, beside its image, while its logits are computed or written.

    Args:
        predictor: the bundle.
        channels: of the image.
        voxels: of the image, on the network's grid.
        available: bytes that there are; the network's own are counted, which takes a second, only if that matters.
        probabilities: whether they are written too.
    """
    logits = logit_bytes(predictor, voxels)
    writing = (LOGIT + PROBABILITY) * class_count(predictor) * voxels if probabilities else 0
    if predictor.device.type != "cpu" or not isinstance(predictor.inferer, WindowInferer):
        return max(logits, writing)
    inferer = predictor.inferer
    window = math.prod(inferer.roi_size)
    windows = min(inferer.sw_batch_size, max(1, voxels // window))
    if max(logits + GENEROUS * windows * window, writing) <= available:
        return max(logits, writing)
    dtype = choose_precision(inferer.precision, predictor.device).dtype
    return max(logits + window_bytes(predictor.network, (windows, channels, *inferer.roi_size), dtype), writing)


@lru_cache(maxsize=1)
def window_bytes(network: nn.Module, shape: tuple[int, int, int, int, int], dtype: torch.dtype) -> int:
    """Count what a network holds while it computes a batch; 0 if that cannot be counted without computing it."""
    with suppress(Exception):  # a network may be any code
        return count_activation_bytes(network, shape, dtype)
    return 0


def logit_bytes(predictor: Predictor, voxels: int) -> int:
    """Estimate the main memory that logits need while they are computed: none on a GPU, which has its own."""
    return (LOGIT * class_count(predictor) + WEIGHED) * voxels if predictor.device.type == "cpu" else 0


def class_count(predictor: Predictor) -> int:
    """Return the number of classes, background included, or of regions."""
    return len(predictor.regions or predictor.label_names) + (predictor.regions is None)
