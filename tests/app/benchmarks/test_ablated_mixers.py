"""A network without its attention keeps everything else."""

from __future__ import annotations

import pytest
import torch

from hybridseg.app.benchmarks.ablated_mixers import DepthwiseMixer, NoBlock, NoMixer, without_mixer
from hybridseg.networks import BlockContext, HybridSwinUNETR, create_model


@pytest.fixture
def network() -> HybridSwinUNETR:
    return create_model("tiny", in_channels=1, out_channels=3).eval()


@torch.no_grad()
def test_no_mixer_keeps_the_other_branches(network):
    copy = without_mixer(network, -1)
    block, bare = (of.encoder.stages[2].get_submodule("blocks.0") for of in (network, copy))
    x = torch.randn(1, 96, 3, 4, 5)
    local = x + block.get_submodule("position")(x)
    torch.testing.assert_close(bare(x), local + block.get_submodule("feed_forward")(local))
    assert not torch.allclose(bare(x), block(x))


@torch.no_grad()
def test_no_block_leaves_only_the_downsampling(network):
    stage, bare = network.encoder.stages[2], without_mixer(network, 2, NoBlock).encoder.stages[2]
    x = torch.randn(1, 48, 6, 8, 10)
    torch.testing.assert_close(bare(x), stage.get_submodule("down")(x))


@torch.no_grad()
def test_copy_shares_nothing_with_the_network(network):
    image = torch.randn(1, 1, 16, 16, 16)
    before = network(image)
    copy = without_mixer(network, -1, NoMixer)
    for parameter in copy.parameters():
        parameter.zero_()
    torch.testing.assert_close(network(image), before)
    assert not copy.training


def test_copy_keeps_double_precision(network):
    network.double()
    weights = network.state_dict()
    for name, weight in without_mixer(network, -1).state_dict().items():
        torch.testing.assert_close(weight, weights[name], rtol=0, atol=0)


def test_even_kernel_raises():
    with pytest.raises(ValueError, match="extent: 4: must be odd"):
        DepthwiseMixer(BlockContext(8), extent=4)


def test_unknown_stage_raises(network):
    with pytest.raises(ValueError, match=r"stage: 3: the network has 3: must be -3 to 2"):
        without_mixer(network, 3)
