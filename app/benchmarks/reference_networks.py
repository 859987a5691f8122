"""MONAI's networks, as references for the benchmarks.

Each function makes a network that maps images (B, C, D, H, W) of any size to logits (B, K, D, H, W); in training, one
with deep supervision returns a list of logits, finest first, as `HybridSwinUNETR` does.
"""

from __future__ import annotations

from monai.networks.nets import DynUNet, SegResNet, SwinUNETR
from monai.networks.nets.mednext import create_mednext
from torch import Tensor, nn

from hybridseg.networks.hybrid_swin_unetr import crop, pad
from hybridseg.networks.layers import SafeConv
from hybridseg.networks.validation import Triple


class AnySize(nn.Module):
    """Lets a network that needs sizes divisible by its stride take any size, padded as in `HybridSwinUNETR`.

    Args:
        network: returns a tensor, a sequence of tensors, or in training several stacked along axis 1.
        stride: the stride along each axis, in voxels.
    """

    def __init__(self, network: nn.Module, stride: int) -> None:
        super().__init__()
        for module in network.modules():
            if type(module) is nn.Conv3d:
                module.__class__ = SafeConv  # SwinUNETR's coarsest map has two voxels along an axis of 64
        self.network = network
        self.stride: Triple = (stride, stride, stride)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        output = self.network(pad(image, self.stride))
        if isinstance(output, Tensor) and output.ndim == 5:
            return crop(output, image.shape[2:], (1, 1, 1))
        outputs = output.unbind(1) if isinstance(output, Tensor) else output
        scales = [outputs[0].shape[2] // logits.shape[2] for logits in outputs]
        return [
            crop(logits, image.shape[2:], (scale, scale, scale)) for logits, scale in zip(outputs, scales, strict=True)
        ]


def swin_unetr(in_channels: int, out_channels: int, feature_size: int = 48, use_v2: bool = False) -> AnySize:
    """Make a Swin UNETR (https://arxiv.org/abs/2201.01266) with flash attention, or MONAI's second version of it."""
    network = SwinUNETR(
        in_channels=in_channels,
        out_channels=out_channels,
        feature_size=feature_size,
        use_v2=use_v2,
        use_flash_attention=True,
    )
    return AnySize(network, stride=32)


def dyn_unet(in_channels: int, out_channels: int, stages: int = 6, deep_supervision: bool = False) -> AnySize:
    """Make nnU-Net's U-Net (https://doi.org/10.1038/s41592-020-01008-z), deeply supervised at all but two scales."""
    network = DynUNet(
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=[3] * stages,
        strides=[1] + [2] * (stages - 1),
        upsample_kernel_size=[2] * (stages - 1),
        filters=[min(320, 32 * 2**stage) for stage in range(stages)],
        deep_supervision=deep_supervision,
        deep_supr_num=stages - 2,
    )
    return AnySize(network, stride=2 ** (stages - 1))


def seg_res_net(in_channels: int, out_channels: int, init_filters: int = 16) -> AnySize:
    """Make a SegResNet (https://arxiv.org/abs/1810.11654, without its auto-encoder)."""
    network = SegResNet(in_channels=in_channels, out_channels=out_channels, init_filters=init_filters)
    return AnySize(network, stride=8)


def med_next(in_channels: int, out_channels: int, deep_supervision: bool = False) -> AnySize:
    """Make a MedNeXt-S (https://arxiv.org/abs/2303.09975) with 3x3x3 kernels."""
    network = create_mednext("S", in_channels=in_channels, out_channels=out_channels, deep_supervision=deep_supervision)
    return AnySize(network, stride=16)
