"""Options of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridseg.app.runtime.options import check_at_least, check_positive, parse_size
from hybridseg.networks import PRESETS
from hybridseg.transforms.datasets.patients import parse_patient
from hybridseg.transforms.io.masks import Rois


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of a plan, checked when they are made.

    Args:
        memory: what a training step may need beyond the weights, such as `8GB`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`, to measure training steps on.
        jobs: number of processes that measure cases; None for more of them the larger the files are.
        channels: names of the images' channels, in place of the dataset's; `CT` means HU, `PET` SUV.
        regions: the labels of each region, in place of the dataset's regions.
        rois: labels by pattern of ROI names, in place of the dataset's.
        folds: number of folds of the cross-validation; fewer if there are too few patients.
        patient: regular expression that finds the patient in the name of a case; None to recognise patients by common
            patterns of names.
        split_file: file with the folds, in place of folds drawn by the seed: a split file, or nnU-Net's
            `splits_final.json`.
        seed: of the folds and the training.
        spacing: along right, anterior, superior, in mm; None to plan it.
        patch: in voxels; None to plan it.
        preset: name of the network; None to plan it.
        hours: time in which a training of a fold is to end, on the device; None for a plan without a limit.

    Raises:
        ValueError: an option breaks its rule.
    """

    memory: str = "8GB"
    device: str = "auto"
    jobs: int | None = None
    channels: tuple[str, ...] = ()
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    rois: Rois = field(default_factory=dict)
    folds: int = 5
    patient: str | None = None
    split_file: Path | None = None
    seed: int = 0
    spacing: tuple[float, float, float] | None = None
    patch: tuple[int, int, int] | None = None
    preset: str | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        parse_size(memory=self.memory)
        parse_patient(self.patient)
        check_at_least(2, folds=self.folds)
        check_at_least(0, seed=self.seed)
        check_at_least(1, jobs=self.jobs)
        check_positive(spacing=self.spacing, patch=self.patch, hours=self.hours)
        if self.preset is not None and self.preset not in PRESETS:
            raise ValueError(f"preset: {self.preset!r}: must be one of {', '.join(PRESETS)}")

    @property
    def given(self) -> dict[str, Any]:
        """The decisions that the user has made, by key of the configuration."""
        chosen = {"spacing": self.spacing, "patch_size": self.patch, "preset": self.preset}
        return {name: value for name, value in chosen.items() if value is not None}
