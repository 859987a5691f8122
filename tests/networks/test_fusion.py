"""Attention across scales sees only the voxels at its own location."""

from __future__ import annotations

import pytest
import torch

from hybridseg.networks.fusion import AttentionFusion, repeat_voxels


@pytest.mark.parametrize(
    ("scale", "voxel", "expected"),
    [(0, (0, 1, 2), {(0, 0, 1)}), (2, (0, 0, 1), {(0, j, k) for j in (0, 1) for k in (2, 3)})],
    ids=["finer scale", "coarser scale"],
)
def test_voxel_of_another_scale_affects_its_own_location(scale, voxel, expected):
    fusion = AttentionFusion((4, 8, 8), ((2, 2, 2), (1, 2, 2)), scale=1, heads=2)
    features = [torch.randn(1, 4, 8, 8, 8), torch.randn(1, 8, 4, 4, 4), torch.randn(1, 8, 4, 2, 2)]
    up = torch.zeros(1, 8, 4, 4, 4)
    before = fusion(up, features)
    assert before.shape == (1, fusion.channels, 4, 4, 4)
    features[scale][0, :, *voxel] += torch.randn(features[scale].shape[1])
    changed = (fusion(up, features) != before).any(dim=1)[0].nonzero().tolist()
    assert set(map(tuple, changed)) == expected


def test_voxels_are_repeated_along_each_axis():
    tokens = torch.arange(6.0).view(1, 1, 2, 3, 1)
    assert repeat_voxels(tokens, (2, 1, 2))[0, :, :, :, 0].tolist() == [[[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]] * 2
