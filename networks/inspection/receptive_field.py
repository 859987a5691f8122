"""The effective receptive field: how much each voxel of the image affects a voxel of the output.

Luo et al. 2016, Understanding the Effective Receptive Field (https://arxiv.org/abs/1701.04128): the gradient of one
central unit with respect to the input, over several inputs. Deviations: the root mean square instead of the mean, in
which signs cancel; and a unit is the sum of a voxel's channels, each with a random sign in each input, so that the mean
square is that of all channels: the mixed terms vanish in the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hybridseg.networks.mixers.window_grid import distances


def effective_receptive_field(
    network: nn.Module, images: Tensor, *, layer: nn.Module | None = None, seed: int = 0
) -> Tensor:
    """Compute how much each voxel of the image affects the central voxel of an output.

    Through instance normalisation every voxel of the image has some influence, whatever the kernels.

    Args:
        network: a network in evaluation mode.
        images: (B, C, D, H, W); processed one at a time, to save memory.
        layer: a module of the network; the gradient starts at the central voxel of its output (the last, if it runs
            several times), or of the network's output if None.
        seed: seed of the random signs.

    Returns:
        (D, H, W), at least 0: the root mean square of the gradient over the images and all channels.

    Raises:
        ValueError: the images are not (B, C, D, H, W), or there are none.

    Examples:
        >>> blur = nn.Conv3d(1, 1, 3, padding=1)
        >>> (effective_receptive_field(blur, torch.zeros(1, 1, 9, 9, 9)) > 0).sum().item()
        27
    """
    if images.ndim != 5 or not len(images):
        raise ValueError(f"images: shape {tuple(images.shape)}: must be (B, C, D, H, W) with at least one image")
    generator = torch.Generator().manual_seed(seed)
    outputs: list[Tensor] = []

    def remember(_: nn.Module, given: Any, output: Tensor) -> None:
        outputs.append(output)

    watched = network if layer is None else layer  # an empty nn.Sequential is false
    handle = watched.register_forward_hook(remember)
    total = torch.zeros(images.shape[2:], device=images.device)
    try:
        for image in images.split(1):
            image = image.detach().clone().requires_grad_()
            network(image)
            output = outputs[-1]
            outputs.clear()
            depth, height, width = (n // 2 for n in output.shape[2:])
            central = output[0, :, depth, height, width]
            signs = 2.0 * torch.randint(2, central.shape, generator=generator) - 1
            (gradient,) = torch.autograd.grad((signs.to(central) * central).sum(), image)
            total += gradient[0].square().sum(dim=0)
    finally:
        handle.remove()
    return (total / len(images)).sqrt()


def reach(field: Tensor, share: float = 0.5, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> float:
    """Return the radius of the smallest ball around the central voxel that contains a share of a receptive field.

    Args:
        field: (D, H, W), as returned by `effective_receptive_field`.
        share: share of the field's sum, such as 0.5.
        spacing: voxel size along (D, H, W) in mm; 1 for a radius in voxels.

    Returns:
        The radius in mm, to the centre of the last voxel needed.

    Raises:
        ValueError: `share` is not above 0 and at most 1.

    Examples:
        >>> reach(torch.ones(3, 3, 3), share=1.0, spacing=(2, 2, 1))
        3.0
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: {share}: must be above 0 and at most 1")
    depth, height, width = field.shape
    distance = distances((depth, height, width), (depth // 2, height // 2, width // 2), spacing).to(field.device)
    distance, order = distance.sort()
    held = field.flatten()[order].double().cumsum(0)
    needed = int(torch.searchsorted(held, share * held[-1]))
    return float(distance[needed])
