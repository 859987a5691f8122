"""Partition and merge, balanced windows, masks, and relative offsets."""

from __future__ import annotations

import itertools

import pytest
import torch

from hybridseg.networks.mixers.window_grid import attention_mask, relative_offset, window_grid

CPU = torch.device("cpu")
SIZES = [(4, 4, 4), (5, 7, 3), (6, 1, 9), (2, 2, 2), (10, 14, 10)]
WINDOWS = [(4, 4, 4), (2, 3, 4), (6, 6, 6), (3, 1, 2)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shifted", [False, True])
def test_merge_inverts_partition(size, window, shifted):
    tokens = torch.randn(2, *size, 3)
    grid = window_grid(size, window, shifted)
    assert torch.equal(grid.merge(grid.partition(tokens)), tokens)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shifted", [False, True])
def test_window_numbers_agree_with_the_mask(size, window, shifted):
    grid = window_grid(size, window, shifted)
    numbers = grid.partition(1 + grid.window_numbers()[None, ..., None])[0, :, :, 0]  # 0 for padding
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


def test_axis_with_one_window_is_not_shifted():
    assert window_grid((5, 12, 6), (6, 6, 6), True).shift == (0, 3, 0)


def test_whole_unshifted_windows_need_no_mask():
    assert attention_mask(window_grid((10, 10, 10), (5, 5, 5), False), CPU) is None


def test_clipped_window_addresses_the_same_offsets():
    """A window of 2 x 3 x 2 voxels under a largest of 4 x 4 x 4 must address the same offsets by distance."""
    table = relative_offset((2, 3, 2), (4, 4, 4), CPU).view(12, 12)
    voxels = list(itertools.product(range(2), range(3), range(2)))
    for (row, first), (column, second) in itertools.product(enumerate(voxels), repeat=2):
        depth, height, width = (a - b + 3 for a, b in zip(first, second, strict=True))
        assert table[row, column] == (depth * 7 + height) * 7 + width
