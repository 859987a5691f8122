"""What a bundle for a dataset should be: each value of its configuration, with the reason in a sentence.

After nnU-Net (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z), with its thresholds where no other
reason is given. A decision is named as the key of the configuration that takes its value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hybridseg.networks import PRESETS
from hybridseg.networks.validation import Triple
from hybridseg.transforms.datasets.dataset import Dataset
from hybridseg.transforms.datasets.names import tells_sides
from hybridseg.transforms.regions import check_region_labels

from .dataset_fingerprint import DatasetFingerprint
from .step_cost import StepCost, largest_that_fits
from .topology import is_anisotropic, patch_sizes, plan_downsampling, target_spacing

SAMPLES = 2
"""Patches in a training step."""
LARGE = 64
"""Voxels along the shortest axis from which volumes are large."""
FULL = 0.75
"""Share of a volume within the body's bounding box below which the rest is cut away."""
MARGIN = 8
"""Voxels left around the body."""
STEPS = {"tiny": 5000, "small": 7500, "base": 25000}
"""Of a training, by preset."""
MOST_EPOCHS = 1000
VALIDATIONS = 25

Measure = Callable[[Mapping[str, Any]], StepCost | None]
"""From settings to what a training step costs; None where there was not memory enough."""


@dataclass(frozen=True)
class Decision:
    """A value of the configuration.

    Attributes:
        name: the key that takes it.
        value: what it takes.
        reason: a sentence.
    """

    name: str
    value: Any
    reason: str


