"""The networks that people would otherwise use, as MONAI has them, for the benchmarks to compare with.

Each function gives a network that takes images (B, C, D, H, W) of any size and gives logits (B, K, D, H, W); in
training, one with deep supervision gives a list of logits, finest first, as `HybridSwinUNETR` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monai.networks.nets import DynUNet, SegResNet, SwinUNETR
from monai.networks.nets.mednext import create_mednext
from torch import Tensor, nn

from hybridseg.networks.hybrid_swin_unetr import crop, pad
from hybridseg.networks.layers.convolutions import SafeConv
from hybridseg.networks.validation import Triple


class AnySize(nn.Module):
    """A network that needs sizes divisible by its stride, made to take any, by the padding of `HybridSwinUNETR`.

    Args:
        network: gives one tensor, a sequence of them, or in training some stacked along axis 1.
        stride: by which each axis must be divisible, in voxels.
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
    """Swin UNETR (https://arxiv.org/abs/2201.01266) with flash attention, or its second version of MONAI."""
    network = SwinUNETR(
        in_channels=in_channels,
        out_channels=out_channels,
        feature_size=feature_size,
        use_v2=use_v2,
        use_flash_attention=True,
    )
    return AnySize(network, stride=32)


def dyn_unet(in_channels: int, out_channels: int, stages: int = 6, deep_supervision: bool = False) -> AnySize:
    """The U-Net of nnU-Net (https://doi.org/10.1038/s41592-020-01008-z), deeply supervised at every scale but two."""
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
    """SegResNet (https://arxiv.org/abs/1810.11654, without its auto-encoder)."""
    network = SegResNet(in_channels=in_channels, out_channels=out_channels, init_filters=init_filters)
    return AnySize(network, stride=8)


def med_next(in_channels: int, out_channels: int, variant: str = "S", deep_supervision: bool = False) -> AnySize:
    """MedNeXt (https://arxiv.org/abs/2303.09975) with 3x3x3 kernels."""
    network = create_mednext(
        variant, in_channels=in_channels, out_channels=out_channels, deep_supervision=deep_supervision
    )
    return AnySize(network, stride=16)


PEERS: Mapping[str, Callable[..., AnySize]] = {
    "SwinUNETR": swin_unetr,
    "DynUNet": dyn_unet,
    "SegResNet": seg_res_net,
    "MedNeXt": med_next,
}
