"""The effective receptive field of convolutions follows from their kernels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hybridseg.networks import create_model
from hybridseg.networks.inspection.receptive_field import effective_receptive_field, reach


def test_field_of_a_convolution_is_its_kernel():
    convolution = nn.Conv3d(1, 1, (3, 5, 1), padding=(1, 2, 0))
    field = effective_receptive_field(convolution, torch.randn(2, 1, 7, 9, 5))
    expected = torch.zeros(7, 9, 5)
    expected[2:5, 2:7, 2:3] = convolution.weight[0, 0].detach().abs()
    torch.testing.assert_close(field, expected)


def test_field_of_two_convolutions_is_their_product():
    first, second = (nn.Conv3d(1, 1, 3, padding=1) for _ in range(2))
    nn.init.constant_(first.weight, 1.0)
    nn.init.constant_(second.weight, 1.0)
    field = effective_receptive_field(nn.Sequential(first, second), torch.zeros(1, 1, 9, 9, 9))
    triangle = torch.tensor([0.0, 0, 1, 2, 3, 2, 1, 0, 0])
    torch.testing.assert_close(field, torch.einsum("d,h,w->dhw", triangle, triangle, triangle))


def test_output_channels_do_not_cancel():
    """Two channels of opposite sign would cancel in their sum; the mean square has both."""
    convolution = nn.Conv3d(1, 2, 1)
    with torch.no_grad():
        convolution.weight[:, 0, 0, 0, 0] = torch.tensor([3.0, -4.0])
    field = effective_receptive_field(convolution, torch.zeros(400, 1, 3, 3, 3))
    assert field[1, 1, 1].item() == pytest.approx(5.0, rel=0.1)


def test_image_channels_add_up():
    convolution = nn.Conv3d(2, 1, 1)
    with torch.no_grad():
        convolution.weight[0, :, 0, 0, 0] = torch.tensor([3.0, 4.0])
    field = effective_receptive_field(convolution, torch.zeros(1, 2, 3, 3, 3))
    torch.testing.assert_close(field[1, 1, 1], torch.tensor(5.0))


def test_field_of_a_layer_covers_the_layers_before_it():
    layers = nn.Sequential(nn.Conv3d(1, 1, 3, padding=1), nn.Conv3d(1, 1, 3, padding=1))
    field = effective_receptive_field(layers, torch.zeros(1, 1, 9, 9, 9), layer=layers[0])
    assert (field > 0).sum() == 27


def test_field_of_an_empty_layer_is_one_voxel():
    layers = nn.Sequential(nn.Sequential(), nn.Conv3d(1, 1, 3, padding=1))
    field = effective_receptive_field(layers, torch.zeros(1, 1, 9, 9, 9), layer=layers[0])
    assert (field > 0).sum() == 1


def test_network_is_not_changed():
    network = create_model("tiny", in_channels=1, out_channels=3).eval()
    images = torch.randn(2, 1, 24, 24, 24)
    fields = [effective_receptive_field(network, images, layer=network.encoder.stages[-1]) for _ in range(2)]
    torch.testing.assert_close(*fields)
    assert fields[0].max() > 0
    assert not network.encoder.stages[-1]._forward_hooks
    assert all(parameter.grad is None for parameter in network.parameters())


def test_images_of_wrong_rank_or_none_raise():
    for shape in ((1, 8, 8, 8), (0, 1, 8, 8, 8)):
        with pytest.raises(
            ValueError, match=r"images: shape \(.*\): must be \(B, C, D, H, W\) with at least one image"
        ):
            effective_receptive_field(nn.Identity(), torch.zeros(shape))


def test_ball_contains_its_share():
    field = torch.zeros(9, 9, 9)
    field[4, 4, 4], field[4, 4, 6], field[0, 4, 4] = 6, 3, 1
    assert reach(field, 0.6) == 0
    assert reach(field, 0.61) == reach(field, 0.9) == 2
    assert reach(field, 1.0) == 4


def test_reach_is_in_mm_along_each_axis():
    field = torch.zeros(5, 5, 5)
    field[1, 2, 3] = 1
    assert reach(field) == pytest.approx(math.sqrt(2))
    assert reach(field, spacing=(3.0, 1.0, 4.0)) == pytest.approx(5.0)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_invalid_share_raises(share):
    with pytest.raises(ValueError, match=rf"share: {share}: must be above 0 and at most 1"):
        reach(torch.ones(3, 3, 3), share)
