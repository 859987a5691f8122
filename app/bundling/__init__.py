"""Bundles: read their configs, write them, run them by MONAI, pack them."""

from typing import TYPE_CHECKING

from hybridseg.app.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .config import inference_config, label_parts
    from .monai_command import bundle_run, show_command
    from .packing import pack_bundle
    from .writer import write_bundle

__all__ = [
    "bundle_run",
    "inference_config",
    "label_parts",
    "pack_bundle",
    "show_command",
    "write_bundle",
]

__getattr__ = lazy_names(
    __name__,
    {
        "config": ["inference_config", "label_parts"],
        "monai_command": ["bundle_run", "show_command"],
        "packing": ["pack_bundle"],
        "writer": ["write_bundle"],
    },
)
