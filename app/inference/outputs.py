"""What is written for a case: the label map and, where asked for, what people want beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import torch
from monai.data import MetaTensor

from hybridseg.app.labels.keep import keep_labels, keep_largest_components
from hybridseg.app.labels.label_maps import compact_labels
from hybridseg.app.labels.label_statistics import LabelStatistics, label_statistics
from hybridseg.transforms.datasets.inputs import InputCase
from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.io.dicom.series import DicomFolder, open_series
from hybridseg.transforms.io.load import LoadVolumed
from hybridseg.transforms.io.save import write_labels

if TYPE_CHECKING:
    from .predictor import Data, Predictor


PROBABILITY_STEP = 1 / 65535


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Writes the results of cases into a folder; the label map last, so that a case that has one is done.

    Args:
        folder: of all results.
        predictor: the bundle that gave them.
        labels: the labels to keep; the others become background.
        largest_component: keep only the largest connected piece of each label.
        probabilities: write them too.
        statistics: measure the labels too.
        preview: draw a picture too.
    """

    folder: Path
    predictor: Predictor
    labels: Collection[int]
    largest_component: bool = False
    probabilities: bool = False
    statistics: bool = False
    preview: bool = False

    def write(self, case: InputCase, data: Data) -> list[LabelStatistics]:
        """Write `<case>.nii.gz`, and before it what else is asked for; a case from DICOM gets a DICOM SEG too.

        Args:
            case: the case.
            data: its `image` and, as `pred`, its logits (K, D, H, W), both on the network's grid.

        Returns:
            The statistics; empty where none are asked for.
        """
        source = case.images[0]
        if self.probabilities:
            logits = data["pred"].float()
            classes = self.predictor.regions is None and len(logits) > 1
            path = self.folder / "probabilities" / f"{case.name}.nii.gz"
            write_probabilities(logits.softmax(0) if classes else logits.sigmoid(), data["image"].affine, path)
        restored: MetaTensor = self.predictor.restore(data)["pred"]
        affine = restored.affine.numpy()
        labels = keep_labels(restored.as_tensor()[0].cpu().numpy(), self.labels)
        if self.largest_component:
            keep_largest_components(labels)
        names = {label: name for label, name in self.predictor.label_names.items() if label in self.labels}
        rows: list[LabelStatistics] = []
        if self.statistics or self.preview:
            image: MetaTensor = LoadVolumed("image", channels=len(data["image"]))(case.entry)["image"]
            if self.statistics:
                channels = [channel.numpy() for channel in image.as_tensor()]
                rows = label_statistics(labels, channels, affine=affine, label_names=names, case=case.name)
            if self.preview:
                from hybridseg.app.figures.case import draw_case

                prediction = MetaTensor(torch.from_numpy(labels)[None], affine=restored.affine)
                path = self.folder / f"{case.name}.png"
                first = MetaTensor(image.as_tensor()[:1], affine=image.affine)
                window = self.predictor.window
                draw_case(path, image=first, prediction=prediction, label_names=names, title=case.name, window=window)
        if isinstance(source, DicomFolder) and find_spec("highdicom"):
            from hybridseg.transforms.io.dicom.segmentation import write_segmentation

            with open_series(source) as series:
                write_segmentation(
                    labels,
                    series.files,
                    self.folder / f"{case.name}.dcm",
                    label_names=names,
                    codes=self.predictor.label_codes,
                    algorithm=f"HybridSeg {self.predictor.bundle}",
                    version=version("hybridseg"),
                )
        write_labels(labels, self.folder / f"{case.name}.nii.gz", reference=source, affine=affine)
        return rows


def measure_written(
    case: InputCase, path: Path, *, channels: int, label_names: Mapping[int, str]
) -> list[LabelStatistics]:
    """The statistics of a case whose label map is written already.

    Args:
        case: the case.
        path: of its label map.
        channels: of its image.
        label_names: the labels to measure, and their names.

    Raises:
        VolumeError: a file cannot be read, or the two are not on one grid.
    """
    load = LoadVolumed(["image", "labels"], label_keys=["labels"], channels=channels)
    volumes = load({**case.entry, "labels": str(path)})
    image: MetaTensor = volumes["image"]
    images = [channel.numpy() for channel in image.as_tensor()]
    labels = compact_labels(volumes["labels"].as_tensor()[0])
    return label_statistics(labels, images, affine=image.affine.numpy(), label_names=label_names, case=case.name)


def write_probabilities(probabilities: torch.Tensor, affine: torch.Tensor, path: Path) -> None:
    """Write the probabilities (K, D, H, W) of all classes or regions as NIfTI (D, H, W, K), in steps of 1/65535.

    They stay on the network's grid: on the file's they would take gigabytes. Viewers lay them over the image by their
    affine.
    """
    steps = (probabilities.movedim(0, -1) / PROBABILITY_STEP).round().to(torch.uint16)
    image = nib.Nifti1Image(steps.cpu().numpy(), affine.numpy())
    image.header.set_slope_inter(PROBABILITY_STEP, 0)
    image.header.set_xyzt_units("mm")
    with replacing(path, suffix=".nii.gz") as temporary:
        nib.save(image, temporary)
