"""Decide postprocessing from out-of-fold predictions: which rules gain significantly on patients that did not choose.

nnU-Net keeps the largest component of a label where the mean Dice over all cases rises (Isensee et al. 2021). Here a
choice among several candidates is judged by cross-fitting: for each fold, the candidate that is best on the patients of
the other folds is applied to its patients. Their gains, which no choice has seen, are tested once; the candidate that
is best on all patients is kept where their mean is above 0 at a level of 5 %, divided by the number of labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, log10
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridseg.app.evaluation.metrics import mask_of
from hybridseg.app.labels.label_maps import LabelMap
from hybridseg.transforms.components import ComponentRule, find_components
from hybridseg.transforms.regions import Regions, region_labels

from .paired import SIGNIFICANT, paired_p, patient_means
from .split import Split

QUANTILES = (0.5, 0.9, 1.0)
"""Of the volumes of false components: the candidates for the smallest component."""


@dataclass(frozen=True)
class Part:
    """A label or a region to tune.

    Args:
        name: its name.
        labels: its labels.
        becomes: what its removed voxels become.
    """

    name: str
    labels: Sequence[int]
    becomes: int = 0


@dataclass(frozen=True)
class PartComponents:
    """The components of a part in the prediction of a case.

    Args:
        voxels: size of each component.
        annotated: voxels of each component where the reference is annotated, which the Dice counts.
        overlap: voxels of each component that are in the part in the reference too.
        reference: voxels of the part in the reference.
        voxel_mm3: volume of a voxel, in mm³.
    """

    voxels: NDArray[np.integer]
    annotated: NDArray[np.integer]
    overlap: NDArray[np.integer]
    reference: int
    voxel_mm3: float

    def dice(self, rule: ComponentRule | None = None) -> float:
        """Return the Dice of what a rule keeps; 1 if prediction and reference are both empty, and so agree."""
        kept = slice(None) if rule is None else ~rule.removed(self.voxels, self.voxel_mm3)
        predicted, common = int(self.annotated[kept].sum()), int(self.overlap[kept].sum())
        return 2 * common / (predicted + self.reference) if predicted + self.reference else 1.0


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A decision on one part.

    Args:
        part: name of the label or region.
        choice: the best candidate, as the config of a bundle has it; None if no candidate gains.
        gain: mean gain in Dice over patients that did not choose it.
        p: of a one-sided paired test of these gains.
        kept: whether the bundle follows it.
    """

    part: str
    choice: Mapping[str, Any] | float | None
    gain: float
    p: float
    kept: bool

    @classmethod
    def of(cls, part: str, choice: Mapping[str, Any] | float | None, gain: float, p: float, *, tests: int) -> Decision:
        """Keep a choice that gains significantly, where `tests` parts are tested at once (Bonferroni)."""
        kept = choice is not None and gain > 0 and p < SIGNIFICANT / tests
        return cls(part=part, choice=choice, gain=gain, p=p, kept=kept)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The postprocessing of a bundle, and how it was decided.

    Args:
        thresholds: decisions on the threshold of each region; empty without regions.
        components: decisions on the components of each label or region.
    """

    thresholds: Sequence[Decision] = field(default_factory=tuple)
    components: Sequence[Decision] = field(default_factory=tuple)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of `hybridseg.transforms.postprocessing` that are kept."""
        thresholds = {decision.part: decision.choice for decision in self.thresholds if decision.kept}
        components = [decision.choice for decision in self.components if decision.kept]
        return ({"thresholds": thresholds} if thresholds else {}) | ({"components": components} if components else {})


def list_parts(label_names: Mapping[int, str], regions: Regions | None) -> list[Part]:
    """List the regions or, without regions, the labels of a bundle."""
    if regions is None:
        return [Part(name, [label]) for label, name in label_names.items()]
    parts: list[Part] = []
    written = region_labels(regions)
    for name, labels in regions.items():
        around = [index for index, part in enumerate(parts) if set(labels) <= set(part.labels)]
        parts.append(Part(name, list(labels), written[around[-1]] if around else 0))
    return parts


