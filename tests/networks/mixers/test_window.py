"""Windowed attention equals a slow loop over voxels; masks, cosine similarity and the initial bias."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from hybridseg.networks.mixers.base import BlockContext
from hybridseg.networks.mixers.projections import LinearProjection
from hybridseg.networks.mixers.window import WindowMixer
from hybridseg.networks.mixers.window_grid import window_grid


def test_mask_made_in_inference_mode_serves_training():
    mixer = WindowMixer(BlockContext(8, index=1), heads=2, window=3)
    x = torch.randn(1, 8, 7, 5, 4)
    with torch.inference_mode():
        mixer(x)
    mixer(x).sum().backward()
    assert mixer.bias_table.grad is not None


def slow_attention(mixer: WindowMixer, x: torch.Tensor) -> torch.Tensor:
    """Compute windowed attention one query at a time, by definition, without padding, shifting or masking.

    Two voxels attend to each other if the same window contains both: windows start at `shift`, and the voxels before
    the first window, or after the last whole one, form windows of their own.
    """
    size = x.shape[2:]
    grid = window_grid(tuple(size), mixer.window, mixer.shifted)
    axes = zip(size, grid.window, grid.shift, strict=True)
    bins = [[(p - s) // w for p in range(n)] for n, w, s in axes]
    heads, channels = mixer.heads, x.shape[1] // mixer.heads
    voxels = list(itertools.product(*(range(n) for n in size)))
    table = mixer.bias_table.view(heads, *(2 * w - 1 for w in mixer.window))
    mixed = torch.zeros(len(x), *size, x.shape[1])
    triples = mixer.query_key_value(mixer.norm(x.movedim(1, -1)))
    for item, here in itertools.product(range(len(x)), voxels):
        home = [b[p] for b, p in zip(bins, here, strict=True)]
        there = [v for v in voxels if [b[p] for b, p in zip(bins, v, strict=True)] == home]
        query = triples[item][here].view(3, heads, channels)[0]
        keys = torch.stack([triples[item][v].view(3, heads, channels)[1] for v in there])
        values = torch.stack([triples[item][v].view(3, heads, channels)[2] for v in there])
        offsets = [[a - b + w - 1 for a, b, w in zip(here, v, mixer.window, strict=True)] for v in there]
        bias = torch.stack([table[:, d, h, w] for d, h, w in offsets])
        scores = torch.einsum("hc,nhc->nh", query, keys) / math.sqrt(channels) + bias
        mixed[item][here] = torch.einsum("nh,nhc->hc", scores.softmax(0), values).flatten()
    return mixer.projection(mixed).movedim(-1, 1)


@pytest.mark.parametrize(
    ("size", "window"),
    [
        pytest.param((4, 4, 4), 2, id="whole windows"),
        pytest.param((3, 3, 3), 4, id="clipped to the map"),
        pytest.param((5, 3, 4), 2, id="padded"),
        pytest.param((5, 2, 7), (3, 4, 2), id="anisotropic"),
        pytest.param((1, 5, 4), (2, 3, 3), id="a single slice"),
    ],
)
@pytest.mark.parametrize("index", [0, 1], ids=["unshifted", "shifted"])
def test_windowed_attention_equals_a_slow_loop(size, window, index):
    mixer = WindowMixer(BlockContext(6, index=index), heads=2, window=window)
    torch.nn.init.normal_(mixer.bias_table)
    x = torch.randn(2, 6, *size)
    with torch.no_grad():
        torch.testing.assert_close(mixer(x), slow_attention(mixer, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("index", [0, 1])
def test_masked_voxel_has_no_influence(index):
    """A voxel changes exactly the outputs of its own window, not those at the wrapped far end."""
    mixer = WindowMixer(BlockContext(4, index=index), heads=1, window=3)
    x = torch.randn(1, 4, 7, 5, 4)
    grid = window_grid((7, 5, 4), (3, 3, 3), index == 1)
    changed = x.clone()
    changed[..., 0, 0, 0] += 10 * torch.randn(4)
    with torch.no_grad():
        differs = (mixer(x) != mixer(changed)).any(dim=1)[0]
    first = [s or w for w, s in zip(grid.window, grid.shift, strict=True)]
    expected = torch.zeros(7, 5, 4, dtype=torch.bool)
    expected[: first[0], : first[1], : first[2]] = True
    assert torch.equal(differs, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 5}, r"heads: 5: must divide 8 channels"),
        ({"heads": 0}, r"heads: 0: must be a positive integer"),
        ({"heads": 2, "window": (3, 3)}, r"window: \(3, 3\): must be one integer or three"),
        ({"heads": 2, "similarity": "angle"}, "similarity: 'angle': must be product or cosine"),
    ],
)
def test_invalid_options_raise(options, message):
    with pytest.raises(ValueError, match=message):
        WindowMixer(BlockContext(8), **options)


def test_cosine_attention_ignores_lengths():
    mixer = WindowMixer(BlockContext(8), heads=2, window=3, similarity="cosine")
    x = torch.randn(1, 8, 3, 3, 3)
    before = mixer(x)
    assert isinstance(mixer.query_key_value, LinearProjection)
    with torch.no_grad():
        mixer.query_key_value.weight[:16] *= 7
        mixer.query_key_value.bias[:16] *= 7
    torch.testing.assert_close(mixer(x), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("index", [0, 1])
def test_cosine_attention_ignores_padding_in_any_type(index):
    mixer = WindowMixer(BlockContext(8, index=index), heads=2, window=3, similarity="cosine")
    x = torch.randn(1, 8, 7, 5, 4)
    assert window_grid((7, 5, 4), (3, 3, 3), False).padded != (7, 5, 4)
    with torch.no_grad():
        expected = mixer(x)
        for dtype in (torch.float16, torch.bfloat16):
            with torch.autocast("cpu", dtype):
                torch.testing.assert_close(mixer(x).float(), expected, rtol=0, atol=0.02)


def test_local_bias_halves_from_head_to_head():
    mixer = WindowMixer(BlockContext(8), heads=2, window=(1, 3, 3), locality=2.0)
    with torch.no_grad():
        table = mixer.bias_table.view(2, 1, 5, 5)
        centre, far = table[:, 0, 2, 2], table[:, 0, 0, 2]
    torch.testing.assert_close(centre - far, torch.tensor([4.0, 2.0]), atol=0.3, rtol=0)
