"""Windows cover the volume and are blended as in MONAI; uniform windows are skipped; mirror images are averaged."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from torch import Tensor, nn

from hybridseg.transforms.inferers import WindowInferer, window_starts


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv3d(1, 3, 3, padding=1).eval()


@given(st.integers(1, 300), st.integers(1, 64), st.floats(0, 0.9))
def test_fewest_windows_cover_an_axis_with_the_overlap(length: int, window: int, overlap: float):
    length = max(length, window)
    starts = window_starts(length, window, overlap)
    assert (starts[0], starts[-1]) == (0, length - window)
    step = max(1, int(window * (1 - overlap)))
    assert all(0 < later - earlier <= step for earlier, later in pairwise(starts))
    assert len(starts) == -(-(length - window) // step) + 1


@pytest.mark.parametrize("size", [(16, 24, 8), (13, 27, 38), (5, 6, 7)])
def test_blending_equals_monai(network: nn.Module, size: tuple[int, int, int]):
    image = torch.randn(2, 1, *size)
    ours = WindowInferer((8, 8, 8), 3, 0.5, precision="fp32", half=False)(image, network)
    reference = SlidingWindowInferer((8, 8, 8), 3, 0.5, mode="gaussian")(image, network)
    assert isinstance(reference, Tensor)
    torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-4)


def test_half_precision_keeps_the_labels(network: nn.Module):
    image = torch.randn(1, 1, 30, 30, 30)
    exact = WindowInferer((16, 16, 16), precision="fp32", half=False)(image, network)
    half = WindowInferer((16, 16, 16))(image, network)
    assert half.dtype == torch.float16
    assert (half.argmax(1) == exact.argmax(1)).float().mean() > 0.99


def test_identity_network_reproduces_the_image():
    class Copy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, -x], dim=1)

    image = torch.randn(1, 1, 21, 13, 40)
    logits = WindowInferer((8, 16, 12), half=False, precision="fp32")(MetaTensor(image), Copy())
    torch.testing.assert_close(logits, torch.cat([image, -image], dim=1))
    assert type(logits) is Tensor


def test_windows_without_contrast_are_not_computed():
    seen = []

    def network(windows: Tensor) -> Tensor:
        seen.append(len(windows))
        return torch.cat([torch.zeros_like(windows), torch.ones_like(windows)], dim=1)

    image = torch.full((1, 1, 8, 8, 64), -1.0)
    image[..., 3:5] = 2.0
    progress = []
    inferer = WindowInferer((8, 8, 8), sw_batch_size=2, overlap=0.0)
    labels = inferer(image, network, progress=lambda done, total: progress.append((done, total))).argmax(1)
    assert seen == [1]
    assert progress == [(1, 1)]
    assert (labels[..., :8] == 1).all()
    assert (labels[..., 8:] == 0).all()
    assert inferer(torch.zeros(1, 1, 8, 8, 64), network).shape == (
        1,
        2,
        8,
        8,
        64,
    )  # one gives the number of classes
    WindowInferer((8, 8, 8), sw_batch_size=8, overlap=0.0, skip_uniform=False)(image, network)
    assert seen == [1, 1, 8]


def test_classes_of_skipped_windows_are_background():
    image = torch.full((1, 1, 8, 8, 64), -1.0)
    image[..., 3:5] = 2.0
    logits = WindowInferer((8, 8, 8), overlap=0.0)(image, lambda windows: torch.cat([0 * windows] * 14, dim=1))
    assert (logits[..., :8] == 0).all()
    assert (logits[:, :, ..., 8:].float().softmax(1)[:, 0] > 0.999).all()


def test_regions_of_skipped_windows_are_empty():
    image = torch.full((1, 1, 8, 8, 64), -1.0)
    image[..., 3:5] = 2.0
    for overlap, computed in ((0.0, 8), (0.5, 12)):
        logits = WindowInferer((8, 8, 8), overlap=overlap, unseen=-10.0)(image, lambda windows: 0 * windows)
        assert (logits[..., :computed] == 0).all()
        assert (logits[..., computed:] == -10).all()


def test_logits_of_one_volume_are_not_copied(network: nn.Module, monkeypatch: pytest.MonkeyPatch):
    inferer, image = WindowInferer((8, 8, 8)), torch.randn(1, 1, 9, 9, 9)
    logits = inferer.infer(image[0], network)
    monkeypatch.setattr(inferer, "infer", lambda volume, network, progress: logits)
    assert inferer(image, network).data_ptr() == logits.data_ptr()


def test_mirror_images_are_averaged():
    def network(windows: Tensor) -> Tensor:  # depends on the position within the window
        return windows * torch.arange(8.0).view(1, 1, 8, 1, 1) + torch.arange(8.0)

    image = torch.randn(1, 1, 8, 8, 8)
    logits = WindowInferer((8, 8, 8), precision="fp32", half=False, mirror_axes=(0, 2))(image, network)
    torch.testing.assert_close(logits, 3.5 * image + 3.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roi_size": (8, 8)}, r"roi_size: \[8, 8\]: must be three positive lengths"),
        ({"sw_batch_size": 0}, "sw_batch_size: 0: must be at least 1"),
        ({"overlap": 1.0}, "overlap: 1.0: must be at least 0 and below 1"),
        ({"mirror_axes": (3,)}, r"mirror_axes: \[3\]: must be of 0, 1 and 2"),
    ],
)
def test_invalid_options_are_errors(options: dict[str, Any], message: str):
    settings: dict[str, Any] = {"roi_size": (8, 8, 8), **options}
    with pytest.raises(ValueError, match=message):
        WindowInferer(**settings)


def test_logits_of_another_size_are_errors():
    with pytest.raises(
        ValueError, match=r"network: logits of \(4, 4, 4\) voxels: must have the size of the window, \(8, 8, 8\)"
    ):
        WindowInferer((8, 8, 8))(torch.randn(1, 1, 8, 8, 8), nn.AvgPool3d(2))
