"""Synthetic CT and MRI volumes with label maps, for demonstrations and tests."""

from .abdomen import ORGANS, VERTEBRAE, Phantom, phantom, write_phantoms
from .head import HeadPhantom, head_phantom, write_heads

__all__ = [
    "ORGANS",
    "VERTEBRAE",
    "HeadPhantom",
    "Phantom",
    "head_phantom",
    "phantom",
    "write_heads",
    "write_phantoms",
]
