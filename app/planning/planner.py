"""Decide how a bundle for a dataset is configured: each value with its reason in a sentence.

The rules and thresholds are those of nnU-Net (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z) unless
another reason is given. A decision has the name of the key in the configuration that takes its value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hybridseg.networks import PRESETS
from hybridseg.networks.validation import Triple
from hybridseg.transforms.datasets.dataset import Dataset
from hybridseg.transforms.datasets.names import mirror_pairs
from hybridseg.transforms.modalities import MODALITIES, SUV_HIGHEST, SUV_UNIT
from hybridseg.transforms.regions import Regions, own_labels, region_labels

from .dataset_fingerprint import DatasetFingerprint
from .step_cost import StepCost, largest_that_fits
from .topology import (
    FEWEST_VOXELS,
    is_anisotropic,
    is_large,
    patch_sizes,
    plan_downsampling,
    target_spacing,
    typical_shape,
)

SAMPLES = 2
"""Patches in a training step."""
CROP_BELOW = 0.75
"""Share of a volume that the body's bounding box fills, below which the rest is cropped."""
MARGIN = 8
"""Voxels kept around the body."""
STEPS = {"tiny": 5000, "small": 7500, "light": 20000, "base": 25000}
"""Training steps by preset: more have not gained anything so far (docs/BENCHMARKS.md)."""
MOST_EPOCHS = 1000
MOST_VALIDATIONS = 25
WINDOW_REASON = "99 % of the labelled voxels lie between these HU, which are scaled to -1 and 1."
NORMALISED = {
    "CT": "CT: HU mean the same in every volume, so all are scaled by one window.",
    "PET": f"PET: SUV mean the same too; they are clipped to 0 to {SUV_HIGHEST:g} and divided by {SUV_UNIT:g}.",
    "MRI": "MRI: intensities have no unit, so each volume is z-scored over the voxels of the body.",
}
"""How the channels of each modality are normalised, and why."""

Measure = Callable[[Mapping[str, Any]], StepCost | None]
"""From settings to the cost of a training step; None if memory ran out."""


@dataclass(frozen=True)
class Decision:
    """A value of the configuration.

    Attributes:
        name: the key that takes the value.
        value: the value.
        reason: why, in a sentence.
    """

    name: str
    value: Any
    reason: str


