"""A voxel attends to its neighbours and to nothing else, also at the border and with gaps."""

from __future__ import annotations

import pytest
import torch

from hybridseg.networks import BlockContext
from hybridseg.networks.mixers import NeighbourhoodMixer

SIZE = (4, 5, 3)


@pytest.mark.parametrize("index", [0, 1], ids=["dense", "dilated"])
@torch.inference_mode()
def test_neighbourhood_equals_masked_attention(index):
    mixer = NeighbourhoodMixer(BlockContext(12, kernel=(1, 3, 3), index=index), heads=2)
    mixer.bias.zero_()
    x = torch.randn(1, 12, *SIZE)
    tokens = x.flatten(2).mT[0]
    query, key, value = mixer.query_key_value(mixer.norm(tokens)).unflatten(1, (3, 2, 6)).unbind(1)  # (N, h, 6)
    position = torch.stack(torch.meshgrid(*map(torch.arange, SIZE), indexing="ij"), -1).reshape(-1, 3)
    offset, step = position[:, None] - position, index + 1
    near = (offset[..., 0] == 0) & (offset.abs() <= step).all(-1) & (offset % step == 0).all(-1)
    scores = torch.einsum("qhc,khc->hqk", query, key) / 6**0.5
    weights = scores.masked_fill(~near, -torch.inf).softmax(-1)
    mixed = torch.einsum("hqk,khc->qhc", weights, value).flatten(1)
    torch.testing.assert_close(mixer(x), mixer.projection(mixed).mT.reshape(x.shape), rtol=1e-4, atol=1e-5)
