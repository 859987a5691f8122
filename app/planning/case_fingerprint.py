"""What planning keeps of a labelled case: grid, intensities, label volumes, and problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LEVELS = np.linspace(0, 1, 201)
"""Levels of the quantiles that are kept: 0 to 100 % in steps of 0.5 %."""

FloatTriple = tuple[float, float, float]
"""A number for each of the patient's axes right, anterior, superior."""


@dataclass(frozen=True, kw_only=True)
class CaseFingerprint:
    """A measured case; `dataclasses.asdict` makes it ready for JSON. What could not be read keeps its default.

    Args:
        case: its name.
        problems: what is wrong with it, one line each; empty for a case to train on.
        shape: voxels along right, anterior, superior, as the pipelines see them.
        spacing: voxel size along the same axes, in mm.
        intensity_ranges: of each channel, 0.5th and 99.5th percentile over the whole volume, in the unit of the file.
        body_share: share of the volume that the bounding box of the body fills.
        label_volumes: volume of each label that occurs, in ml, without the background.
        labelled_voxels: number of voxels that have a label.
        labelled_extent: size of the box around them, along right, anterior, superior, in mm; None without any.
        quantiles: for each channel the quantiles of its labelled voxels at `LEVELS`, in the unit of the file (HU for
            CT); empty for a channel without labelled voxels.
        image_hash: digest of the image's voxels in the pipelines' orientation: equal for copies under two names.
    """

    case: str
    problems: tuple[str, ...] = ()
    shape: tuple[int, int, int] | None = None
    spacing: FloatTriple | None = None
    intensity_ranges: tuple[tuple[float, float], ...] = ()
    body_share: float | None = None
    label_volumes: Mapping[int, float] = field(default_factory=dict)
    labelled_voxels: int = 0
    labelled_extent: FloatTriple | None = None
    quantiles: tuple[tuple[float, ...], ...] = ()
    image_hash: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether the case can be used for training."""
        return not self.problems

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> CaseFingerprint:
        """Restore a fingerprint from what `dataclasses.asdict` and JSON made of it.

        Raises:
            TypeError, KeyError, ValueError: the record is something else.
        """
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in record.items()
        }
        values["label_volumes"] = {int(label): volume for label, volume in record["label_volumes"].items()}
        values["quantiles"] = tuple(map(tuple, record["quantiles"]))
        values["intensity_ranges"] = tuple(map(tuple, record["intensity_ranges"]))
        return cls(**values)
