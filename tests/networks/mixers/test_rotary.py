"""Rotary attention against its definition."""

from __future__ import annotations

import torch

from hybridseg.networks.mixers.base import BlockContext
from hybridseg.networks.mixers.rotary import RotaryMixer, axial_rotation, rotate


def test_scores_depend_only_on_the_offset():
    size = (3, 4, 5)
    rotation = axial_rotation(size, 8, torch.device("cpu"))
    query, key = torch.randn(2, 1, 1, 1, 16).expand(2, 1, 1, 60, 16)  # the same at every voxel
    scores = (rotate(query, rotation) @ rotate(key, rotation).mT)[0, 0].view(*size, *size)
    torch.testing.assert_close(scores[0, 0, 0, 1, 2, 1], scores[1, 1, 3, 2, 3, 4], rtol=1e-4, atol=1e-5)
    assert len(scores.flatten().mul(1e3).round().unique()) > 200  # of 5 x 7 x 9 offsets


def test_pairs_left_over_by_three_axes_do_not_rotate():
    rotation = axial_rotation((3, 4, 5), 8, torch.device("cpu"))
    assert torch.equal(rotation[:, :, 6:], torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, 60, 2))


def test_rotary_attention_equals_its_definition():
    mixer = RotaryMixer(BlockContext(12), heads=2)
    x = torch.randn(1, 12, 2, 3, 2)
    tokens = x.flatten(2).mT[0]
    query, key, value = mixer.query_key_value(mixer.norm(tokens)).unflatten(1, (3, 2, 6)).unbind(1)  # (N, h, 6)
    position = torch.stack(torch.meshgrid(*map(torch.arange, x.shape[2:]), indexing="ij"), -1).reshape(-1, 3)
    turn = torch.polar(torch.ones(12, 3), position.float())[:, None]  # one pair per axis, one radian per voxel
    query, key = (torch.complex(part[..., :3], part[..., 3:]) * turn for part in (query, key))
    scores = torch.einsum("qhc,khc->hqk", query, key.conj()).real / 6**0.5
    mixed = torch.einsum("hqk,khc->qhc", scores.softmax(-1), value).flatten(1)
    torch.testing.assert_close(mixer(x), mixer.projection(mixed).mT.reshape(x.shape), rtol=1e-4, atol=1e-5)
