"""Choose spacing, network and patch so that a training ends within a time, and learns most in it.

The first steps of a training gain most (docs/ablation/LOG.md), and a cheaper candidate makes more of them. So the
candidates are tried in order, the best with unlimited time first and the cheapest last; the first that can make enough
steps in the time is taken. First the patch shrinks, down to one that holds the labels of a typical case; then the
network; then the voxels grow.

What a candidate costs is estimated from those that were measured before; the one that is chosen is measured itself,
until the choice stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybridseg.app.training.prepared import workers
from hybridseg.networks import PRESETS
from hybridseg.networks.validation import Triple, triple

from .dataset_fingerprint import DatasetFingerprint
from .planner import MOST_VALIDATIONS, STEPS
from .topology import LARGE, is_large, least_patch, patch_sizes, plan_downsampling, target_spacing, typical_shape
from .training_cost import TrainingCost

ENOUGH = 0.15
"""Share of a preset's `STEPS` that makes it worth its cost: after it, `small` is 0.005 below its final Dice."""
COST: Mapping[str, float] = {"tiny": 0.7, "small": 1.0, "light": 0.8, "base": 1.3}
"""Time of a step relative to that of `small` with the same patch (docs/ablation/LOG.md): a first guess."""
LADDERS: Mapping[bool, Sequence[str]] = {True: ("base", "light", "tiny"), False: ("small", "tiny")}
"""The presets to choose from for volumes that are large, or not; the best first."""
COARSER = (1.0, 1.5, 2.0)
"""A voxel's edges are at least so many times its shortest edge in the dataset; the best first."""
MARGIN = 0.1
"""Share of the time that is left for what is not measured, such as writing checkpoints."""
VALIDATING = 0.1
"""Share of the time that validations may take, apart from the one at the end."""
FEWEST_STEPS = 20
FEWEST_EPOCHS, MOST_EPOCHS, EPOCHS = 20, 200, 50
"""An epoch is a pass over the training cases if that makes such a number of epochs; otherwise there are `EPOCHS`."""
MOST_TRIALS = 6
"""Candidates that are measured, at most."""


@dataclass(frozen=True)
class Candidate:
    """What could be trained.

    Attributes:
        spacing: along right, anterior, superior, in mm.
        preset: name of the network.
        patch_size: in voxels.
        volume: voxels of a typical volume on the grid of this spacing.
    """

    spacing: tuple[float, ...]
    preset: str
    patch_size: Triple
    volume: int

    @property
    def patch_voxels(self) -> int:
        """Number of voxels of a patch."""
        return math.prod(self.patch_size)

    @property
    def enough_steps(self) -> int:
        """Steps that make it worth its cost."""
        return round(ENOUGH * STEPS[self.preset])


def list_candidates(facts: DatasetFingerprint, given: Mapping[str, Any]) -> list[Candidate]:
    """List what could be trained on a dataset, the best with unlimited time first.

    Args:
        facts: what was measured of the dataset.
        given: `spacing`, `preset` and `patch_size`, where the user has chosen them.
    """
    found = []
    for spacing in [tuple(given["spacing"])] if "spacing" in given else spacings(facts):
        shape = typical_shape(facts.median_extent_mm, spacing)
        for preset in [given["preset"]] if "preset" in given else LADDERS[is_large(shape)]:
            stride = plan_downsampling(spacing, shape, len(PRESETS[preset].channels)).total
            least = least_patch(facts.median_labelled_mm, spacing, shape, stride)
            larger = [size for size in patch_sizes(shape, spacing, stride) if size != least and covers(size, least)]
            patches = [triple(given["patch_size"], "patch_size")] if "patch_size" in given else [*larger[::-1], least]
            found += [Candidate(spacing, preset, patch, math.prod(shape)) for patch in patches]
    return found


def spacings(facts: DatasetFingerprint) -> Iterator[tuple[float, ...]]:
    """Yield the planned spacing, and coarser ones as long as a typical volume keeps `LARGE` voxels along two axes."""
    planned = target_spacing(facts.median_spacing, facts.fine_spacing)
    for factor in COARSER:
        spacing = tuple(max(edge, float(f"{factor * min(planned):.3g}")) for edge in planned)
        if factor == 1 or sorted(typical_shape(facts.median_extent_mm, spacing))[1] >= LARGE:
            yield spacing


