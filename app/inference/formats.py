"""Write label maps in further formats, each in a folder of its name: `rtstruct/CASE.dcm`.

The map in NIfTI is always written, and before these, so it is not lost where one of them cannot be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from numpy.typing import ArrayLike

from hybridseg.app.bundling.config import label_structures
from hybridseg.app.bundling.training_data import Scan, TrainingData
from hybridseg.app.labels.label_maps import LabelMap, compact_labels
from hybridseg.app.runtime.failed_cases import catch_failure
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.dicom.series import DicomFolder, open_series
from hybridseg.transforms.io.dicom.writing.segmentation import write_segmentation
from hybridseg.transforms.io.dicom.writing.structure_set import write_structure_set
from hybridseg.transforms.io.label_formats import write_itk_labels, write_itk_snap_labels
from hybridseg.transforms.io.load import LoadVolumed
from hybridseg.transforms.structures import Structure

from .predictor import measure_image

ITK_FORMATS = ("nrrd", "mha", "seg.nrrd")
DICOM_FORMATS = {"dicom-seg": write_segmentation, "rtstruct": write_structure_set}
FOLDERS = (*ITK_FORMATS, *DICOM_FORMATS)
"""Formats with a folder of their name."""
ITK_SNAP, ITK_SNAP_FILE = "itk-snap", "itk-snap_labels.txt"


@dataclass(kw_only=True)
class FormatReport:
    """What happened when a case was written in further formats.

    Args:
        outside: how its scan differs from what the model was trained on.
        notes: what the user should know, a line each.
        unwritten: why a format was not written, by format.
    """

    outside: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unwritten: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FormatWriter:
    """Writes the label maps of a run in further formats.

    Args:
        folder: output folder of the run.
        formats: the formats, as in `hybridseg predict --format`.
        structures: the labels that are kept.
        bundle: name of the bundle that made the label maps.
        training_data: what it was trained on.
        force_dicom: write DICOM also of a scan unlike the training data, or of a model trained on synthetic data.
        grid_of: the channel on whose grid the label maps are.
        debug: print tracebacks of errors.
    """

    folder: Path
    formats: Sequence[str]
    structures: Sequence[Structure]
    bundle: str
    training_data: TrainingData
    force_dicom: bool = False
    grid_of: int = 0
    debug: bool = False

    @classmethod
    def for_bundle(
        cls,
        bundle: Path,
        folder: Path,
        formats: Iterable[str],
        labels: Iterable[int],
        *,
        force_dicom: bool = False,
        grid_of: int = 0,
        debug: bool = False,
    ) -> FormatWriter:
        """Return the writer for the label maps of a bundle, with these of its labels.

        Raises:
            VolumeError: a config of the bundle is invalid.
        """
        kept = set(labels)
        return cls(
            folder=folder,
            formats=tuple(dict.fromkeys(formats)),
            structures=[structure for structure in label_structures(bundle) if structure.label in kept],
            bundle=bundle.name,
            training_data=TrainingData.read(bundle),
            force_dicom=force_dicom,
            grid_of=grid_of,
            debug=debug,
        )

    def path(self, case: str, format_: str) -> Path:
        """Return the file of a case in a format of `FOLDERS`."""
        return format_path(self.folder, case, format_)

    def missing(self, case: str) -> list[str]:
        """Return the wanted formats that a case has no file in."""
        return [name for name in self.formats if name in FOLDERS and not self.path(case, name).exists()]

    def discard(self, case: str) -> None:
        """Remove the files of a case, whose label map is about to be replaced."""
        for path in (self.path(case, name) for name in FOLDERS):
            if path.exists():
                path.unlink()

    def write_label_names(self) -> None:
        """Write what belongs to the whole folder: names and colours for ITK-SNAP.

        Raises:
            OSError: the file cannot be written.
        """
        if ITK_SNAP in self.formats:
            write_itk_snap_labels(self.folder / ITK_SNAP_FILE, self.structures)

    def write(self, case: InputCase, labels: LabelMap, affine: ArrayLike, scan: Scan | None) -> FormatReport:
        """Write the formats that a case has no file in; one that cannot be written does not stop the others.

        Args:
            case: the case.
            labels: (X, Y, Z).
            affine: (4, 4), voxel indices to RAS mm.
            scan: what was measured of its volume; None if nothing was.
        """
        report = FormatReport()
        if scan is not None:
            report.outside = self.training_data.differences(replace(scan, modalities=modalities(case)))
        for name in self.missing(case.name):
            path = self.path(case.name, name)
            with catch_failure(str(path), partial(report.unwritten.__setitem__, name), debug=self.debug):
                if name in ITK_FORMATS:
                    write_itk_labels(labels, path, affine, self.structures)
                else:
                    self.write_dicom(name, case, path, labels, report)
        report.notes = [f"{case.name}: {note}" for note in dict.fromkeys(report.notes)]
        return report

    def write_dicom(self, name: str, case: InputCase, path: Path, labels: LabelMap, report: FormatReport) -> None:
        """Write the label map of a DICOM case in a format of `DICOM_FORMATS`, and add to the notes of its report.

        Raises:
            VolumeError: the case is not DICOM, or its scan or model is not meant for it.
            ValueError: the extra `dicom` is not installed.
        """
        source = grid_source(case, self.grid_of)
        if not isinstance(source, DicomFolder):
            raise VolumeError(path, f"made from {source}", "only the label map of a DICOM series can be written so")
        if not self.force_dicom:
            rule = "written only with --force-dicom"
            if self.training_data.synthetic:
                raise VolumeError(path, "a model trained on synthetic data", rule)
            if report.outside:
                raise VolumeError(path, "a scan outside what the model was trained on", rule)
        with open_series(source) as series:
            on_slices = series.labels_on_slices(labels)
            found = [structure for structure in self.structures if (on_slices == structure.label).any()]
            for structure in self.structures:
                if structure not in found and (labels == structure.label).any():
                    report.notes.append(f"{structure.name} is too small to be on an original slice")
            if not found:
                report.notes.append("no label found, so there is nothing to write as DICOM")
            report.notes += DICOM_FORMATS[name](
                on_slices,
                series,
                path,
                found,
                algorithm=f"HybridSeg {self.bundle}",
                version=version("hybridseg"),
            )


def grid_source(case: InputCase, grid_of: int) -> Path | DicomFolder:
    """Return the volume on whose grid the results of a case are written.

    Args:
        case: the case.
        grid_of: the channel, from 0; ignored if one file holds all channels.
    """
    return case.images[grid_of if len(case.images) > 1 else 0]


def write_from_label_map(writer: FormatWriter, case: InputCase, path: Path, channels: int) -> FormatReport:
    """Write the formats that a case has no file in, from its label map.

    Args:
        writer: writes them.
        case: the case.
        path: file of its label map.
        channels: number of channels of its volume.

    Raises:
        VolumeError: a file cannot be read.
    """
    loaded = LoadVolumed(["labels"], label_keys=["labels"])({"labels": str(path)})["labels"]
    scan = None
    if set(DICOM_FORMATS) & set(writer.missing(case.name)):
        load = LoadVolumed("image", channels=channels, orientation="RAS", one_grid=False)
        scan = measure_image(load(case.entry))["scan"]
    return writer.write(case, compact_labels(loaded.as_tensor()[0]), loaded.affine.numpy(), scan)


def modalities(case: InputCase) -> tuple[str, ...]:
    """Return the DICOM modality of each channel of a case; empty for a channel that is not DICOM."""
    found = []
    for image in case.images:
        if isinstance(image, DicomFolder):
            with open_series(image) as series:
                found.append(series.slices[0].header.text.get("Modality", ""))
        else:
            found.append("")
    return tuple(found)


def format_path(folder: Path, case: str, format_: str) -> Path:
    """Return the file of a case in a format of `FOLDERS`, below the folder of the label maps."""
    return folder / format_ / f"{case}.{format_ if format_ in ITK_FORMATS else 'dcm'}"
