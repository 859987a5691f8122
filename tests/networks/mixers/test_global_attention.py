"""Relative and gated attention against their definitions, and how heads are split."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hybridseg.networks.mixers.base import BlockContext
from hybridseg.networks.mixers.global_attention import GatedMixer, RelativeMixer, split_heads


def slow_attention(mixer: RelativeMixer, x: Tensor) -> Tensor:
    """Compute attention over the whole map one query at a time, for one item."""
    tokens = x.flatten(2).transpose(1, 2)[0]
    query, key, value = mixer.query_key_value(mixer.norm(tokens)).chunk(3, dim=-1)
    position = torch.stack(torch.meshgrid(*map(torch.arange, x.shape[2:]), indexing="ij"), -1).reshape(-1, 3)
    extent = torch.tensor(mixer.extent)
    bias = mixer.bias_table.view(mixer.heads, *(2 * extent - 1).tolist())
    result = torch.zeros_like(value)
    size = value.shape[1] // mixer.heads
    for head in range(mixer.heads):
        part = slice(head * size, (head + 1) * size)
        for here in range(len(tokens)):
            offset = (position[here] - position).clamp(1 - extent, extent - 1) + extent - 1
            scores = key[:, part] @ query[here, part] / size**0.5 + bias[head, offset[:, 0], offset[:, 1], offset[:, 2]]
            result[here, part] = scores.softmax(0) @ value[:, part]
    return mixer.projection(result).transpose(0, 1).reshape(x.shape)


@pytest.mark.parametrize("extent", [5, (2, 3, 9)], ids=["map within extent", "map beyond extent"])
def test_relative_attention_equals_a_slow_loop(extent):
    mixer = RelativeMixer(BlockContext(8), heads=2, extent=extent)
    x = torch.randn(1, 8, 3, 5, 4)
    torch.testing.assert_close(mixer(x), slow_attention(mixer, x), rtol=1e-4, atol=1e-5)


def test_gated_heads_start_at_the_nearest_offsets():
    mixer = GatedMixer(BlockContext(14), heads=7, locality=8.0)
    weights = mixer.attend_by_position((5, 5, 5), torch.device("cpu"))
    torch.testing.assert_close(weights.sum(-1), torch.ones(7, 125))
    centre = 2 * 25 + 2 * 5 + 2
    strongest = weights[:, centre].argmax(-1)
    offsets = {(int(i) // 25 - 2, int(i) // 5 % 5 - 2, int(i) % 5 - 2) for i in strongest}
    assert offsets == {(0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)}


def test_gate_weighs_content_against_position():
    mixer = GatedMixer(BlockContext(8), heads=2)
    x = torch.randn(1, 8, 3, 3, 3)
    nn.init.constant_(mixer.gate, -50.0)
    nn.init.zeros_(mixer.projection.bias)
    by_content = mixer(x)
    mixer.position.data.normal_()
    torch.testing.assert_close(mixer(x), by_content)  # the closed gate hides position
    nn.init.constant_(mixer.gate, 50.0)
    assert not torch.allclose(mixer(x), by_content)


def test_each_head_gets_its_channels_of_every_voxel():
    tokens = torch.arange(2 * 3 * 4 * 5 * 12).view(2, 3, 4, 5, 12)
    split = split_heads(tokens, 2)  # queries, keys and values of two heads with two channels each
    assert split.shape == (3, 2, 2, 60, 2)
    voxel = (2 * 4 + 1) * 5 + 3
    torch.testing.assert_close(split[1, 1, 0, voxel], tokens[1, 2, 1, 3, 4:6], rtol=0, atol=0)
    torch.testing.assert_close(split[2, 0, 1, voxel], tokens[0, 2, 1, 3, 10:12], rtol=0, atol=0)
    assert split.data_ptr() == tokens.data_ptr()