def covers(patch: Triple, least: Triple) -> bool:
    """Return whether a patch is at least as long as another along every axis."""
    return all(edge >= enough for edge, enough in zip(patch, least, strict=True))


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What a training does, whatever is trained.

    Attributes:
        training: number of training cases.
        validation: number of validation cases.
        on_gpu: whether data is loaded while the device computes.
        loaders: processes that load it then.
    """

    training: int
    validation: int
    on_gpu: bool = False
    loaders: int = 1

    def step_seconds(self, cost: TrainingCost) -> float:
        """Return the time of a step with its data. On a CPU, loading and computing share the cores."""
        if self.on_gpu:
            return max(cost.step_seconds, cost.data_seconds / max(1, self.loaders))
        return cost.step_seconds + cost.data_seconds

    def validation_seconds(self, cost: TrainingCost) -> float:
        """Return the time of a validation."""
        return cost.validation_seconds * self.validation

    def fixed_seconds(self, cost: TrainingCost) -> float:
        """Return the time to start and to prepare all cases."""
        seconds = cost.preparation_seconds * (self.training + self.validation)
        return cost.start_seconds + seconds / max(1, workers(seconds, cost.preparation_bytes))

    def seconds(self, cost: TrainingCost, steps: int, validations: int) -> float:
        """Return the time of a training."""
        own = steps * self.step_seconds(cost) + validations * self.validation_seconds(cost)
        return self.fixed_seconds(cost) + own

    def validations_within(self, seconds: float, cost: TrainingCost) -> int:
        """Return how many validations a training of some time has."""
        room = VALIDATING * (seconds * (1 - MARGIN) - self.fixed_seconds(cost))
        return max(1, min(MOST_VALIDATIONS, math.floor(room / self.validation_seconds(cost))))

    def steps_within(self, seconds: float, cost: TrainingCost) -> int:
        """Return how many steps fit into a time beside its validations and the margin; below 0 if the rest does not."""
        rest = self.seconds(cost, 0, self.validations_within(seconds, cost))
        return math.floor((seconds * (1 - MARGIN) - rest) / self.step_seconds(cost))


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long to train.

    Attributes:
        steps: number of steps.
        epochs: number of epochs.
        samples_per_epoch: cases drawn in an epoch; None for each training case once.
        val_interval: epochs from one validation to the next; the last is at the end.
    """

    steps: int
    epochs: int
    samples_per_epoch: int | None
    val_interval: int

    @property
    def validations(self) -> int:
        """Number of validations."""
        return self.epochs // self.val_interval


def schedule_within(
    seconds: float, cost: TrainingCost, work: Workload, *, most_steps: int, batch_size: int
) -> Schedule:
    """Return the longest schedule that fits into a time.

    Args:
        seconds: the time.
        cost: what the training costs.
        work: its cases.
        most_steps: number of steps that are enough in any case.
        batch_size: cases in a step.

    Raises:
        ValueError: fewer than `FEWEST_STEPS` steps fit.
    """
    if work.steps_within(seconds, cost) < FEWEST_STEPS:
        steps = FEWEST_STEPS * work.step_seconds(cost)
        own = max(steps + work.validation_seconds(cost), steps / (1 - VALIDATING))
        least = round_up((work.fixed_seconds(cost) + own) / (1 - MARGIN) / 3600)
        start, cases = show_time(work.fixed_seconds(cost)), work.training + work.validation
        needed = (
            f"{start} to start and to prepare {cases} cases, {show_time(work.validation_seconds(cost))} to validate"
        )
        raise ValueError(f"hours: {seconds / 3600:g}: must be at least {least:g}: a training needs {needed}")
    steps = min(most_steps, work.steps_within(seconds, cost))
    return divide(steps, work.validations_within(seconds, cost), work.training, batch_size)


def divide(steps: int, validations: int, training: int, batch_size: int) -> Schedule:
    """Divide steps into epochs, of which the last ends with a validation."""
    per_epoch, samples = math.ceil(training / batch_size), None
    if not FEWEST_EPOCHS <= steps / per_epoch <= MOST_EPOCHS:
        per_epoch = math.ceil(steps / EPOCHS)
        samples = per_epoch * batch_size
    epochs = steps // per_epoch
    shortest = math.ceil(epochs / validations)
    interval = min(range(shortest, 2 * shortest), key=lambda length: epochs % length)  # leaves out the fewest epochs
    epochs -= epochs % interval
    return Schedule(steps=epochs * per_epoch, epochs=epochs, samples_per_epoch=samples, val_interval=interval)


