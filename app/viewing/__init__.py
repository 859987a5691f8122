"""The viewer of `hybridseg view`: cases in the browser, from a server on this machine or a folder, without network."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .cases import ViewedCase, Viewing, open_cases
    from .export import check_viewer_folder, write_viewer
    from .niivue import niivue_script
    from .notes import ReviewNotes
    from .server import ViewServer

__all__ = [
    "ReviewNotes",
    "ViewServer",
    "ViewedCase",
    "Viewing",
    "check_viewer_folder",
    "niivue_script",
    "open_cases",
    "write_viewer",
]

__getattr__ = lazy_names(
    __name__,
    {
        "cases": ["ViewedCase", "Viewing", "open_cases"],
        "export": ["check_viewer_folder", "write_viewer"],
        "niivue": ["niivue_script"],
        "notes": ["ReviewNotes"],
        "server": ["ViewServer"],
    },
)
