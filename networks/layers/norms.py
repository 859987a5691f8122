"""Instance normalisation that is fast and accurate on a CPU in `torch.channels_last_3d`.

Ulyanov et al. 2016 (https://arxiv.org/abs/1607.08022). Workaround for torch 2.13: in that memory format its instance
normalisation takes four times as long forward and twice as long in training, and its group normalisation has a slow
gradient and loses three digits of a large map's mean and variance, as it sums voxel after voxel. Batch normalisation of
single items is fast; the moments are computed on slabs of the map, each small enough to be accurate. Remove this when
`functional.instance_norm` is as fast.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FEW_VOXELS = 1024
"""Number of voxels below which torch normalises a slab by a slow path."""


class InstanceNorm(nn.Module):
    """Subtract the mean and divide by the standard deviation of each channel of each item; then scale and shift.

    Args:
        channels: channels in and out.
        epsilon: added to the variance.
    """

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if runs_on_cpu(x) and x.is_contiguous(memory_format=torch.channels_last_3d):
            return _ChannelsLast.apply(x, self.weight, self.bias, self.epsilon)
        return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.epsilon)


class _ChannelsLast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        mean, variance = moments(x, epsilon)
        ctx.save_for_backward(x, weight, mean, (variance + epsilon).rsqrt())
        ctx.epsilon = epsilon
        weight, bias = weight.to(mean.dtype), bias.to(mean.dtype)
        items = [
            functional.batch_norm(x[i : i + 1], mean[i], variance[i], weight, bias, False, eps=epsilon)
            for i in range(len(x))
        ]
        return torch.cat(items) if len(items) > 1 else items[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, weight, mean, scale = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last_3d)
        exact = weight.to(mean.dtype)
        of_x, of_weight, of_bias = [], torch.zeros_like(exact), torch.zeros_like(exact)
        for i in range(len(x)):
            item, item_weight, item_bias = torch.ops.aten.native_batch_norm_backward(
                *(gradient[i : i + 1], x[i : i + 1], exact, None, None, mean[i], scale[i]),
                *(True, ctx.epsilon, [True, True, True]),
            )
            of_x.append(item)
            of_weight += item_weight
            of_bias += item_bias
        return torch.cat(of_x) if len(of_x) > 1 else of_x[0], of_weight.to(weight), of_bias.to(weight), None


def moments(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Compute the mean and variance (B, C) of (B, C, D, H, W) from those of its slabs, in float32 at least."""
    kind = torch.promote_types(x.dtype, torch.float32)
    batch, channels, depth, height, width = x.shape
    voxels = depth * height * width
    if voxels < FEW_VOXELS:
        variance, mean = torch.var_mean(x.to(kind), dim=(2, 3, 4), correction=0)
        return mean, variance
    slabs = next(n for n in range(depth, 0, -1) if depth % n == 0 and voxels // n >= FEW_VOXELS)
    tokens = x.movedim(1, -1).reshape(batch * slabs, voxels // slabs, 1, channels)
    _, mean, scale = torch.native_group_norm(
        tokens.movedim(-1, 1), None, None, batch * slabs, channels, voxels // slabs, channels, epsilon
    )
    mean = mean.double().view(batch, slabs, channels)
    variance = scale.double().view(batch, slabs, channels) ** -2 - epsilon
    centre = mean.mean(dim=1)
    spread = (variance + mean.square()).mean(dim=1) - centre.square()
    return centre.to(kind), spread.clamp(min=0).to(kind)


def runs_on_cpu(x: Tensor) -> bool:
    """Return whether operations on `x` run eagerly on a CPU, not captured in a graph."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.jit.is_tracing()
