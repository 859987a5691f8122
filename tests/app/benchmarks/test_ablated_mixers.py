"""A network without its attention is the same network but for that."""

from __future__ import annotations

import pytest
import torch

from hybridseg.app.benchmarks.ablated_mixers import DepthwiseMixer, NoBlock, NoMixer, without_mixer
from hybridseg.networks import HybridSwinUNETR, create_model


@pytest.fixture
def network() -> HybridSwinUNETR:
    return create_model("tiny", in_channels=1, out_channels=3).eval()


@torch.no_grad()
def test_without_its_mixers_a_block_keeps_its_other_branches(network):
    other = without_mixer(network, -1)
    block, bare = (of.encoder.stages[2].get_submodule("blocks.0") for of in (network, other))
    x = torch.randn(1, 96, 3, 4, 5)
    local = x + block.get_submodule("position")(x)
    torch.testing.assert_close(bare(x), local + block.get_submodule("feed_forward")(local))
    assert not torch.allclose(bare(x), block(x))


@torch.no_grad()
def test_without_its_blocks_a_stage_is_its_step_down(network):
    stage, bare = network.encoder.stages[2], without_mixer(network, 2, NoBlock).encoder.stages[2]
    x = torch.randn(1, 48, 6, 8, 10)
    assert torch.equal(bare(x), stage.get_submodule("down")(x))


@torch.no_grad()
def test_the_network_stays_and_shares_nothing_with_the_other(network):
    image = torch.randn(1, 1, 16, 16, 16)
    before = network(image)
    other = without_mixer(network, -1, NoMixer)
    for parameter in other.parameters():
        parameter.zero_()
    assert torch.equal(network(image), before)
    assert not other.training


def test_weights_of_double_precision_stay_so(network):
    network.double()
    weights = network.state_dict()
    for name, weight in without_mixer(network, -1).state_dict().items():
        torch.testing.assert_close(weight, weights[name], rtol=0, atol=0)


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="extent: 4: must be odd"):
        DepthwiseMixer(8, extent=4)


def test_a_stage_that_is_not_there_is_refused(network):
    with pytest.raises(ValueError, match=r"stage: 3: the network has 3: must be -3 to 2"):
        without_mixer(network, 3)
