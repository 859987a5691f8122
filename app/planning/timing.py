"""Plan a training for a given time, or say how long a plan takes and what less time would change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .budget import (
    MARGIN,
    VALIDATING,
    Candidate,
    Schedule,
    Workload,
    choose,
    estimate,
    list_candidates,
    measure_and_choose,
    schedule_within,
    show_time,
)
from .dataset_fingerprint import DatasetFingerprint
from .planner import STEPS, Decision, Planner
from .step_cost import memory_error
from .topology import typical_shape
from .training_cost import TrainingCost

SHORTER = {"half": 1 / 2, "a quarter": 1 / 4, "a tenth": 1 / 10}
"""Shares of a plan's time for which the plan says what would change."""
LONG = 86400
"""Seconds from which a plan recommends a time, of `RECOMMENDED` hours."""
RECOMMENDED = 24

MakePlanner = Callable[[Mapping[str, Any], Mapping[str, str]], Planner]
"""From given settings and their reasons to a planner."""
MeasureTraining = Callable[[Mapping[str, Decision]], TrainingCost | None]
"""From decisions to what the training costs; None if memory ran out."""


@dataclass(frozen=True, kw_only=True)
class Shorter:
    """What a plan would be for less time; estimated.

    Attributes:
        seconds: the time.
        steps: number of steps.
        spacing: in mm.
        preset: name of the network.
        patch_size: in voxels.
    """

    seconds: float
    steps: int
    spacing: Sequence[float]
    preset: str
    patch_size: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a training is expected to take, and why.

    Attributes:
        device: on which it was measured.
        seconds: expected time of a training.
        steps: number of steps.
        validations: number of validations.
        step_seconds: time of a step with its data.
        validation_seconds: time of a validation.
        start_seconds: time to start and to prepare all cases.
        enough_steps: number of steps that makes the preset worth its cost.
        budget_seconds: the time that was given; None if none was.
        shorter: what less time would change, by share of the time.
        recommended_hours: hours to try instead, if this plan takes more than a day.
    """

    device: str
    seconds: float
    steps: int
    validations: int
    step_seconds: float
    validation_seconds: float
    start_seconds: float
    enough_steps: int
    budget_seconds: float | None = None
    shorter: Mapping[str, Shorter] = field(default_factory=dict)
    recommended_hours: float | None = None

    def record(self) -> dict[str, Any]:
        """Return the timing as it stands in `plan.json`."""
        return asdict(self)

    @property
    def explained(self) -> str:
        """The expected time and its parts, in a sentence."""
        validations = f"{self.validations} validation{'s' if self.validations > 1 else ''}"
        parts = (
            f"{self.steps} steps of {self.step_seconds:.2g} s, {validations} of {show_time(self.validation_seconds)}"
        )
        start = f"{show_time(self.start_seconds)} to start and to prepare the cases"
        return f"{parts}, and {start} take {show_time(self.seconds)} for each fold on {self.device}."


@dataclass(frozen=True, kw_only=True)
class TimePlanner:
    """Makes plans whose costs are measured.

    Args:
        make_planner: makes the planner of a candidate.
        measure: measures what a training costs.
        work: cases of the training.
        facts: what was measured of the dataset.
        given: settings that the user has chosen, by name.
        memory: bytes that a step may need.
        device: name of the device on which costs are measured.
    """

    make_planner: MakePlanner
    measure: MeasureTraining
    work: Workload
    facts: DatasetFingerprint
    given: Mapping[str, Any]
    memory: int
    device: str

    def plan_within(self, seconds: float) -> tuple[dict[str, Decision], Timing]:
        """Make the decisions for a training that ends within a time.

        Raises:
            ValueError: no training fits into the time or the memory.
        """
        candidates = list_candidates(self.facts, self.given)

        def measure(candidate: Candidate) -> TrainingCost | None:
            return self.measure(self.make_planner(settings_of(candidate), {}).plan())

        choice, costs = measure_and_choose(candidates, measure, self.work, seconds=seconds, memory=self.memory)
        cost = costs[choice]
        assert cost is not None
        own = settings_of(choice)
        if choice.spacing == candidates[0].spacing:
            del own["spacing"]  # which the planner chooses and explains itself
            if choice.preset == candidates[0].preset:
                del own["preset"]
        batch_size = self.make_planner(settings_of(choice), {}).plan()["batch_size"].value
        most = STEPS[choice.preset]
        schedule = schedule_within(seconds, cost, self.work, most_steps=most, batch_size=batch_size)
        timing = self.time_of(choice, cost, schedule.steps, schedule.validations)
        reasons = self.explain(choice, candidates, costs, seconds)
        reasons["max_epochs"] = f"{timing.explained} {left_over(seconds, timing, most)}"
        best = f"The best of {timing.validations} validations" if timing.validations > 1 else "The only validation"
        reasons["val_interval"] = (
            f"{best} chooses the weights that are kept; they may take {VALIDATING:.0%} of the time."
        )
        own |= {"max_epochs": schedule.epochs, "val_interval": schedule.val_interval} | dict(self.given)
        own_reasons = {name: reason for name, reason in reasons.items() if name not in self.given}
        decisions = self.make_planner(own, own_reasons).plan() | whole_schedule(schedule, batch_size)
        return decisions, replace(timing, budget_seconds=seconds)

    def time_plan(self, decisions: Mapping[str, Decision]) -> Timing:
        """Return how long a plan takes that was made without a given time, and what less time would change.

        Raises:
            ValueError: memory ran out, or a step with a given patch needs more than it may.
        """
        cost = self.measure(decisions)
        value = {name: decision.value for name, decision in decisions.items()}
        if cost is None or ("patch_size" in self.given and cost.bytes > self.memory):
            raise memory_error(self.memory, value["patch_size"], cost.bytes if cost else None)
        shape = typical_shape(self.facts.median_extent_mm, value["spacing"])
        plan = Candidate(tuple(value["spacing"]), value["preset"], tuple(value["patch_size"]), math.prod(shape))
        steps = value["max_epochs"] * math.ceil(self.work.training / value["batch_size"])
        timing = self.time_of(plan, cost, steps, value["max_epochs"] // value["val_interval"])
        candidates, costs = [plan, *list_candidates(self.facts, self.given)], {plan: cost}

        def within(seconds: float) -> Shorter:
            choice = choose(candidates, costs, self.work, seconds=seconds, memory=self.memory)
            expected = estimate(choice, costs)
            assert expected is not None
            fitting = max(0, min(STEPS[choice.preset], self.work.steps_within(seconds, expected)))
            return Shorter(seconds=seconds, steps=fitting, **settings_of(choice))

        shorter = {share: within(part * timing.seconds) for share, part in SHORTER.items()}
        if timing.seconds <= LONG:
            return replace(timing, shorter=shorter)
        return replace(timing, shorter=shorter, recommended_hours=RECOMMENDED)

    def time_of(self, plan: Candidate, cost: TrainingCost, steps: int, validations: int) -> Timing:
        """Return the expected time of a training."""
        return Timing(
            device=self.device,
            seconds=self.work.seconds(cost, steps, validations),
            steps=steps,
            validations=validations,
            step_seconds=self.work.step_seconds(cost),
            validation_seconds=self.work.validation_seconds(cost),
            start_seconds=self.work.fixed_seconds(cost),
            enough_steps=plan.enough_steps,
        )

    def explain(
        self,
        choice: Candidate,
        candidates: Sequence[Candidate],
        costs: Mapping[Candidate, TrainingCost | None],
        seconds: float,
    ) -> dict[str, str]:
        """Return why a candidate was chosen: by the steps of it and of the next better one that fit into the time."""

        def steps(candidate: Candidate) -> str:
            cost = estimate(candidate, costs)
            if cost is None or cost.bytes > self.memory:
                return "would need too much memory, by estimate"
            number = max(0, self.work.steps_within(seconds, cost))
            return f"would get {number} steps and needs {candidate.enough_steps}"

        better = candidates[: candidates.index(choice)]
        cost = costs[choice]
        assert cost is not None
        fitting = self.work.steps_within(seconds, cost)
        enough = "enough" if fitting >= choice.enough_steps else "too few"
        fits = f"{fitting} steps fit into {show_time(seconds)}, {enough} for preset {choice.preset}"
        reasons = {"preset": f"{fits}.", "patch_size": f"{fits}; the patch is the largest that is planned."}
        if patches := [other for other in better if (other.spacing, other.preset) == (choice.spacing, choice.preset)]:
            shown = " x ".join(map(str, patches[-1].patch_size))
            reasons["patch_size"] = f"{fits}; the next larger patch, {shown}, {steps(patches[-1])}."
        if presets := [other for other in better if (other.spacing, other.preset) != (choice.spacing, choice.preset)]:
            finer = "" if presets[-1].spacing == choice.spacing else " on the finer grid"
            reasons["preset"] = f"{fits}; {presets[-1].preset}{finer} {steps(presets[-1])}."
        if choice.spacing != candidates[0].spacing:
            planned = " x ".join(f"{edge:g}" for edge in candidates[0].spacing)
            reasons["spacing"] = f"Coarser than planned without a given time, {planned} mm, where too few steps fit."
        return reasons


def settings_of(candidate: Candidate) -> dict[str, Any]:
    """Return the settings of a candidate."""
    return {
        "preset": candidate.preset,
        "spacing": list(candidate.spacing),
        "patch_size": list(candidate.patch_size),
    }


def left_over(seconds: float, timing: Timing, most_steps: int) -> str:
    """Return why a given time is not used as a whole, in a sentence."""
    if timing.steps > 0.9 * most_steps:
        return f"The rest of {show_time(seconds)} is not used: more steps are not expected to improve the result."
    return f"{MARGIN:.0%} of {show_time(seconds)} are left for what is not measured."


def whole_schedule(schedule: Schedule, batch_size: int) -> dict[str, Decision]:
    """Return the decisions by which a training follows its schedule to the end."""
    reason = (
        "As many as there are validations: the learning rate reaches 0 before early stopping could end the training."
    )
    decisions = [Decision("patience", schedule.validations, reason)]
    if schedule.samples_per_epoch is not None:
        steps = schedule.samples_per_epoch // batch_size
        reason = f"{steps} steps per epoch, since a pass over all cases would make too few or too many epochs."
        decisions.append(Decision("samples_per_epoch", schedule.samples_per_epoch, reason))
    return {decision.name: decision for decision in decisions}


def describe_timing(timing: Timing, command: str) -> list[str]:
    """Return lines about the expected time.

    Args:
        timing: the expected time.
        command: the command that plans, to which `--hours` is added.
    """
    lines = [timing.explained]
    if timing.budget_seconds is not None and timing.steps < timing.enough_steps:
        least = f"for at least {timing.enough_steps} steps"
        lines.append(f"{timing.steps} steps are few: allow more time if you can, {least}")
    for share, plan in timing.shorter.items():
        grid, patch = (" x ".join(f"{value:g}" for value in values) for values in (plan.spacing, plan.patch_size))
        network = f"preset {plan.preset}, patch {patch}, spacing {grid} mm"
        lines.append(f"{share} of it, {show_time(plan.seconds)}: about {plan.steps} steps, {network}")
    if timing.recommended_hours is not None:
        lines.append(f"recommended: {command} --hours {timing.recommended_hours:g}")
    return lines
