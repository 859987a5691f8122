"""Inferers: mixed precision for batches, and sliding windows with Gaussian blending for whole volumes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.data.utils import compute_importance_map
from monai.inferers import Inferer, SimpleInferer
from monai.utils import BlendMode
from torch import Tensor

from .padding import Padding, Window, pad_to_size
from .precision import check_precision, choose_precision

Progress = Callable[[int, int], None]
"""Called with the number of windows just computed, and with the number of all windows of the volume."""

UNLIKELY = -10.0
"""Logit of every class but the background, whose logit is 0, where no window was computed."""


class MixedPrecisionInferer(SimpleInferer):
    """Run the network in the precision that is fastest on its device or was chosen, and return float32 logits.

    bfloat16 has the range of float32; float16 does not, so its gradients need a loss scaler: MONAI's trainer has one
    with `amp=True`, on CUDA.

    Args:
        precision: auto, fp32, bf16 or fp16; auto uses bfloat16 on devices that are faster with it.

    Raises:
        ValueError: the precision is unknown.
    """

    def __init__(self, precision: str = "auto") -> None:
        super().__init__()
        check_precision(precision)
        self.precision = precision

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the logits of a batch.

        Raises:
            ValueError: the device cannot compute in the precision.
        """
        with choose_precision(self.precision, inputs.device).autocast(inputs.device):
            outputs = network(inputs, *args, **kwargs)
        return [output.float() for output in outputs] if isinstance(outputs, list) else outputs.float()


