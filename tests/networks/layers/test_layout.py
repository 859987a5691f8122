"""Moving the channels of a map to the end and back loses nothing and copies nothing."""

from __future__ import annotations

import torch

from hybridseg.networks.layers.layout import to_map, to_tokens
from hybridseg.networks.mixers.global_attention import heads_apart


def test_tokens_and_map_are_views_of_each_other():
    x = torch.randn(2, 3, 4, 5, 6).to(memory_format=torch.channels_last_3d)
    tokens = to_tokens(x)
    torch.testing.assert_close(tokens[1, 3, 2, 5], x[1, :, 3, 2, 5], rtol=0, atol=0)
    assert tokens.is_contiguous()
    assert to_map(tokens).stride() == x.stride()
    assert tokens.data_ptr() == to_map(tokens).data_ptr() == x.data_ptr()


def test_each_head_has_its_share_of_every_voxel():
    tokens = torch.arange(2 * 3 * 4 * 5 * 12).view(2, 3, 4, 5, 12)
    apart = heads_apart(tokens, 2)  # three times two heads of two channels
    assert apart.shape == (3, 2, 2, 60, 2)
    voxel = (2 * 4 + 1) * 5 + 3
    torch.testing.assert_close(apart[1, 1, 0, voxel], tokens[1, 2, 1, 3, 4:6], rtol=0, atol=0)
    torch.testing.assert_close(apart[2, 0, 1, voxel], tokens[0, 2, 1, 3, 10:12], rtol=0, atol=0)
    assert apart.data_ptr() == tokens.data_ptr()