def choose(
    candidates: Sequence[Candidate],
    costs: Mapping[Candidate, TrainingCost | None],
    work: Workload,
    *,
    seconds: float,
    memory: int,
) -> Candidate:
    """Choose the first candidate of which enough steps fit into a time, or else the one with most steps.

    Args:
        candidates: the best with unlimited time first.
        costs: what was measured; None where memory ran out. At least one is measured.
        work: cases of the training.
        seconds: the time.
        memory: bytes that a step may need.

    Raises:
        ValueError: no candidate fits into the memory.
    """
    steps = {}
    for candidate in candidates:
        cost = estimate(candidate, costs)
        if cost is None or cost.bytes > memory:
            continue
        steps[candidate] = work.steps_within(seconds, cost)
        if steps[candidate] >= candidate.enough_steps:
            return candidate
    if not steps:
        rule = "too little for the smallest network and patch: raise it"
        raise ValueError(f"memory: {memory / 1e9:g} GB: {rule}")
    return max(steps, key=steps.__getitem__)


def estimate(candidate: Candidate, costs: Mapping[Candidate, TrainingCost | None]) -> TrainingCost | None:
    """Return what a candidate costs: as measured, or estimated from the most similar one that was measured.

    Time and memory of a step grow with the voxels of a patch and with what a preset computes for each. The time of a
    validation, and time and memory to prepare a case, grow with the voxels of the volume.

    Returns:
        The cost; None if memory ran out with it, or with a smaller patch of the same network.
    """
    if candidate in costs:
        return costs[candidate]
    size = candidate.patch_voxels
    for known, cost in costs.items():
        if cost is None and known.preset == candidate.preset and known.patch_voxels <= size:
            return None
    measured = [(known, cost) for known, cost in costs.items() if cost is not None]

    def distance(item: tuple[Candidate, TrainingCost]) -> tuple[bool, bool, float]:
        known = item[0]
        voxels = abs(math.log(size / known.patch_voxels))
        return known.preset != candidate.preset, known.spacing != candidate.spacing, voxels

    known, cost = min(measured, key=distance)
    network = COST[candidate.preset] / COST[known.preset]
    patch, volume = size / known.patch_voxels, candidate.volume / known.volume
    return replace(
        cost,
        bytes=round(cost.bytes * patch * network),
        step_seconds=cost.step_seconds * patch * network,
        data_seconds=cost.data_seconds * patch,
        validation_seconds=cost.validation_seconds * volume * network,
        preparation_seconds=cost.preparation_seconds * volume,
        preparation_bytes=round(cost.preparation_bytes * volume),
    )


def measure_and_choose(
    candidates: Sequence[Candidate],
    measure: Callable[[Candidate], TrainingCost | None],
    work: Workload,
    *,
    seconds: float,
    memory: int,
) -> tuple[Candidate, dict[Candidate, TrainingCost | None]]:
    """Choose a candidate, and measure it, until the choice has been measured.

    Returns:
        The choice, and all that was measured.

    Raises:
        ValueError: no candidate fits into the memory.
    """
    choice = min(candidates, key=lambda candidate: COST[candidate.preset] * candidate.patch_voxels)
    costs = {choice: measure(choice)}
    if costs[choice] is None:
        rule = "the device ran out of memory with the smallest network and patch"
        raise ValueError(f"memory: {memory / 1e9:g} GB: {rule}")
    while True:
        choice = choose(candidates, costs, work, seconds=seconds, memory=memory)
        if choice in costs:
            return choice, costs
        if len(costs) == MOST_TRIALS:
            candidates = [candidate for candidate in candidates if candidate in costs]
        else:
            costs[choice] = measure(choice)


def show_time(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for unit, length in {"days": 86400, "hours": 3600, "minutes": 60}.items():
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def round_up(hours: float) -> float:
    """Round hours up to two digits."""
    digit = 10.0 ** (math.floor(math.log10(hours)) - 1)
    return round(math.ceil(hours / digit) * digit, 12)
