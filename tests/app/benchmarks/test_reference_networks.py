"""Reference networks take any size and return logits as `HybridSwinUNETR` does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hybridseg.app.benchmarks.reference_networks import dyn_unet, med_next, seg_res_net, swin_unetr

SIZE = (18, 24, 35)
MAKERS = {
    "SwinUNETR": lambda: swin_unetr(1, 3, feature_size=12),
    "SwinUNETR v2": lambda: swin_unetr(1, 3, feature_size=12, use_v2=True),
    "DynUNet": lambda: dyn_unet(1, 3, stages=4, deep_supervision=True),
    "SegResNet": lambda: seg_res_net(1, 3, init_filters=8),
    "MedNeXt": lambda: med_next(1, 3, deep_supervision=True),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
def test_any_size_gives_logits_of_that_size(make):
    network = make().eval()
    with torch.inference_mode():
        logits = network(torch.randn(1, 1, *SIZE))
    assert logits.shape == (1, 3, *SIZE)
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("name", "scales"), [("DynUNet", [1, 1, 1]), ("MedNeXt", [1, 2, 4, 8, 16])], ids=["DynUNet", "MedNeXt"]
)
def test_deep_supervision_returns_scales_finest_first(name, scales):
    outputs = MAKERS[name]().train()(torch.randn(1, 1, *SIZE))
    assert [tuple(logits.shape[2:]) for logits in outputs] == [tuple(-(-n // s) for n in SIZE) for s in scales]


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
def test_every_convolution_is_safe_on_short_maps(make):
    assert not any(type(module) is nn.Conv3d for module in make().modules())
