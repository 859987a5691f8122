"""Write the results of a case: the label map and, on request, statistics, a picture, probabilities, other formats."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import torch
from monai.data import MetaTensor

from hybridseg.app.labels.keep import keep_components, keep_labels
from hybridseg.app.labels.label_statistics import LabelStatistics, label_statistics
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.grid import voxel_volume_ml
from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.io.load import LoadVolumed
from hybridseg.transforms.io.save import write_labels
from hybridseg.transforms.spatial import JoinChannelsd

from .formats import FOLDERS, FormatReport, FormatWriter, format_path, grid_source

if TYPE_CHECKING:
    from .predictor import Data, Predictor

PROBABILITY_STEP = 1 / 65535


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Writes the results of cases into a folder.

    The label map comes after statistics, picture and probabilities, so that a case with a label map has these too, and
    before its other formats, which can be made from it.

    Args:
        folder: output folder.
        predictor: the bundle that segmented the cases.
        labels: labels to keep; the others become background.
        formats: writes other formats.
        largest_component: keep only the largest connected component of each label.
        remove_small: remove connected components of each label below this volume, in mm³.
        probabilities: write probabilities too.
        statistics: measure the labels too.
        preview: draw a picture too.
    """

    folder: Path
    predictor: Predictor
    labels: Collection[int]
    formats: FormatWriter
    largest_component: bool = False
    remove_small: float | None = None
    probabilities: bool = False
    statistics: bool = False
    preview: bool = False

    def write(
        self, case: InputCase, data: Data, before_label_map: Callable[[], object] | None = None
    ) -> tuple[list[LabelStatistics], FormatReport]:
        """Write the results of a case.

        Args:
            case: the case.
            data: its `image` and, as `pred`, its logits (K, D, H, W), both on the network's grid; its `scan`.
            before_label_map: called before the label map is written; an error leaves the earlier one.

        Returns:
            The statistics, empty unless they are requested; what happened to the other formats.
        """
        if self.probabilities:
            self.write_probabilities(case, data)
        restored: MetaTensor = self.predictor.restore(data)["pred"]
        affine = restored.affine.numpy()
        labels = keep_labels(restored.as_tensor()[0].cpu().numpy(), self.labels)
        voxel_mm3 = 1000 * voxel_volume_ml(affine)
        keep_components(labels, largest=self.largest_component, smallest_mm3=self.remove_small, voxel_mm3=voxel_mm3)
        rows: list[LabelStatistics] = []
        if self.statistics or self.preview:
            image = load_on_grid(case, channels=len(data["image"]), grid_of=self.predictor.grid_of)["image"]
            if self.statistics:
                channels = [channel.numpy() for channel in image.as_tensor()]
                rows = label_statistics(labels, channels, affine=affine, label_names=self.label_names, case=case.name)
            if self.preview:
                self.draw_preview(case, image, MetaTensor(torch.from_numpy(labels)[None], affine=restored.affine))
        path = self.folder / f"{case.name}.nii.gz"
        if before_label_map is not None:
            before_label_map()
        self.discard(case.name)  # also where only the label map was removed: formats that exist are not written again
        source = grid_source(case, self.predictor.grid_of)
        write_labels(labels, path, reference=source, affine=affine, structures=self.formats.structures)
        return rows, self.formats.write(case, labels, affine, data.get("scan"))

    def discard(self, case: str) -> None:
        """Remove the files of a case that were made with an earlier label map."""
        self.formats.discard(case)
        if not self.preview:
            preview_path(self.folder, case).unlink(missing_ok=True)
        if not self.probabilities:
            probabilities_path(self.folder, case).unlink(missing_ok=True)

    @property
    def label_names(self) -> dict[int, str]:
        """The names of the labels that are kept, by number."""
        return {label: name for label, name in self.predictor.label_names.items() if label in self.labels}

    def write_probabilities(self, case: InputCase, data: Data) -> None:
        """Write `probabilities/<case>.nii.gz`."""
        logits = data["pred"]
        are_classes = self.predictor.regions is None and len(logits) > 1
        path = probabilities_path(self.folder, case.name)
        write_probabilities(logits, data["image"].affine, path, are_classes=are_classes)

    def draw_preview(self, case: InputCase, image: MetaTensor, prediction: MetaTensor) -> None:
        """Draw `<case>.png`."""
        draw_preview(
            preview_path(self.folder, case.name),
            image,
            prediction,
            label_names=self.label_names,
            title=case.name,
            window=self.predictor.window,
        )


