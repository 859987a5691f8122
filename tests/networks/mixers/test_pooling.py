"""Pooling takes the mean of the voxels within the map."""

from __future__ import annotations

import torch
from torch.nn import functional

from hybridseg.networks import BlockContext
from hybridseg.networks.mixers import PoolingMixer


@torch.inference_mode()
def test_pooling_ignores_what_lies_beyond_the_map():
    x = torch.randn(1, 8, 4, 5, 6)
    mixer = PoolingMixer(BlockContext(8, kernel=(1, 3, 5)))
    normalised = mixer.norm(x.movedim(1, -1)).movedim(-1, 1)
    mean = functional.avg_pool3d(normalised, (1, 3, 5), 1, (0, 1, 2), count_include_pad=False)
    torch.testing.assert_close(mixer(x), mean - normalised, rtol=1e-4, atol=1e-5)
