"""Hyena's convolution by Fourier transform against a direct one."""

from __future__ import annotations

import torch
from torch.nn import functional

from hybridseg.networks import BlockContext
from hybridseg.networks.mixers import HyenaMixer


@torch.inference_mode()
def test_long_convolution_equals_a_direct_one():
    size = depth, height, width = 2, 3, 4
    mixer = HyenaMixer(BlockContext(4))
    x = torch.randn(2, 4, *size)
    kernel = torch.roll(mixer.kernel(size, x.device), (depth - 1, height - 1, width - 1), (1, 2, 3))  # centre first
    direct = functional.conv3d(x, kernel.flip(1, 2, 3)[:, None], padding=(depth - 1, height - 1, width - 1), groups=4)
    torch.testing.assert_close(mixer.convolve(x), direct, rtol=1e-4, atol=1e-5)
