"""A network that fails while it is timed has an error; the others are timed."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from hybridseg.app.benchmarks.network_workload import REFERENCE_NETWORKS, NetworkTask, measure_time


class FailsInTraining(nn.Module):
    """Two logits for each voxel, except in training."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        if self.training:
            raise RuntimeError("out of memory")
        return self.conv(image)


def test_network_that_fails_has_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REFERENCE_NETWORKS, "broken", FailsInTraining)
    task = NetworkTask(
        networks=("broken", "tiny"),
        shape=(1, 1, 16, 16, 16),
        classes=2,
        device="cpu",
        threads=1,
        repeats=1,
        precisions=("fp32",),
        channels_last=False,
        compile=False,
        keep_memory=False,
        profile=False,
    )
    costs = measure_time(task)["fp32"]
    assert costs["broken"]["error"] == "RuntimeError: out of memory"
    assert costs["broken"]["parameters"] == 4
    assert "error" not in costs["tiny"]
    assert costs["tiny"]["forward"] > 0
    assert costs["tiny"]["step"] > 0