def measure_components(
    prediction: LabelMap, reference: LabelMap, part: Part, voxel_mm3: float, ignore: int | None = None
) -> PartComponents:
    """Measure the components of a part of a prediction, and their overlap with the reference.

    Args:
        prediction: labels (X, Y, Z).
        reference: labels (X, Y, Z).
        part: the part.
        voxel_mm3: volume of a voxel, in mm³.
        ignore: label of voxels without annotation in the reference.
    """
    components, voxels = find_components(prediction, part.labels)
    wanted = mask_of(reference, part.labels)
    overlap = np.bincount(components[wanted], minlength=len(voxels) + 1)[1:]
    annotated = voxels
    if ignore is not None:
        annotated = voxels - np.bincount(components[reference == ignore], minlength=len(voxels) + 1)[1:]
    return PartComponents(voxels, annotated, overlap, int(wanted.sum()), voxel_mm3)


def decide_components(
    parts: Sequence[Part], measured: Mapping[str, Mapping[str, PartComponents]], split: Split
) -> list[Decision]:
    """Decide which components of each part are kept.

    Args:
        parts: the labels or regions.
        measured: components by part and case.
        split: folds and patients.
    """
    decisions = []
    for part in parts:
        cases = measured[part.name]
        rules = candidate_rules(part, cases.values())
        before = {case: found.dice() for case, found in cases.items()}
        index, gain, p = choose(
            before, [{case: found.dice(rule) for case, found in cases.items()} for rule in rules], split
        )
        choice = None if index is None else shown_rule(rules[index])
        decisions.append(Decision.of(part.name, choice, gain, p, tests=len(parts)))
    return decisions


def candidate_rules(part: Part, cases: Iterable[PartComponents]) -> list[ComponentRule]:
    """Return what to try: the largest component, and smallest volumes that remove part of the false components."""
    false = [
        size * case.voxel_mm3 for case in cases for size in case.voxels[(case.overlap == 0) & (case.annotated > 0)]
    ]
    volumes = {just_above(float(np.quantile(false, share))) for share in QUANTILES} if false else set()
    smallest = [ComponentRule(labels=part.labels, smallest_mm3=v, becomes=part.becomes) for v in sorted(volumes)]
    return [ComponentRule(labels=part.labels, largest=True, becomes=part.becomes), *smallest]


def just_above(volume: float) -> float:
    """Return the next larger number of two significant digits.

    Examples:
        >>> just_above(1234.0), just_above(8.0)
        (1300.0, 8.1)
    """
    step = 10.0 ** (floor(log10(volume)) - 1)
    return round((floor(volume / step + 1e-9) + 1) * step, 6)


def choose(
    before: Mapping[str, float], after: Sequence[Mapping[str, float]], split: Split
) -> tuple[int | None, float, float]:
    """Choose among candidates, and test the choice on patients that did not make it.

    Args:
        before: Dice of each case without any candidate.
        after: Dice of each case with each candidate.
        split: folds and patients.

    Returns:
        The index of the candidate with the best mean over all patients, None if none gains; the mean gain of
        cross-fitted choices; and its one-sided p value.
    """
    fold_of = {split.patients[case]: fold for case, fold in split.fold_of.items()}
    start = patient_means(before, split.patients)
    means = [patient_means(dice, split.patients) for dice in after]
    gains = [{patient: mean[patient] - value for patient, value in start.items()} for mean in means]
    unseen = []
    for fold in sorted({fold_of[patient] for patient in start}):
        chosen = best([patient for patient in start if fold_of[patient] != fold], gains)
        members = [patient for patient in start if fold_of[patient] == fold]
        unseen += [0.0 if chosen is None else gains[chosen][patient] for patient in members]
    return best([*start], gains), fmean(unseen or [0.0]), paired_p(unseen, "greater")


def best(patients: Sequence[str], gains: Sequence[Mapping[str, float]]) -> int | None:
    """Return the index of the candidate with the largest mean gain over some patients; None if none gains."""
    means = [fmean([gain[patient] for patient in patients] or [0.0]) for gain in gains]
    index = max(range(len(means)), key=means.__getitem__)
    return index if means[index] > 0 else None


def shown_rule(rule: ComponentRule) -> dict[str, Any]:
    """Return a rule as the config of a bundle has it: what differs from the defaults."""
    chosen = {"largest": rule.largest, "smallest_mm3": rule.smallest_mm3, "becomes": rule.becomes}
    return {"labels": list(rule.labels)} | {name: value for name, value in chosen.items() if value}
