"""Maps and tokens are views of each other."""

from __future__ import annotations

import torch

from hybridseg.networks.layers.layout import to_map, to_tokens


def test_tokens_and_map_are_views_of_each_other():
    x = torch.randn(2, 3, 4, 5, 6).to(memory_format=torch.channels_last_3d)
    tokens = to_tokens(x)
    torch.testing.assert_close(tokens[1, 3, 2, 5], x[1, :, 3, 2, 5], rtol=0, atol=0)
    assert tokens.is_contiguous()
    assert to_map(tokens).stride() == x.stride()
    assert tokens.data_ptr() == to_map(tokens).data_ptr() == x.data_ptr()
