"""The branches of a block: their scales, stochastic depth, and which follow a mixer."""

from __future__ import annotations

import pytest
import torch

from hybridseg.networks import BlockContext, create_model
from hybridseg.networks.blocks import Block

WINDOW = {"name": "window", "heads": 2}


def test_mixing_channels_replaces_the_other_branches():
    conv = Block(BlockContext(8), "conv", "depthwise", drop_path=0.0)
    window = Block(BlockContext(8), WINDOW, "depthwise", drop_path=0.0)
    assert (conv.position, conv.feed_forward) == (None, None)
    assert None not in (window.position, window.feed_forward)


def test_block_is_its_formula_with_layer_scale():
    block = Block(BlockContext(8), WINDOW, "linear", drop_path=0.0, layer_scale=0.5)
    assert block.scales is not None
    assert block.scales.shape == (2, 8, 1, 1, 1)
    assert block.position is not None
    assert block.feed_forward is not None
    x = torch.randn(1, 8, 4, 4, 4)
    before = x + block.position(x)
    after = before + 0.5 * block.mixer(before)
    torch.testing.assert_close(block(x), after + 0.5 * block.feed_forward(after))


def test_drop_path_rises_to_the_last_block():
    model = create_model("tiny", in_channels=1, out_channels=2, drop_path=0.5)
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in blocks]
    assert rates == pytest.approx([0, 0.125, 0.25, 0.375, 0.5])


def test_drop_path_acts_only_in_training():
    model = create_model("tiny", in_channels=1, out_channels=2, drop_path=0.5, deep_supervision=False)
    images = torch.randn(16, 1, 16, 16, 16)  # each item drops branches independently
    assert not torch.allclose(model(images), model(images))
    model.eval()
    torch.testing.assert_close(model(images), model(images))
