"""Feed-forward branches against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from hybridseg.networks import FEED_FORWARDS, BlockContext
from hybridseg.networks.feed_forward import GatedFeedForward


@pytest.mark.parametrize("name", FEED_FORWARDS)
@pytest.mark.parametrize("size", [(4, 4, 4), (1, 5, 3)])
def test_any_size_keeps_its_shape(name, size):
    branch = FEED_FORWARDS[name](BlockContext(8, kernel=(1, 3, 5), dropout=0.1))
    assert branch(torch.randn(2, 8, *size)).shape == (2, 8, *size)


@pytest.mark.parametrize(("name", "alone"), [("linear", True), ("gated", True), ("depthwise", False)])
def test_only_depthwise_branches_look_at_neighbours(name, alone):
    branch = FEED_FORWARDS[name](BlockContext(8))
    x = torch.randn(1, 8, 3, 3, 3)
    changed = x.clone()
    changed[0, :, 1, 1, 1] += torch.randn(8)
    affected = (branch(x) - branch(changed)).abs().amax(dim=1)[0] > 1e-6
    assert affected.sum() == (1 if alone else 27)


def test_gated_branch_equals_its_definition():
    branch = GatedFeedForward(BlockContext(6))
    x = torch.randn(1, 6, 2, 3, 2)
    tokens = functional.layer_norm(x.movedim(1, -1), (6,), branch.norm.weight, branch.norm.bias)
    gate, value = branch.widen(tokens).chunk(2, dim=-1)
    expected = branch.narrow(gate * gate.sigmoid() * value).movedim(-1, 1)
    torch.testing.assert_close(branch(x), expected, rtol=1e-4, atol=1e-5)
