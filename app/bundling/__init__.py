"""Bundles: read their configs, write them, build MONAI's command line for them, and pack them."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .config import (
        bundle_version,
        inference_config,
        input_channels,
        input_modalities,
        label_parts,
        read_config,
        shown_window,
    )
    from .monai_command import bundle_run, show_command
    from .packing import pack_bundle
    from .training_data import Scan, TrainingData
    from .writer import write_bundle

__all__ = [
    "Scan",
    "TrainingData",
    "bundle_run",
    "bundle_version",
    "inference_config",
    "input_channels",
    "input_modalities",
    "label_parts",
    "pack_bundle",
    "read_config",
    "show_command",
    "shown_window",
    "write_bundle",
]

__getattr__ = lazy_names(
    __name__,
    {
        "config": [
            "bundle_version",
            "inference_config",
            "input_channels",
            "input_modalities",
            "label_parts",
            "read_config",
            "shown_window",
        ],
        "monai_command": ["bundle_run", "show_command"],
        "packing": ["pack_bundle"],
        "training_data": ["Scan", "TrainingData"],
        "writer": ["write_bundle"],
    },
)
