"""Of the files and series in a folder, the one that fits is chosen and the others are named, or one must be named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    RTDoseStorage,
    SegmentationStorage,
)

from hybridseg.transforms import VolumeError
from hybridseg.transforms.io.dicom import DicomFolder, open_series

from .dicom_files import OBLIQUE, SPACING, VOXELS
from .pydicom_files import EVEN, SERIES, positions_along, without_place, write_classic, write_enhanced
from .variants import check_error, check_known_volume, in_series, load


def with_document(folder: Path, sop_class: str, name: str, **attributes: Any) -> None:
    """Write a file that is no image into a folder."""
    document = Dataset()
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.SOPClassUID, document.SOPInstanceUID, document.Modality = sop_class, "1.2.77", "DOC"
    document.SeriesInstanceUID, document.SeriesNumber = "1.2.9", 9
    for keyword, value in attributes.items():
        setattr(document, keyword, value)
    document.save_as(folder / name, enforce_file_format=True)


def with_documents(folder: Path) -> Path:
    write_classic(folder)
    with_document(folder, BasicTextSRStorage, "SR")
    with_document(folder, EncapsulatedPDFStorage, "PDF", EncapsulatedDocument=b"%PDF" + b"." * 100_000)
    with_document(folder, "1.3.46.670589.11.0.0.12.1", "unknown")
    return folder


def with_broken_neighbours(folder: Path) -> DicomFolder:
    with_documents(folder)
    with_document(folder, "1.2.840.10008.5.1.4.1.1.4.2", "spectra", Rows=1, Columns=1)
    write_classic(folder, VOXELS[:-1], change=in_series("1.2.6"), prefix="other")
    (folder / "other0").write_bytes((folder / "other0").read_bytes()[:-60])
    (folder / "garbage.dcm").write_bytes(b"no DICOM at all")
    write_enhanced(folder, modality="MR", change_file=in_enhanced_series("1.2.5"), change=without_place)
    return DicomFolder(folder, "4")


def in_enhanced_series(uid: str) -> Callable[[Any], None]:
    return lambda dataset: in_series(uid)(dataset, 0)


def with_made_from_it(sop_class: str, modality: str) -> Callable[[Path], Path]:
    """Write a series beside a mask of it, or the dose in it."""

    def made(dataset: Any) -> None:
        dataset.SOPClassUID, dataset.Modality = sop_class, modality
        in_series("1.2.5")(dataset, 0)

    def write(folder: Path) -> Path:
        write_enhanced(folder, change_file=made, name="made")
        return write_classic(folder)

    return write


def with_others(modality: str | None = "CT") -> Callable[[Path], DicomFolder]:
    """Write a series beside a localiser, a coronal series, a thicker one and one of another modality."""

    def write(folder: Path) -> DicomFolder:
        more = np.concatenate([VOXELS, VOXELS], axis=2)
        positions = positions_along(SPACING[2] * OBLIQUE[:, 2], 10)
        coronal = OBLIQUE[:, [0, 2, 1]]
        localiser = in_series("1.2.11", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        write_classic(folder / "all", more, positions=positions, change=localiser, prefix="a")
        write_classic(
            folder / "all", more, positions=positions, orientation=coronal, change=in_series("1.2.12"), prefix="b"
        )
        write_classic(folder / "all", VOXELS[:, :, :4], positions=EVEN[:4], change=in_series("1.2.13"), prefix="c")
        write_classic(folder / "all", more, positions=positions, modality="MR", change=in_series("1.2.14"), prefix="d")
        write_classic(folder / "all")
        return DicomFolder(folder / "all", None, modality)

    return write


def with_twin(folder: Path) -> DicomFolder:
    write_classic(folder, change=in_series("1.2.9"), prefix="twin")
    return DicomFolder(write_classic(folder), None, "CT")


def cut_and_named(folder: Path) -> DicomFolder:
    file = write_classic(folder) / "IM1"
    file.write_bytes(file.read_bytes()[:-60])
    return DicomFolder(folder, SERIES)


READ: dict[str, Callable[[Path], Path | DicomFolder]] = {
    "documents beside": with_documents,
    "segmentation beside": with_made_from_it(SegmentationStorage, "SEG"),
    "dose beside": with_made_from_it(RTDoseStorage, "RTDOSE"),
    "broken neighbours": with_broken_neighbours,
    "one that fits of five": with_others(),
}
"""Files that are read as `VOXELS` at `AFFINE`."""


@pytest.mark.parametrize("name", READ)
def test_series_is_read_as_the_known_volume(tmp_path: Path, name: str) -> None:
    check_known_volume(READ[name](tmp_path / "dicom"))


ERRORS: dict[str, tuple[Callable[[Path], Path | DicomFolder], str]] = {
    "named series cut off": (cut_and_named, "IM1: pixel data of 126 bytes, the last 60 are missing"),
    "two series that fit": (
        with_twin,
        "2 series: choose one of 1.2.3 (number 4, CT, 5 slices), 1.2.9 (number 9, CT, 5 slices)",
    ),
    "no modality to choose by": (
        with_others(None),
        "5 series: choose one of 1.2.3 (number 4, CT, 5 slices), 1.2.11 (number 11, CT, 10 slices), 1.2.12",
    ),
    "no series of the modality": (with_others("PT"), "all: no PT series: choose one of 1.2.3 (number 4, CT, 5 slices)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_choice_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    write, message = ERRORS[name]
    check_error(write(tmp_path / "dicom"), message)


def test_choice_is_noted(tmp_path: Path) -> None:
    source = with_others()(tmp_path)
    with open_series(source) as series:
        (note,) = series.notes
    assert note.startswith(
        f"{source}: series 1.2.3 (number 4, CT, 5 slices) chosen, not 1.2.11 (number 11, CT, 10 slices)"
    )
    assert "JANE" not in note.upper()


def test_skipped_file_of_unknown_series_is_noted(tmp_path: Path) -> None:
    source = with_broken_neighbours(tmp_path / "dicom")
    with open_series(source) as series:
        assert len(series.notes) == 1
        assert series.notes[0].startswith(f"{source}: garbage.dcm: ")
        assert series.notes[0].endswith("its series is unknown: skipped")
    with pytest.raises(VolumeError, match=r"garbage\.dcm"):
        load(source.path)
