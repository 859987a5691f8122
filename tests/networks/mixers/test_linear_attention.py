"""Linear attention against its definition."""

from __future__ import annotations

import torch
from torch.nn import functional

from hybridseg.networks import BlockContext
from hybridseg.networks.mixers import LinearMixer


def test_linear_attention_equals_its_definition():
    mixer = LinearMixer(BlockContext(12), heads=2)
    query, key, value = torch.randn(3, 1, 2, 10, 6)
    weights = (functional.elu(query) + 1) @ (functional.elu(key) + 1).mT  # (1, h, N, N)
    expected = weights / weights.sum(-1, keepdim=True) @ value
    torch.testing.assert_close(mixer.attend(query, key, value, (1, 2, 5)), expected, rtol=1e-4, atol=1e-5)