def output_files(folder: Path, case: str) -> list[Path]:
    """Return every file that a prediction may write, replace or remove for a case, its label map first."""
    formats = [format_path(folder, case, name) for name in FOLDERS]
    return [folder / f"{case}.nii.gz", preview_path(folder, case), probabilities_path(folder, case), *formats]


def preview_path(folder: Path, case: str) -> Path:
    """Return the file of the picture of a case."""
    return folder / f"{case}.png"


def probabilities_path(folder: Path, case: str) -> Path:
    """Return the file of the probabilities of a case."""
    return folder / "probabilities" / f"{case}.nii.gz"


def draw_preview(
    path: Path,
    image: MetaTensor,
    prediction: MetaTensor,
    *,
    label_names: Mapping[int, str],
    title: str,
    window: tuple[float, float] | None,
) -> None:
    """Draw the first channel of an image (C, X, Y, Z) and its labels (1, X, Y, Z); see `draw_case`."""
    from hybridseg.app.figures.case import draw_case

    first = MetaTensor(image.as_tensor()[:1], affine=image.affine)
    draw_case(path, image=first, prediction=prediction, label_names=label_names, title=title, window=window)


def load_on_grid(
    case: InputCase, *, channels: int, grid_of: int = 0, labels: Path | None = None
) -> dict[str, MetaTensor]:
    """Load the image of a case, (C, X, Y, Z), with all channels on the grid of one of them.

    Args:
        case: the case.
        channels: number of channels of its image.
        grid_of: the channel, from 0, whose grid is used.
        labels: file of a label map on that grid, loaded too.

    Returns:
        The volumes `image` and, if given, `labels`.

    Raises:
        VolumeError: a file cannot be read, or the label map is on another grid.
    """
    order = list(range(len(case.images)))
    if len(order) > 1:
        order.insert(0, order.pop(grid_of))
    entry: dict[Hashable, Any] = {
        "image": [InputCase(case.name, (case.images[index],)).entry["image"] for index in order]
    }
    if labels is not None:
        entry["labels"] = str(labels)
    load = LoadVolumed(
        ["image", "labels"], label_keys=["labels"], channels=channels, allow_missing_keys=True, one_grid=False
    )
    loaded = JoinChannelsd("image", "labels", air=[None] * channels)(load(entry))
    image: MetaTensor = loaded["image"]
    loaded["image"] = image[[order.index(index) for index in range(len(order))]] if len(order) > 1 else image
    return {str(name): volume for name, volume in loaded.items()}


def write_probabilities(logits: torch.Tensor, affine: torch.Tensor, path: Path, *, are_classes: bool) -> None:
    """Write the probabilities of all classes or regions, from logits (K, D, H, W), as NIfTI (D, H, W, K).

    They are written in steps of 1/65535 and stay on the network's grid, since they would need gigabytes on the file's.
    Viewers use the affine to overlay them on the image. They are computed slice by slice, to save memory.
    """
    steps = torch.empty((*logits.shape[1:], len(logits)), dtype=torch.uint16)
    for index in range(logits.shape[1]):
        part = logits[:, index].float()
        probabilities = part.softmax(0) if are_classes else part.sigmoid()
        steps[index] = (probabilities.movedim(0, -1) / PROBABILITY_STEP).round().to(torch.uint16)
    image = nib.Nifti1Image(steps.numpy(), affine.numpy())
    image.header.set_slope_inter(PROBABILITY_STEP, 0)
    image.header.set_xyzt_units("mm")
    with replacing(path, suffix=".nii.gz") as temporary:
        nib.save(image, temporary)
