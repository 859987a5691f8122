"""Shifted windows: cut and put back, who may meet, and attention against a slow loop over voxels."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from hybridseg.networks.mixers.projections import LinearProjection
from hybridseg.networks.mixers.window import WindowMixer
from hybridseg.networks.mixers.window_grid import attention_mask, relative_offset, window_grid

CPU = torch.device("cpu")
SIZES = [(4, 4, 4), (5, 7, 3), (6, 1, 9), (2, 2, 2), (10, 14, 10)]
WINDOWS = [(4, 4, 4), (2, 3, 4), (6, 6, 6), (3, 1, 2)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shifted", [False, True])
def test_partition_then_merge_is_the_identity(size, window, shifted):
    tokens = torch.randn(2, *size, 3)
    grid = window_grid(size, window, shifted)
    assert torch.equal(grid.merge(grid.partition(tokens)), tokens)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shifted", [False, True])
def test_voxels_that_may_meet_have_one_number(size, window, shifted):
    grid = window_grid(size, window, shifted)
    numbers = grid.partition(1 + grid.numbers()[None, ..., None])[0, :, :, 0]  # 0 for padding
    mask = attention_mask(grid, CPU)
    for index, here in enumerate(numbers):
        real = here > 0
        same = here[real, None] == here[None, real]
        assert torch.equal(same, torch.ones_like(same) if mask is None else mask[index][real][:, real])
    windows_of = [set(here[here > 0].tolist()) for here in numbers]
    assert sum(len(found) for found in windows_of) == len(set().union(*windows_of))


@pytest.mark.parametrize(
    ("n", "window", "count", "balanced"), [(10, 6, 2, 5), (14, 6, 3, 5), (5, 6, 1, 5), (7, 6, 2, 4), (12, 6, 2, 6)]
)
def test_windows_are_balanced_to_the_map(n, window, count, balanced):
    grid = window_grid((n, n, n), (window,) * 3, False)
    assert grid.count == (count,) * 3
    assert grid.window == (balanced,) * 3


def test_an_axis_with_one_window_is_not_shifted():
    assert window_grid((5, 12, 6), (6, 6, 6), True).shift == (0, 3, 0)


def test_no_mask_where_all_tokens_may_meet():
    assert attention_mask(window_grid((10, 10, 10), (5, 5, 5), False), CPU) is None


def test_a_mask_made_in_inference_mode_serves_training():
    mixer = WindowMixer(8, index=1, heads=2, window=3)
    x = torch.randn(1, 8, 7, 5, 4)
    with torch.inference_mode():
        mixer(x)
    mixer(x).sum().backward()
    assert mixer.bias_table.grad is not None


def test_the_offset_of_a_clipped_window_stands_where_that_of_the_full_window_does():
    """A window of 2 x 3 x 2 voxels under a largest of 4 x 4 x 4 must address the same offsets by distance."""
    table = relative_offset((2, 3, 2), (4, 4, 4), CPU).view(12, 12)
    voxels = list(itertools.product(range(2), range(3), range(2)))
    for (row, first), (column, second) in itertools.product(enumerate(voxels), repeat=2):
        depth, height, width = (a - b + 3 for a, b in zip(first, second, strict=True))
        assert table[row, column] == (depth * 7 + height) * 7 + width


def slow_attention(mixer: WindowMixer, x: torch.Tensor) -> torch.Tensor:
    """Windowed attention one query at a time, from the definition; nothing is padded, shifted or masked.

    Two voxels meet where, along every axis, the same window holds both: windows begin at `shift`, and what lies
    before the first of them, or after the last whole one, is a window of its own.
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
    mixer = WindowMixer(6, index=index, heads=2, window=window)
    torch.nn.init.normal_(mixer.bias_table)
    x = torch.randn(2, 6, *size)
    with torch.no_grad():
        torch.testing.assert_close(mixer(x), slow_attention(mixer, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("index", [0, 1])
def test_a_masked_voxel_has_no_influence(index):
    """A voxel changes exactly the outputs it may meet: those of its own window, without the wrapped far end."""
    mixer = WindowMixer(4, index=index, heads=1, window=3)
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
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        WindowMixer(8, **options)


def test_cosine_attention_does_not_see_the_length_of_queries_and_keys():
    torch.manual_seed(0)
    mixer = WindowMixer(8, heads=2, window=3, similarity="cosine")
    x = torch.randn(1, 8, 3, 3, 3)
    before = mixer(x)
    assert isinstance(mixer.query_key_value, LinearProjection)
    with torch.no_grad():
        mixer.query_key_value.weight[:16] *= 7
        mixer.query_key_value.bias[:16] *= 7
    torch.testing.assert_close(mixer(x), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("index", [0, 1])
def test_padding_disturbs_cosine_attention_in_no_precision(index):
    mixer = WindowMixer(8, index=index, heads=2, window=3, similarity="cosine")
    x = torch.randn(1, 8, 7, 5, 4)
    assert window_grid((7, 5, 4), (3, 3, 3), False).padded != (7, 5, 4)
    with torch.no_grad():
        expected = mixer(x)
        for kind in (torch.float16, torch.bfloat16):
            with torch.autocast("cpu", kind):
                torch.testing.assert_close(mixer(x).float(), expected, rtol=0, atol=0.02)


def test_a_local_bias_falls_with_distance_by_half_in_each_head():
    mixer = WindowMixer(8, heads=2, window=(1, 3, 3), locality=2.0)
    with torch.no_grad():
        table = mixer.bias_table.view(2, 1, 5, 5)
        centre, far = table[:, 0, 2, 2], table[:, 0, 0, 2]
    torch.testing.assert_close(centre - far, torch.tensor([4.0, 2.0]), atol=0.3, rtol=0)


def test_an_unknown_similarity_is_refused():
    with pytest.raises(ValueError, match="similarity: 'angle': must be product or cosine"):
        WindowMixer(8, heads=2, similarity="angle")
