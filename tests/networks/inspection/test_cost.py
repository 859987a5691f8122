"""Costs equal those counted by hand."""

from __future__ import annotations

import torch
from torch import nn

from hybridseg.networks.inspection.cost import count_activation_bytes, count_multiply_adds, count_parameters
from hybridseg.networks.mixers import BlockContext, WindowMixer


def test_convolution_costs_its_kernel_at_each_voxel():
    network = nn.Conv3d(2, 5, (1, 3, 3), padding=(0, 1, 1))
    assert count_parameters(network) == 5 * (2 * 9 + 1)
    assert count_multiply_adds(network, (1, 2, 4, 6, 8)) == 4 * 6 * 8 * 9 * 2 * 5
    assert next(network.parameters()).device == torch.device("cpu")


def test_windowed_attention_costs_projections_and_pairs():
    network = WindowMixer(BlockContext(8), heads=2, window=3)
    voxels, window = 6**3, 3**3
    assert count_multiply_adds(network, (1, 8, 6, 6, 6)) == voxels * 4 * 8 * 8 + 2 * voxels * window * 8


def test_activations_are_what_lives_at_once():
    network = nn.Sequential(nn.Conv3d(1, 4, 1), nn.ReLU(inplace=True), nn.Conv3d(4, 2, 1), nn.Identity())
    voxels = 8 * 8 * 8
    assert count_activation_bytes(network, (3, 1, 8, 8, 8)) == 3 * (4 + 2) * voxels * 4