class Planner:
    """Decides one thing after the other, each from the dataset and from what was decided before.

    Args:
        dataset: what the folder says.
        facts: what its volumes say.
        training: how many of the cases train, the others being a fold.
        memory: bytes that a training step may take.
        measure: tells what a step of given settings costs.
        given: settings that the user has decided.

    Attributes:
        decisions: by name, in the order in which they were made.
    """

    def __init__(
        self,
        dataset: Dataset,
        facts: DatasetFingerprint,
        *,
        training: int,
        memory: int,
        measure: Measure,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self.dataset = dataset
        self.facts = facts
        self.training = training
        self.memory = memory
        self.measure = measure
        self.given = dict(given or {})
        self.decisions: dict[str, Decision] = {}

    def plan(self) -> dict[str, Decision]:
        """Decide everything.

        Raises:
            ValueError: labels are missing in between, regions do not tell them apart, or not even the smallest patch
                fits into the memory.
        """
        for decide in (self.labels, self.intensities, self.grid, self.network, self.patch, self.moves, self.schedule):
            decide()
        return self.decisions

    def decide(self, name: str, value: Any, reason: str) -> Any:
        """Write down a decision, unless the user has made another."""
        if name in self.given:
            value, reason = self.given[name], "Given by the user."
        self.decisions[name] = Decision(name, value, reason)
        return value

    def __getitem__(self, name: str) -> Any:
        return self.decisions[name].value

    def labels(self) -> None:
        """What the network tells apart."""
        names = {label: self.dataset.label_names.get(label, f"label_{label}") for label in self.label_values()}
        source = "regions" if self.dataset.regions else "label maps"
        reason = f"Numbers of the {source}, as the dataset does not name them."
        self.decide("label_names", names, "The dataset's names." if self.dataset.label_names else reason)
        check_region_labels(sorted(names), self.dataset.regions)
        regions = {name: list(labels) for name, labels in self.dataset.regions.items()}
        if regions:
            self.decide("regions", regions, "Regions that overlap each have an output of their own, with a sigmoid.")

    def label_values(self) -> list[int]:
        """The labels without the background."""
        listed = self.dataset.label_values
        return sorted(listed if listed is not None else self.facts.labels)

    def intensities(self) -> None:
        """How intensities are normalised."""
        channels = self.dataset.channel_names
        self.decide("channels", len(channels), f"The channels of an image: {', '.join(channels)}.")
        if self.dataset.is_ct:
            self.decide("modality", "CT", "The dataset calls its channel CT: HU mean the same in every volume.")
            low, high = (getattr(self.facts.channels[0], share) for share in ("percentile_0_5", "percentile_99_5"))
            lowest = 10 * math.floor(low / 10)
            window = [lowest, max(10 * math.ceil(high / 10), lowest + 10)]  # of a phantom all may have one HU
            share = "Between these HU lie 99 % of the labelled voxels; they become -1 and 1."
            self.decide("window", window, share)
            self.decide("padding", -1.0, "Around a small volume there is air, as the window scales it.")
        else:
            reason = "Not CT by name, so intensities have no unit: each channel is z-scored over the body's voxels."
            self.decide("modality", "MRI", reason)
            self.decide("padding", 0.0, "Around a small volume there is the mean of the body.")

    def grid(self) -> None:
        """Spacing, and what is cut away."""
        facts = self.facts
        spacing = target_spacing(facts.median_spacing, facts.fine_spacing)
        reason = "The median voxel of the dataset."
        if is_anisotropic(facts.median_spacing):
            reason = "The median voxel of the dataset; along the axis of thick slices the finest tenth of the cases."
        self.decide("spacing", list(spacing), reason)
        filled = facts.median_content
        if filled < FULL:
            reason = f"The body fills {filled:.0%} of a volume: what is more than {MARGIN} voxels off is cut away."
            self.decide("crop_margin", MARGIN, reason)
        else:
            self.decide("crop_margin", None, f"The body fills {filled:.0%} of a volume: there is nothing to cut away.")

    def shape(self) -> Triple:
        """A typical volume on the network's grid, in voxels."""
        edges = zip(self.facts.median_extent_mm, self["spacing"], strict=True)
        depth, height, width = (max(1, round(extent / edge)) for extent, edge in edges)
        return depth, height, width

    def network(self) -> None:
        """Its size, strides and kernels."""
        shape = self.shape()
        stages = {name: len(preset.channels) for name, preset in PRESETS.items()}
        large = min(shape) >= LARGE or sorted(shape)[1] >= 2 * LARGE
        shown, enough = " x ".join(map(str, shape)), "enough" if large else "too few"
        reason = f"A typical volume has {shown} voxels on this grid, {enough} for a fourth halving."
        preset = self.decide("preset", "base" if large else "small", reason)
        plan = plan_downsampling(self["spacing"], shape, stages[preset])
        self.stride = plan.total
        if not plan.is_isotropic:
            reason = (
                "An axis is halved once its voxels are less than twice as long as the shortest, and it is long enough."
            )
            self.decide("strides", plan.strides, reason)
            reason = "No convolution along an axis whose voxels are twice as long as the shortest."
            self.decide("kernels", plan.kernels, reason)
            self.decide("stem_kernel", plan.stem_kernel, "The same at full resolution.")

    def patch(self) -> None:
        """The largest patch whose training step fits into the memory: measured, not estimated."""
        shape = self.shape()
        sizes = patch_sizes(shape, self["spacing"], self.stride)
        whole = sizes[-1]
        if "patch_size" in self.given:
            sizes = [self.given["patch_size"]]
        self.sampling(sizes[0], shape)
        best, cost = largest_that_fits(sizes, self.cost, self.memory)
        holds = all(p >= n for p, n in zip(best, shape, strict=True))
        largest = "it holds a volume" if holds else "none larger is planned"
        why = largest if best == whole else "the next larger would not fit"
        reason = f"Its step took {cost.bytes / 1e9:.2f} GB of {self.memory / 1e9:g} GB and {cost.seconds:.1f} s; {why}."
        self.decide("patch_size", list(best), reason)
        self.sampling(best, shape)

    def sampling(self, patch: Triple, shape: Triple) -> None:
        """How many patches a step takes, and from how many cases."""
        covers = math.prod(min(n, p) / n for n, p in zip(shape, patch, strict=True)) > 0.8
        few = f"{SAMPLES} patches a step: each is normalised by itself, so few suffice and leave time for more steps"
        if covers:
            self.decide("batch_size", SAMPLES, f"{few}.")
            self.decide("patches", 1, "A patch holds nearly the whole volume.")
        else:
            self.decide("batch_size", 1, f"{few}; they come from one case.")
            self.decide("patches", SAMPLES, "A volume is prepared once for all the patches of a step.")

    def cost(self, patch: Triple) -> StepCost | None:
        """What a step with a patch costs."""
        values = {name: decision.value for name, decision in self.decisions.items()}
        return self.measure(values | {"patch_size": list(patch)})

    def moves(self) -> None:
        """How patches are moved and mirrored."""
        names = (*self["label_names"].values(), *self.dataset.regions)
        sided = [name for name in names if tells_sides(name)]
        if sided:
            shown = ", ".join(sided[:2])
            reason = f"Left and right are told apart ({shown}): mirrored volumes would have wrong labels."
            self.decide("flip_axes", [], reason)
        else:
            self.decide("flip_axes", [0], "No label tells left from right: a mirrored volume is as good as another.")
        self.decide("mirror_axes", self["flip_axes"], "What training mirrors, prediction may mirror.")
        spacing = self["spacing"]
        if is_anisotropic(spacing):
            axis = spacing.index(max(spacing))
            rotation = [15.0 if other == axis else 0.0 for other in range(3)]
            self.decide("rotation", rotation, "Turned within the slices only, which are far apart.")
        else:
            reason = "Turned about every axis: no edge of a voxel is more than three times another."
            self.decide("rotation", [15.0] * 3, reason)

    def schedule(self) -> None:
        """How long it trains."""
        per_epoch = math.ceil(self.training / self["batch_size"])
        steps = STEPS[self["preset"]]
        epochs = min(MOST_EPOCHS, max(1, round(steps / per_epoch)))
        reason = f"{epochs * per_epoch} steps, {per_epoch} in an epoch (training cases: {self.training})."
        self.decide("max_epochs", epochs, reason)
        interval = max(1, epochs // VALIDATIONS)
        self.decide("val_interval", interval, f"{epochs // interval} validations choose the weights that are kept.")
        voxels = math.prod(self.shape())
        cached = self.facts.cases * voxels * 4 * (self["channels"] + 1)
        rate = min(1.0, math.floor(100 * self.memory / cached) / 100)
        reason = f"All prepared cases take about {cached / 1e6:,.0f} MB; they may take as much memory as a step."
        self.decide("cache_rate", rate, reason)
