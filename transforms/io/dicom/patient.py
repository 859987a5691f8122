"""The patient of a series, by PatientID: for comparison in memory only, and never written or printed."""

from __future__ import annotations

import os
from pathlib import Path

from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.io.header import unreadable_is_volume_error

from .elements import quiet_pydicom, select_elements
from .series import DicomFolder
from .stored import list_instances

KEYWORDS = ("PatientID", "SeriesInstanceUID", "SeriesNumber")


def read_patient_id(source: PathLike) -> str:
    """Return the PatientID of a series; "" if it has none.

    Args:
        source: a folder or a zip, or a `DicomFolder`, which also names the series.

    Raises:
        VolumeError: a file cannot be read.
    """
    series = source.series if isinstance(source, DicomFolder) else None
    with list_instances(Path(os.fspath(source))) as stored:
        for instance in stored:
            elements = select_elements(instance, KEYWORDS)
            with unreadable_is_volume_error(instance.path), quiet_pydicom():
                patient, *names = (str(elements.get(name) or "").strip() for name in KEYWORDS)
            if series is None or series.split("/")[0] in names:
                return patient
    return ""