class WindowInferer(Inferer):
    """Run a network over a volume window by window, and blend the overlapping logits with Gaussian weights.

    Args:
        roi_size: voxels of a window along (D, H, W).
        sw_batch_size: windows per batch.
        overlap: least fraction of a window that the next one covers too: at least 0, below 1.
        precision: auto, fp32, bf16 or fp16; auto uses bfloat16 on devices that are faster with it.
        half: accumulate logits in float16; a voxel's weights sum to 1, so its logits keep their range.
        mirror_axes: spatial axes (0, 1, 2) for test-time mirroring: logits are averaged over all combinations. Use only
            axes along which all classes look alike.
        skip_uniform: do not compute windows without contrast; they are background.
        unseen: logit of every channel where no window was computed: negative if the channels are regions, whose
            threshold is 0. None if they are classes, the first being background: the others get a low logit.
        padding: value around a volume that is smaller than a window, or one for each channel.

    Raises:
        ValueError: an argument is invalid.
    """

    def __init__(
        self,
        roi_size: Sequence[int],
        sw_batch_size: int = 4,
        overlap: float = 0.5,
        *,
        precision: str = "auto",
        half: bool = True,
        mirror_axes: Sequence[int] = (),
        skip_uniform: bool = True,
        unseen: float | None = None,
        padding: Padding = 0.0,
    ) -> None:
        super().__init__()
        if len(roi_size) != 3 or min(roi_size) < 1:
            raise ValueError(f"roi_size: {list(roi_size)}: must be three positive lengths in voxels")
        if sw_batch_size < 1:
            raise ValueError(f"sw_batch_size: {sw_batch_size}: must be at least 1")
        if not 0 <= overlap < 1:
            raise ValueError(f"overlap: {overlap}: must be at least 0 and below 1")
        if set(mirror_axes) - {0, 1, 2}:
            raise ValueError(f"mirror_axes: {list(mirror_axes)}: must be of 0, 1 and 2")
        check_precision(precision)
        self.roi_size = tuple(roi_size)
        self.sw_batch_size = sw_batch_size
        self.overlap = overlap
        self.precision = precision
        self.half = half
        self.mirror_axes = tuple(sorted(set(mirror_axes)))
        self.skip_uniform = skip_uniform
        self.unseen = unseen
        self.padding = padding

    @torch.inference_mode()
    def __call__(
        self,
        inputs: Tensor,
        network: Callable[..., Tensor],
        *args: Any,
        progress: Progress | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Compute the logits of volumes.

        Args:
            inputs: (B, C, D, H, W).
            network: maps windows (b, C, d, h, w) to logits (b, K, d, h, w).
            args: further arguments of the network.
            progress: called after each batch of windows.
            kwargs: further keyword arguments of the network.

        Returns:
            Logits (B, K, D, H, W) in float16, or float32 if not `half`.

        Raises:
            ValueError: the network returns logits of another size than its window.
        """
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        logits = [self.infer(volume, lambda x: network(x, *args, **kwargs), progress) for volume in volumes]
        return logits[0][None] if len(logits) == 1 else torch.stack(logits)  # a copy would take as much memory again

    def infer(self, volume: Tensor, network: Callable[[Tensor], Tensor], progress: Progress | None = None) -> Tensor:
        """Compute the logits (K, D, H, W) of a volume (C, D, H, W)."""
        volume, inside = pad_to_size(volume, self.roi_size, self.padding)
        windows = self.windows(volume)
        weight = compute_importance_map(self.roi_size, BlendMode.GAUSSIAN, device=volume.device)
        total = volume.new_zeros(volume.shape[1:])  # of the weights, (D, H, W)
        for window in windows:
            total[window] += weight
        logits: Tensor | None = None
        for first in range(0, len(windows), self.sw_batch_size):
            batch = windows[first : first + self.sw_batch_size]
            values = self.compute(torch.stack([volume[:, *window] for window in batch]), network)
            if logits is None:
                dtype = torch.float16 if self.half else torch.float32
                logits = values.new_zeros((values.shape[1], *volume.shape[1:]), dtype=dtype)
            for window, value in zip(batch, values, strict=True):
                logits[:, *window] += value * (weight / total[window])
            if progress is not None:
                progress(len(batch), len(windows))
        assert logits is not None  # there is at least one window
        if self.unseen is None:
            logits[1:].masked_fill_(total == 0, UNLIKELY)
        else:
            logits.masked_fill_(total == 0, self.unseen)
        return logits[:, *inside]

    def windows(self, volume: Tensor) -> list[Window]:
        """List the windows of (C, D, H, W) to compute: at least one, which gives the number of channels."""
        starts = [
            window_starts(length, window, self.overlap)
            for length, window in zip(volume.shape[1:], self.roi_size, strict=True)
        ]
        windows = [
            (slice(d, d + self.roi_size[0]), slice(h, h + self.roi_size[1]), slice(w, w + self.roi_size[2]))
            for d, h, w in itertools.product(*starts)
        ]
        if not self.skip_uniform:
            return windows
        return [window for window in windows if not is_uniform(volume[:, *window])] or windows[:1]

    def compute(self, windows: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """Compute the float32 logits (b, K, d, h, w) of windows (b, C, d, h, w), averaged over their mirror images."""
        flips = [
            [axis + 2 for axis in axes]
            for count in range(len(self.mirror_axes) + 1)
            for axes in itertools.combinations(self.mirror_axes, count)
        ]
        with choose_precision(self.precision, windows.device).autocast(windows.device):
            outputs = [network(windows.flip(flip) if flip else windows).float().flip(flip) for flip in flips]
        logits = sum(outputs[1:], outputs[0]) / len(flips) if len(flips) > 1 else outputs[0]
        if logits.shape[2:] != windows.shape[2:]:
            found, wanted = tuple(logits.shape[2:]), tuple(windows.shape[2:])
            raise ValueError(f"network: logits of {found} voxels: must have the size of the window, {wanted}")
        return logits


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Return where windows start along an axis: evenly spaced, the last at the end, as MONAI's SlidingWindowInferer.

    Args:
        length: length of the axis, in voxels, at least a window's.
        window: length of a window, in voxels.
        overlap: least fraction of a window that the next one covers too.

    Examples:
        >>> window_starts(100, 48, 0.5)
        [0, 24, 48, 52]
    """
    interval = max(1, int(window * (1 - overlap)))
    return [*range(0, length - window, interval), length - window]


def is_uniform(window: Tensor) -> bool:
    """Return whether each channel of a window (C, D, H, W) has the same value everywhere."""
    return bool((window.flatten(1) == window[:, :1, 0, 0]).all())
