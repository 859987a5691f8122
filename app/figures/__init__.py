"""Pictures of volumes and label maps, and the slice viewer of notebooks."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .case import draw_case
    from .fusion import draw_fusion
    from .network_maps import draw_maps
    from .planes import PLANES
    from .surfaces import draw_surfaces
    from .viewer import SliceViewer

__all__ = [
    "PLANES",
    "SliceViewer",
    "draw_case",
    "draw_fusion",
    "draw_maps",
    "draw_surfaces",
]

__getattr__ = lazy_names(
    __name__,
    {
        "case": ["draw_case"],
        "fusion": ["draw_fusion"],
        "network_maps": ["draw_maps"],
        "planes": ["PLANES"],
        "surfaces": ["draw_surfaces"],
        "viewer": ["SliceViewer"],
    },
)
