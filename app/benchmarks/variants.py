"""The networks that `hybridseg bench ablation` compares: each changes one choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def variant(**changes: Any) -> dict[str, Any]:
    """Describe the preset `small` with some fields of its config changed."""
    return {"_target_": "hybridseg.networks.create_model", "preset": "small", **changes}


def reference(name: str, **options: Any) -> dict[str, Any]:
    """Describe a network of `hybridseg.app.benchmarks.reference_networks`."""
    return {"_target_": f"hybridseg.app.benchmarks.reference_networks.{name}", **options}


def attention(mixer: Any) -> dict[str, Any]:
    """Describe the preset with another mixer in its attention stage."""
    return variant(mixers=["conv", "conv", mixer])


DEFAULT = "default"
WINDOW = {"name": "window", "heads": 6}
VARIANTS: Mapping[str, dict[str, Any]] = {
    DEFAULT: variant(),
    "SegResNet": reference("seg_res_net"),
    "DynUNet": reference("dyn_unet", stages=4, deep_supervision=True),
    "MedNeXt": reference("med_next", deep_supervision=True),
    "SwinUNETR": reference("swin_unetr", feature_size=24),
    "attention: none": attention("hybridseg.app.benchmarks.ablated_mixers.NoMixer"),
    "attention: none, nor feed-forward": attention("hybridseg.app.benchmarks.ablated_mixers.NoBlock"),
    "attention: depth-wise 5x5x5": attention("hybridseg.app.benchmarks.ablated_mixers.DepthwiseMixer"),
    "attention: conv": attention("conv"),
    "attention: in turns with conv": attention(["conv", WINDOW]),
    "attention: from quarter resolution": variant(mixers=["conv", {**WINDOW, "heads": 3}, WINDOW]),
    "attention: relative": attention({"name": "relative", "heads": 6}),
    "attention: gated": attention({"name": "gated", "heads": 6}),
    "attention: rotary": attention({"name": "rotary", "heads": 6}),
    "attention: as in Primus": variant(
        mixers=["conv", "conv", {"name": "rotary", "heads": 6}], feed_forward="gated", layer_scale=0.1
    ),
    "attention: cosine": attention({**WINDOW, "similarity": "cosine"}),
    "attention: pooling": attention("pooling"),
    "attention: large kernel": attention("large_kernel"),
    "attention: recursive gates": attention("recursive_gates"),
    "attention: gated unit": attention("gated_unit"),
    "attention: channel gate": attention("channel_gate"),
    "attention: window and channel": attention({**WINDOW, "name": "window_channel"}),
    "attention: axial": attention({"name": "axial", "heads": 6}),
    "attention: neighbourhood": attention({"name": "neighbourhood", "heads": 6}),
    "attention: reduced": attention({"name": "reduced", "heads": 6}),
    "attention: linear": attention({"name": "linear", "heads": 6}),
    "attention: scan": attention("scan"),
    "attention: hyena": attention("hyena"),
    "attention: local": attention({**WINDOW, "locality": 1.0}),
    "projection: depthwise": attention({**WINDOW, "projection": "depthwise"}),
    "feed-forward: linear": variant(feed_forward="linear"),
    "feed-forward: gated": variant(feed_forward="gated"),
    "feed-forward: expansion 2": variant(feed_forward={"name": "depthwise", "expansion": 2}),
    "stem: levit": variant(stem="levit", strides=[1, 2, 2]),
    "stem: grouped": variant(stem="grouped"),
    "stem: patch": variant(stem="patch", strides=[1, 2, 2]),
    "downsampling: grouped": variant(downsampling="grouped"),
    "fusion: add": variant(fusion="add"),
    "fusion: add at full resolution": variant(fusion=["add", "concat", "concat"]),
    "fusion: attention": variant(fusion=["concat", "attention", {"name": "attention", "heads": 6}]),
    "decoder: two convolutions": variant(decoder_depths=2),
    "drop path: 0.1": variant(drop_path=0.1),
    "layer scale: 0.1": variant(layer_scale=0.1),
}
"""Networks by name, as in a bundle's `network_def`, without the channels in and out."""
