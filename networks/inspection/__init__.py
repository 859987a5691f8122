"""Inspect a network: attention maps, receptive fields, cost."""

from .attention_map import AttentionMap, attention_map
from .cost import count_activation_bytes, count_multiply_adds, count_parameters
from .mixer_cost import MixerDescription, describe_mixer, mixer_table, time_mixers
from .receptive_field import effective_receptive_field, reach

__all__ = [
    "AttentionMap",
    "MixerDescription",
    "attention_map",
    "count_activation_bytes",
    "count_multiply_adds",
    "count_parameters",
    "describe_mixer",
    "effective_receptive_field",
    "mixer_table",
    "reach",
    "time_mixers",
]
