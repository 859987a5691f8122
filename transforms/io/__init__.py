"""Read and write volumes: file names, header checks, NIfTI, NRRD, MetaImage and DICOM, label maps, atomic files."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .atomic import replacing, write_csv, write_text
    from .checks import check_grid, check_header, check_image, check_label_map
    from .header import VolumeHeader
    from .json_files import as_json, read_json, write_json
    from .load import LoadVolumed, open_volume, read_header
    from .names import case_name, find_volumes, list_volumes
    from .save import WriteLabelsd, write_labels

__all__ = [
    "LoadVolumed",
    "VolumeHeader",
    "WriteLabelsd",
    "as_json",
    "case_name",
    "check_grid",
    "check_header",
    "check_image",
    "check_label_map",
    "find_volumes",
    "list_volumes",
    "open_volume",
    "read_header",
    "read_json",
    "replacing",
    "write_csv",
    "write_json",
    "write_labels",
    "write_text",
]

__getattr__ = lazy_names(
    __name__,
    {
        "atomic": ["replacing", "write_csv", "write_text"],
        "checks": ["check_grid", "check_header", "check_image", "check_label_map"],
        "header": ["VolumeHeader"],
        "json_files": ["as_json", "read_json", "write_json"],
        "load": ["LoadVolumed", "open_volume", "read_header"],
        "names": ["case_name", "find_volumes", "list_volumes"],
        "save": ["WriteLabelsd", "write_labels"],
    },
)
