"""What every mixer is built from and offers: `BlockContext` and `Mixer`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from hybridseg.networks.validation import Triple, each_axis, odd_triple

from .window_grid import WindowGrid


@dataclass(frozen=True)
class BlockContext:
    """What the network sets for the parts of a block; each part takes from it what it needs.

    Attributes:
        channels: channels in and out.
        kernel: voxels of the kernels along (D, H, W), odd.
        dropout: probability, in training, to zero an entry of a branch's result.
        index: counts the blocks of a stage that have the same mixer, from 0.
    """

    channels: int
    kernel: Triple = (3, 3, 3)
    dropout: float = 0.0
    index: int = 0

    def wide_kernel(self, extent: int | Sequence[int]) -> Triple:
        """Return a kernel of `extent` voxels, and of one voxel along the axes where the stage's kernel has one.

        Args:
            extent: voxels: one odd integer, or three along (D, H, W).

        Raises:
            ValueError: `extent` is neither.
        """
        return each_axis(lambda wide, entry: wide if entry > 1 else 1, odd_triple(extent, "extent"), self.kernel)


class Mixer(nn.Module, ABC):
    """The residual branch of a block: maps (B, C, D, H, W) to the same shape and normalises its own input.

    A subclass's constructor takes the `BlockContext` and, by keyword, the mixer's own options. The network initialises
    its linear layers and convolutions (`initialise`), not its own parameters.

    Attributes:
        mixes_channels: whether the mixer also mixes channels; if not, the block adds a position convolution before it
            and a feed-forward branch after it.
    """

    mixes_channels: ClassVar[bool] = False

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return what the block adds to its input (B, C, D, H, W)."""

    def windows(self, size: Triple) -> WindowGrid | None:
        """Return the windows within which the voxels of a map attend to each other by `scaled_dot_product_attention`.

        Args:
            size: voxels of the map along (D, H, W).

        Returns:
            The windows, one as large as the map for attention among all voxels; None without such attention.
        """
        return None
