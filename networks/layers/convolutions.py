"""Convolutions, with workarounds where torch's CPU kernels are slow or wrong; other devices use torch's own.

Every module maps (B, C, D, H, W) to a map of these axes and is fast in `torch.channels_last_3d`. Each workaround names
the version of torch for which it was written and when it can be removed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv3d_weight

from hybridseg.networks.validation import Triple, each_axis

from .layout import to_map, to_tokens
from .norms import InstanceNorm, runs_on_cpu


class ConvNormAct(nn.Sequential):
    """A convolution, instance normalisation and LeakyReLU: nnU-Net's layer (Isensee et al. 2021,
    https://doi.org/10.1038/s41592-020-01008-z).

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel: voxels of the kernel along (D, H, W), odd.
        stride: downsampling along (D, H, W), in voxels.
        groups: groups of the convolution.
        dilation: distance between the voxels of the kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Triple,
        *,
        stride: Triple = (1, 1, 1),
        groups: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__(
            conv(in_channels, out_channels, kernel, stride=stride, groups=groups, dilation=dilation),
            InstanceNorm(out_channels),
            nn.LeakyReLU(inplace=True),
        )


def conv(
    in_channels: int,
    out_channels: int,
    kernel: Triple,
    *,
    stride: Triple = (1, 1, 1),
    groups: int = 1,
    dilation: int = 1,
) -> SafeConv:
    """Make a convolution without bias that keeps the size, or divides it by `stride`, rounded up."""
    padding = each_axis(lambda entry: dilation * (entry // 2), kernel)
    return SafeConv(in_channels, out_channels, kernel, stride, padding, dilation=dilation, groups=groups, bias=False)


class SafeConv(nn.Conv3d):
    """torch's convolution, with the correct gradient on maps that are short along D.

    Workaround for torch 2.13: on CPUs with AVX512_BF16 and without AMX, oneDNN computes the bfloat16 gradient of the
    kernel from uninitialised memory on maps of at most `2 * padding` voxels along D: training silently goes wrong or
    ends in NaN. Here the padding is added to the map first. Remove this when the test of gradients on short maps passes
    with `nn.Conv3d` under `ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16`.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        depth, height, width = (int(entry) for entry in self.padding)
        if not (torch.is_grad_enabled() and runs_on_cpu(input)) or input.shape[2] > 2 * depth:
            return super().forward(input)
        longer = functional.pad(input, (0, 0, 0, 0, depth, depth))
        padding = (0, height, width)
        return functional.conv3d(longer, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class PointwiseConv(nn.Conv3d):
    """A 1x1x1 convolution as a matrix product over the voxels.

    Workaround for torch 2.13: on a CPU its convolution takes 7 times as long with 16 channels in and 3 out. Remove this
    when `nn.Conv3d` is as fast.

    Args:
        in_channels: channels in.
        out_channels: channels out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        tokens = functional.linear(to_tokens(input), self.weight.flatten(1), self.bias)
        if tokens.requires_grad and runs_on_cpu(input):  # a loss may return its gradient in another layout
            tokens.register_hook(torch.Tensor.contiguous)
        return to_map(tokens)


class DepthwiseConv(nn.Conv3d):
    """A depth-wise convolution of stride 1 that keeps the size.

    Workaround for torch 2.13: on a CPU the gradient of the input is computed as a convolution with the flipped kernel,
    ten times as fast as torch's; and training runs in the type of the kernel even under autocast, as the gradient of
    the kernel is twice as fast in float32 as in bfloat16. Remove this when a training step of `nn.Conv3d` is as fast in
    both types.

    Args:
        channels: channels in and out.
        kernel: voxels of the kernel along (D, H, W), odd.
    """

    def __init__(self, channels: int, kernel: Triple = (3, 3, 3)) -> None:
        padding = each_axis(lambda entry: entry // 2, kernel)
        super().__init__(channels, channels, kernel, padding=padding, groups=channels)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if not (torch.is_grad_enabled() and runs_on_cpu(input)):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return _Depthwise.apply(input.to(self.weight.dtype), self.weight, self.bias).to(input.dtype)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return functional.conv3d(x, weight, bias, padding=_half(weight), groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last_3d)
        padding, groups = _half(weight), len(weight)
        of_x = functional.conv3d(gradient, weight.flip(2, 3, 4), padding=padding, groups=groups)
        of_weight = conv3d_weight(x, weight.shape, gradient, padding=padding, groups=groups)  # pyright: ignore[reportArgumentType]
        return of_x, of_weight, gradient.sum((0, 2, 3, 4))


def _half(weight: Tensor) -> list[int]:
    return [entry // 2 for entry in weight.shape[2:]]
