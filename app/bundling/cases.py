"""The cases of a dataset that a bundle was validated or tested on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .config import label_rois, series_channels

if TYPE_CHECKING:
    from hybridseg.transforms.datasets.dataset import LabelledCase


def bundle_cases(bundle: Path, dataset: Path, subset: Literal["validation", "test"]) -> list[LabelledCase]:
    """Return the cases that the `split.json` of a bundle lists, if the dataset has any of them, or else all.

    Args:
        bundle: folder of the bundle.
        dataset: folder of labelled cases.
        subset: which of the listed cases.

    Raises:
        VolumeError: the dataset or the split file cannot be used, or the file lists none of its cases in the subset.
    """
    from hybridseg.transforms.datasets.splits import split_cases

    file = bundle / "configs" / "split.json"
    fractions = (0, 0, 1) if subset == "test" else (0, 1)
    return split_cases(
        dataset,
        file if file.is_file() else None,
        fractions=fractions,
        required=(subset,),
        rois=label_rois(bundle),
        channels=series_channels(bundle),
    )[subset]
