"""Pictures of the same slices of a few validation cases: the prediction in colours, the reference in white outlines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from torch import Tensor

from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.structures import label_colours

PICTURE = "overlays.png"
CASES = 4
"""Validation cases that are drawn, the first ones."""
OPACITY = 0.35


@dataclass(frozen=True)
class Slice:
    """The slice of a case with the largest labelled area of the reference.

    Args:
        case: name of the case.
        image: first channel (X, Y), with axes to the right and anterior.
        reference: labels (X, Y), numbered from 1 in the order of their names.
        prediction: labels (X, Y).
        aspect: length of a voxel along Y, as a multiple of that along X.
    """

    case: str
    image: NDArray[Any]
    reference: NDArray[Any]
    prediction: NDArray[Any]
    aspect: float


class Overlays:
    """Collect slices of the first validation cases while they are validated.

    Args:
        labels: names of the channels of the prediction, without the background.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.slices: list[Slice] = []

    def attach(self, validator: Engine) -> None:
        """Register with the validator."""
        validator.add_event_handler(Events.STARTED, self.slices.clear)
        validator.add_event_handler(Events.ITERATION_COMPLETED, self.collect)

    def collect(self, validator: Engine) -> None:
        """Keep slices of the cases that were just validated."""
        output: Any = validator.state.output
        for case in output[: CASES - len(self.slices)]:
            self.slices.append(cut_slice(case, len(self.labels)))

    def draw(self, path: Path, title: str) -> None:
        """Draw the slices side by side.

        Raises:
            OSError: the picture cannot be written.
        """
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D

        names = [label.replace("_", " ") for label in self.labels]
        colours = label_colours(self.labels)
        width = max(6.0, 3.2 * len(self.slices))
        columns = max(1, int(width / (0.7 + 0.075 * max(map(len, names)))))  # inches of a mark, and of a letter
        height = 3.8 + 0.2 * math.ceil(len(names) / columns)
        figure = Figure(figsize=(width, height), layout="constrained")
        for axes, part in zip(figure.subplots(1, len(self.slices), squeeze=False).flat, self.slices, strict=True):
            axes.imshow(part.image.T, cmap="gray", origin="lower", aspect=part.aspect)
            for label, colour in enumerate(colours, start=1):
                if (predicted := part.prediction == label).any():
                    axes.contourf(predicted.T, levels=[0.5, 2], colors=[colour], alpha=OPACITY)
                if (wanted := part.reference == label).any():
                    axes.contour(wanted.T, levels=[0.5], colors=["white"], linewidths=0.8)
            axes.invert_xaxis()  # the patient's right is on the left
            axes.set_title(part.case, fontsize="small")
            axes.axis("off")
        marks = [Line2D([], [], color=colour, linewidth=5, alpha=0.7) for colour in colours]
        figure.legend(marks, names, loc="outside lower center", ncols=columns, fontsize="small")
        figure.suptitle(f"{title}; outlines: reference", fontsize="medium")
        with replacing(path, suffix=".png") as temporary:
            figure.savefig(temporary, dpi=100)


def cut_slice(case: Mapping[str, Any], labels: int) -> Slice:
    """Cut the axial slice with the largest labelled area out of a validated case.

    Args:
        case: `image` (C, X, Y, Z); `label` and `pred` with a channel for each label, after one of the background if the
            labels do not overlap.
        labels: number of labels.
    """
    covered = (case["label"][-labels:] > 0.5).any(0)
    index = int(covered.sum((0, 1)).argmax())
    image, label, prediction = (plain(case[key][..., index]) for key in ("image", "label", "pred"))
    spacing = getattr(case["image"], "pixdim", torch.ones(3))
    return Slice(
        case=str(case.get("case", "")),
        image=image[0].numpy(),
        reference=number_labels(label, labels).numpy(),
        prediction=number_labels(prediction, labels).numpy(),
        aspect=float(spacing[1] / spacing[0]),
    )


def plain(part: Any) -> Tensor:
    """Return a copy of a part of a volume on the CPU, without its metadata; the volume is not kept in memory."""
    return convert_to_tensor(part, device="cpu", track_meta=False).clone()


def number_labels(channels: Tensor, labels: int) -> Tensor:
    """Return the number of the last channel (K, X, Y) that covers each voxel (X, Y), from 1; 0 where none does."""
    numbers = torch.arange(1, labels + 1).view(-1, 1, 1)
    return ((channels[-labels:] > 0.5) * numbers).amax(0)