class Planner:
    """Makes one decision after the other, each from the dataset and the decisions before it.

    Args:
        dataset: channels, label names and regions of the dataset.
        fingerprint: what was measured of its cases.
        training: number of training cases, which leaves out one fold.
        memory: bytes that a training step may need.
        measure: measures what a step with given settings costs.
        given: settings that replace decisions, by name.
        reasons: why a given setting has its value, by name; it is the user's if there is no reason.

    Attributes:
        decisions: by name, in the order in which they were made.
    """

    def __init__(
        self,
        dataset: Dataset,
        fingerprint: DatasetFingerprint,
        *,
        training: int,
        memory: int,
        measure: Measure,
        given: Mapping[str, Any] | None = None,
        reasons: Mapping[str, str] | None = None,
    ) -> None:
        self.dataset = dataset
        self.fingerprint = fingerprint
        self.training = training
        self.memory = memory
        self.measure = measure
        self.given = dict(given or {})
        self.reasons = dict(reasons or {})
        self.decisions: dict[str, Decision] = {}

    def plan(self) -> dict[str, Decision]:
        """Make all decisions.

        Raises:
            ValueError: a region has no label of its own, or even the smallest patch does not fit into the memory.
        """
        steps = (self.labels, self.intensities, self.grid, self.network, self.patch, self.augmentation, self.schedule)
        for step in steps:
            step()
        return self.decisions

    def decide(self, name: str, value: Any, reason: str) -> Any:
        """Record a decision, unless the value is given, and return the value."""
        if name in self.given:
            value, reason = self.given[name], self.reasons.get(name, "Given by the user.")
        self.decisions[name] = Decision(name, value, reason)
        return value

    def __getitem__(self, name: str) -> Any:
        return self.decisions[name].value

    def labels(self) -> None:
        """Decide which labels or regions the network segments."""
        listed = self.dataset.label_values
        numbers = sorted(listed if listed is not None else self.fingerprint.labels)
        names = {label: f"label_{label}" for label in numbers} | merged_names(self.dataset.regions)
        names |= self.dataset.label_names
        source = "regions" if self.dataset.regions else "label maps"
        unnamed = f"The numbers found in the {source}, since the dataset does not name its labels."
        self.decide("label_names", names, "Named by the dataset." if self.dataset.label_names else unnamed)
        if self.dataset.regions:
            region_labels(self.dataset.regions)  # which checks them
            regions = {name: list(labels) for name, labels in self.dataset.regions.items()}
            outside = sorted(set(numbers) - {label for labels in regions.values() for label in labels})
            rest = f" In no region, and so background: {', '.join(map(str, outside))}." if outside else ""
            self.decide("regions", regions, f"Regions may overlap, so each has its own output with a sigmoid.{rest}")
        if self.dataset.ignore_label is not None:
            reason = "The label of voxels without annotation: patches, loss and metrics leave them out."
            self.decide("ignore_label", self.dataset.ignore_label, reason)

    def intensities(self) -> None:
        """Decide how the intensities of each channel are normalised."""
        channels, modalities = self.dataset.channel_names, self.dataset.modalities
        self.decide("channels", len(channels), f"The channels of an image: {', '.join(channels)}.")
        if modalities == ("CT",):
            self.decide("modality", "CT", "The dataset names its channel CT, so intensities are HU in every volume.")
            self.decide("window", self.window(0), WINDOW_REASON)
            self.decide("padding", -1.0, "Small volumes are padded with air, which the window scales to -1.")
        elif set(modalities) == {"MRI"}:
            reason = "The channels are not named CT or PET, so each is z-scored over the voxels of the body."
            self.decide("modality", "MRI", reason)
            self.decide("padding", 0.0, "Small volumes are padded with the mean of the body, which is 0.")
        else:
            self.mixed_intensities(dict(zip(channels, modalities, strict=True)))

    def mixed_intensities(self, modalities: Mapping[str, str]) -> None:
        """Decide how channels of several modalities are normalised.

        Args:
            modalities: of each channel, by its name.
        """
        if len(modalities) < len(self.dataset.channel_names):
            names = ", ".join(self.dataset.channel_names)
            raise ValueError(f"channels: {names}: each must have a name of its own")
        kinds = list(dict.fromkeys(modalities.values()))
        self.decide("modality", " and ".join(kinds), "What the channels are by their names.")
        reason = f"Each channel is normalised by what it is. {' '.join(NORMALISED[kind] for kind in kinds)}"
        self.decide("modalities", dict(modalities), reason)
        windows = {name: self.window(index) for index, (name, kind) in enumerate(modalities.items()) if kind == "CT"}
        if windows:
            self.decide("windows", windows, WINDOW_REASON)
        padding = [MODALITIES[kind].padding for kind in modalities.values()]
        reason = (
            "Small volumes are padded, channel by channel, with air (-1 in CT, 0 in PET) or the mean of the body (MRI)."
        )
        self.decide("padding", padding, reason)

    def window(self, channel: int) -> list[int]:
        """Return the HU between which nearly all labelled voxels of a CT lie."""
        pooled = self.fingerprint.channels[channel]
        lowest = 10 * math.floor(pooled.percentile_0_5 / 10)
        highest = 10 * math.ceil(pooled.percentile_99_5 / 10)
        return [lowest, max(highest, lowest + 10)]  # all labelled voxels of a phantom may have one HU

    def grid(self) -> None:
        """Decide on the spacing, and whether volumes are cropped to the body."""
        median, fine = self.fingerprint.median_spacing, self.fingerprint.fine_spacing
        reason = "The median spacing of the dataset."
        if is_anisotropic(median):
            reason = "The median spacing of the dataset; across thick slices the 10th percentile."
        self.decide("spacing", list(target_spacing(median, fine)), reason)
        share = self.fingerprint.median_body_share
        if share < CROP_BELOW:
            reason = f"The body fills {share:.0%} of a volume: all else is cropped, except a margin of {MARGIN} voxels."
            self.decide("crop_margin", MARGIN, reason)
        else:
            self.decide("crop_margin", None, f"The body fills {share:.0%} of a volume: cropping would save little.")

    def shape(self) -> Triple:
        """Return the size of a typical volume on the network's grid, in voxels."""
        return typical_shape(self.fingerprint.median_extent_mm, self["spacing"])

    def network(self) -> None:
        """Decide on the preset, and on strides and kernels if voxels are not cubes."""
        shape = self.shape()
        stages = {name: len(preset.channels) for name, preset in PRESETS.items()}
        large = is_large(shape)
        shown, enough = " x ".join(map(str, shape)), "enough" if large else "too few"
        reason = f"A typical volume has {shown} voxels on this grid, {enough} for a fourth downsampling."
        preset = self.decide("preset", "base" if large else "small", reason)
        plan = plan_downsampling(self["spacing"], shape, stages[preset])
        self.stride = plan.total
        if not plan.is_isotropic:
            fine = "its voxels are less than twice as long as the shortest"
            reason = f"An axis is halved when {fine}, and it has at least {2 * FEWEST_VOXELS} of them."
            self.decide("strides", plan.strides, reason)
            reason = "No convolution along an axis whose voxels are at least twice as long as the shortest."
            self.decide("kernels", plan.kernels, reason)
            self.decide("stem_kernel", plan.stem_kernel, "The same rule at full resolution.")

    def patch(self) -> None:
        """Decide on the largest patch whose training step fits into the memory: measured, not estimated."""
        shape = self.shape()
        sizes = patch_sizes(shape, self["spacing"], self.stride)
        largest = sizes[-1]
        if "patch_size" in self.given:
            sizes = [self.given["patch_size"]]
        self.sampling(sizes[0], shape)
        best, cost = largest_that_fits(sizes, self.cost, self.memory)
        if best != largest:
            limit = "the next larger patch needs more"
        elif all(p >= n for p, n in zip(best, shape, strict=True)):
            limit = "the patch holds a whole volume"
        else:
            limit = "no larger patch is planned"
        used = f"A step needed {cost.bytes / 1e9:.2f} GB of {self.memory / 1e9:g} GB and {cost.seconds:.1f} s"
        self.decide("patch_size", list(best), f"{used}; {limit}.")
        self.sampling(best, shape)

    def sampling(self, patch: Triple, shape: Triple) -> None:
        """Decide from how many cases a step takes its patches, and how many from each."""
        covered = math.prod(min(n, p) / n for n, p in zip(shape, patch, strict=True))
        few = f"{SAMPLES} patches per step: each is normalised by itself, so few are enough and steps are short"
        if covered > 0.8:
            self.decide("batch_size", SAMPLES, f"{few}.")
            self.decide("patches", 1, "A patch covers nearly the whole volume.")
        else:
            self.decide("batch_size", 1, f"{few}; both come from one case.")
            self.decide("patches", SAMPLES, "A volume is loaded once for all patches of a step.")

    def cost(self, patch: Triple) -> StepCost | None:
        """Measure a step with a patch, and all that has been decided so far."""
        values = {name: decision.value for name, decision in self.decisions.items()}
        return self.measure(values | {"patch_size": list(patch)})

    def augmentation(self) -> None:
        """Decide how patches are mirrored and rotated."""
        names = (*self["label_names"].values(), *self.dataset.regions)
        if pairs := mirror_pairs(names):
            shown = " and ".join(pairs[0])
            reason = f"{shown} differ only in their side, so a mirrored volume would have wrong labels."
            self.decide("flip_axes", [], reason)
        else:
            self.decide("flip_axes", [0], "No two labels differ only in their side, so volumes may be mirrored.")
        self.decide("mirror_axes", self["flip_axes"], "The axes that training mirrors; prediction may mirror them too.")
        spacing = self["spacing"]
        if is_anisotropic(spacing):
            axis = spacing.index(max(spacing))
            rotation = [15.0 if other == axis else 0.0 for other in range(3)]
            self.decide("rotation", rotation, "Degrees; rotation within slices only, since the slices are thick.")
        else:
            reason = "Degrees; rotation about every axis, since no voxel edge is more than 3 times another."
            self.decide("rotation", [15.0] * 3, reason)

    def schedule(self) -> None:
        """Decide how long to train, and how often to validate."""
        per_epoch = math.ceil(self.training / self["batch_size"])
        steps = STEPS[self["preset"]]
        epochs = min(MOST_EPOCHS, max(1, round(steps / per_epoch)))
        reason = f"{epochs * per_epoch} steps, {per_epoch} per epoch (training cases: {self.training})."
        self.decide("max_epochs", epochs, reason)
        interval = max(1, epochs // MOST_VALIDATIONS)
        reason = f"The best of {epochs // interval} validations chooses the weights that are kept."
        self.decide("val_interval", interval, reason)


def merged_names(regions: Regions) -> dict[int, str]:
    """Return the name of each label that a region writes in place of several: that of the region."""
    return {labels[0]: name for name, labels in own_labels(regions).items() if len(labels) > 1}
