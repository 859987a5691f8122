"""Convolutions, normalisation and memory layout, with workarounds for CPU kernels of torch 2.13."""

from .convolutions import ConvNormAct, DepthwiseConv, PointwiseConv, SafeConv, conv
from .layout import to_map, to_tokens
from .norms import InstanceNorm

__all__ = [
    "ConvNormAct",
    "DepthwiseConv",
    "InstanceNorm",
    "PointwiseConv",
    "SafeConv",
    "conv",
    "to_map",
    "to_tokens",
]
