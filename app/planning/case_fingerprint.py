"""What is kept of a labelled case: its grid, its intensities, its labels, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LEVELS = np.linspace(0, 1, 201)
"""Of the quantiles that are kept: 0 to 100 % in steps of 0.5 %."""

Triple = tuple[float, float, float]
"""A number for each of the patient's axes right, anterior, superior."""


@dataclass(frozen=True, kw_only=True)
class ChannelFingerprint:
    """Intensities of a channel, in the unit of its file (HU for CT).

    Args:
        voxels: how many are labelled.
        mean: over the labelled voxels, as are `deviation`, `minimum`, `maximum`; None where there are none.
        quantiles: 201 of them, 0 to 100 % in steps of 0.5 %, over the labelled voxels; empty where there are none.
        body_mean: over the voxels of the body; None where there are none.
        body_deviation: likewise.
    """

    voxels: int
    mean: float | None
    deviation: float | None
    minimum: float | None
    maximum: float | None
    quantiles: tuple[float, ...]
    body_mean: float | None
    body_deviation: float | None


@dataclass(frozen=True, kw_only=True)
class LabelFingerprint:
    """A label of a case.

    Args:
        voxels: with the label.
        millilitres: their volume.
        components: pieces, connected by faces.
        extent_mm: edges of the box around all of them.
    """

    voxels: int
    millilitres: float
    components: int
    extent_mm: Triple


@dataclass(frozen=True, kw_only=True)
class CaseFingerprint:
    """A labelled case, measured; `dataclasses.asdict` makes it ready for JSON.

    What could not be read is left at its default.

    Args:
        case: its name.
        faults: what is wrong with it, each in a line; empty for a case to train on.
        shape: voxels along right, anterior, superior, as the pipelines see them.
        spacing: voxel size along the same axes, in mm.
        orientation: of the axes in the image's file, such as `LPS`.
        oblique: largest angle in degrees between an axis of the file and the nearest axis of the patient.
        channels: their intensities.
        labels: those that are there, by number, without the background.
        image_hash: of the image's voxels, turned as the pipelines see them: equal for copies under two names.
        content_margin: share of the volume that lies in the box around the body.
    """

    case: str
    faults: tuple[str, ...] = ()
    shape: tuple[int, int, int] | None = None
    spacing: Triple | None = None
    orientation: str = ""
    oblique: float = 0.0
    channels: tuple[ChannelFingerprint, ...] = ()
    labels: Mapping[int, LabelFingerprint] = field(default_factory=dict)
    image_hash: str = ""
    content_margin: float | None = None

    @property
    def is_sound(self) -> bool:
        """Whether the case can be trained on."""
        return not self.faults

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> CaseFingerprint:
        """The fingerprint that `dataclasses.asdict` and JSON made this record of.

        Raises:
            TypeError, KeyError, ValueError: the record is something else.
        """
        labels = {int(label): LabelFingerprint(**_with_tuples(one)) for label, one in record["labels"].items()}
        channels = tuple(ChannelFingerprint(**_with_tuples(one)) for one in record["channels"])
        return cls(**{**_with_tuples(record), "labels": labels, "channels": channels})


def _with_tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with tuples in place of JSON's lists."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
