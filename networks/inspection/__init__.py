"""Inspect a network: attention maps, receptive fields, cost."""

from .attention_map import AttentionMap, attention_map
from .cost import count_activation_bytes, count_multiply_adds, count_parameters
from .receptive_field import effective_receptive_field, reach

__all__ = [
    "AttentionMap",
    "attention_map",
    "count_activation_bytes",
    "count_multiply_adds",
    "count_parameters",
    "effective_receptive_field",
    "reach",
]
