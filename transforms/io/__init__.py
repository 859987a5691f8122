"""Read and write volumes: file names, header checks, NIfTI, NRRD, MetaImage and DICOM, label maps, atomic files."""

from .atomic import replacing, write_csv
from .checks import check_grid, check_header, check_image, check_label_map
from .header import VolumeHeader
from .load import LoadVolumed, open_volume, read_header
from .names import case_name, find_volumes, list_volumes
from .save import WriteLabelsd, write_labels

__all__ = [
    "LoadVolumed",
    "VolumeHeader",
    "WriteLabelsd",
    "case_name",
    "check_grid",
    "check_header",
    "check_image",
    "check_label_map",
    "find_volumes",
    "list_volumes",
    "open_volume",
    "read_header",
    "replacing",
    "write_csv",
    "write_labels",
]
