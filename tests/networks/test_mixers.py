"""Properties of every mixer: any size, batch items do not mix, a gradient for every parameter, a faithful trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hybridseg.app.benchmarks.ablated_mixers import DepthwiseMixer
from hybridseg.networks import MIXERS, BlockContext, Mixer

CHANNELS = 24
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "conv": [{}],
    "window": [{"heads": 3, "window": 3}, {"heads": 2, "window": (2, 3, 4), "similarity": "cosine"}],
    "relative": [{"heads": 3, "extent": 3}],
    "gated": [{"heads": 3}],
    "rotary": [{"heads": 3, "projection": "depthwise"}],
    "pooling": [{}],
    "large_kernel": [{"extent": (5, 5, 7)}],
    "recursive_gates": [{"order": 3}],
    "gated_unit": [{"expansion": 2}],
    "channel_gate": [{}],
    "window_channel": [{"heads": 3, "window": 3}],
    "axial": [{"heads": 6}],
    "neighbourhood": [{"heads": 3, "extent": 3}],
    "reduced": [{"heads": 3, "ratio": (1, 2, 3)}],
    "linear": [{"heads": 3}],
    "scan": [{}],
    "hyena": [{}],
}
CASES = {
    **{f"{name} {options}": (MIXERS[name], options) for name, listed in OPTIONS.items() for options in listed},
    "from outside": (DepthwiseMixer, {}),
}


@pytest.fixture(params=[0, 1], ids=["even block", "odd block"])
def context(request) -> BlockContext:
    return BlockContext(CHANNELS, kernel=(1, 3, 5), index=request.param)


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def mixer(request, context) -> Mixer:
    kind, options = request.param
    return kind(context, **options).eval()


def test_every_mixer_is_tested():
    assert OPTIONS.keys() == MIXERS.keys()


@pytest.mark.parametrize("size", [(4, 4, 4), (5, 7, 3), (1, 6, 9), (2, 1, 8)])
def test_any_size_keeps_its_shape(mixer, size):
    with torch.inference_mode():
        change = mixer(torch.randn(2, CHANNELS, *size))
    assert change.shape == (2, CHANNELS, *size)
    assert change.isfinite().all()


def test_batch_items_do_not_mix(mixer):
    x = torch.randn(3, CHANNELS, 5, 7, 3)
    with torch.inference_mode():
        alone = torch.cat([mixer(item[None]) for item in x])
        torch.testing.assert_close(mixer(x), alone, rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient(mixer):
    mixer.train()(torch.randn(1, CHANNELS, 5, 7, 4)).square().sum().backward()
    without = [name for name, value in mixer.named_parameters() if value.grad is None or not value.grad.any()]
    assert not without


@torch.inference_mode()
def test_memory_format_changes_nothing(mixer):
    x = torch.randn(2, CHANNELS, 5, 7, 3)
    torch.testing.assert_close(mixer(x.to(memory_format=torch.channels_last_3d)), mixer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # tracing fixes the size
def test_traced_mixer_equals_the_mixer(mixer):
    x = torch.randn(2, CHANNELS, 7, 5, 4)
    traced: Any = torch.jit.trace(mixer, x[:1], check_trace=False)
    with torch.inference_mode():
        torch.testing.assert_close(traced(x), mixer(x), rtol=1e-4, atol=1e-5)


def test_exported_mixer_equals_the_mixer(mixer):
    x = torch.randn(2, CHANNELS, 3, 5, 4)
    exported = torch.export.export(mixer, (x,)).module()
    with torch.inference_mode():
        torch.testing.assert_close(exported(x), mixer(x), rtol=1e-4, atol=1e-5)


def test_half_precision_is_close(mixer):
    x = torch.randn(1, CHANNELS, 5, 6, 4)
    with torch.inference_mode():
        exact = mixer(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = mixer(x)
    torch.testing.assert_close(half.float(), exact, rtol=0.1, atol=0.1 * float(exact.abs().max()))


@pytest.mark.parametrize(
    ("name", "options"),
    [("window", {"heads": 3, "window": 3}), ("relative", {"heads": 3}), ("rotary", {"heads": 3})],
    ids=["window", "relative", "rotary"],
)
def test_attention_reaches_exactly_its_windows(name, options, context):
    mixer = MIXERS[name](context, **options).eval()
    x = torch.randn(1, CHANNELS, 5, 7, 4)
    changed = x.clone()
    changed[0, :, 2, 3, 1] += 10 * torch.randn(CHANNELS)
    with torch.inference_mode():
        differs = (mixer(x) != mixer(changed)).any(dim=1)[0]
    grid = mixer.windows((5, 7, 4))
    assert grid is not None
    numbers = grid.window_numbers()
    assert torch.equal(differs, numbers == numbers[2, 3, 1])


def test_mixers_without_attention_publish_no_windows():
    assert MIXERS["conv"](BlockContext(8)).windows((4, 4, 4)) is None


def test_global_attention_publishes_the_whole_map():
    grid = MIXERS["rotary"](BlockContext(12), heads=2).windows((3, 4, 5))
    assert grid is not None
    assert (grid.window, grid.count, grid.shift) == ((3, 4, 5), (1, 1, 1), (0, 0, 0))
