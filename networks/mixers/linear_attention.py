"""Attention among all voxels whose cost grows with their number, not with its square."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from hybridseg.networks.validation import Triple

from .global_attention import GlobalMixer
from .window_grid import WindowGrid

MIN_WEIGHT = 1e-6
"""Below this, the sum of the weights is not divided by."""


class LinearMixer(GlobalMixer):
    """Attention with weights phi(query) . phi(key) instead of their softmax, so that the keys are summed once.

    Linear attention (Katharopoulos et al. 2020, https://arxiv.org/abs/2006.16236, equations 5 and 7), with
    phi(x) = elu(x) + 1; EcoFormer (Liu et al. 2022, https://arxiv.org/abs/2209.09004) has the same form, with binary
    features. Means over the voxels instead of sums: they fit into float16.

    Args:
        context: channels, dropout, and the kernel of a depth-wise projection.
        heads: attention heads.
        projection: one of `PROJECTIONS`.

    Raises:
        ValueError: `heads` does not divide the channels.
    """

    def windows(self, size: Triple) -> WindowGrid | None:
        return None  # it never computes the weights

    def attend(self, query: Tensor, key: Tensor, value: Tensor, size: Triple) -> Tensor:
        query, key = (functional.elu(part) + 1 for part in (query, key))  # (B, h, N, C / h)
        memory = key.mT @ (value / value.shape[-2])  # (B, h, C / h, C / h)
        total = query @ key.mean(dim=-2).unsqueeze(-1)  # (B, h, N, 1)
        return (query @ memory / total.clamp(min=MIN_WEIGHT)).to(value.dtype)
