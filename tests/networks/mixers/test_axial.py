"""Axial attention reaches the lines through a voxel, and nothing else."""

from __future__ import annotations

import torch

from hybridseg.networks import BlockContext
from hybridseg.networks.mixers import AxialMixer


@torch.inference_mode()
def test_axial_attention_reaches_exactly_the_lines_of_a_voxel():
    mixer = AxialMixer(BlockContext(12), heads=3)
    x = torch.randn(1, 12, 4, 5, 3)
    changed = x.clone()
    changed[0, :, 2, 3, 1] += 10 * torch.randn(12)
    differs = (mixer(x) - mixer(changed)).abs().amax(dim=1)[0] > 1e-6
    lines = torch.zeros(4, 5, 3, dtype=torch.bool)
    lines[:, 3, 1] = lines[2, :, 1] = lines[2, 3, :] = True
    assert torch.equal(differs, lines)
