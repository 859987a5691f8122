"""Make the decisions of a plan, with costs that are measured on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from hybridseg.app.bundling.writer import configure, template_for
from hybridseg.app.runtime.console import hides_bars
from hybridseg.app.runtime.machine import choose_device, device_name
from hybridseg.app.runtime.options import parse_size
from hybridseg.app.runtime.threads import available_processors
from hybridseg.transforms.datasets.dataset import Dataset
from hybridseg.transforms.io.json_files import read_json

from .budget import Workload
from .case_fingerprint import CaseFingerprint
from .dataset_fingerprint import summarise_cases
from .options import PlanOptions
from .planner import Decision, Measure, Planner
from .step_cost import StepCost, measure_step
from .timing import TimePlanner, Timing
from .training_cost import TrainingCost, measure_training, typical_cases


def make_decisions(
    dataset: Dataset, sound: Sequence[CaseFingerprint], folds: Sequence[Sequence[str]], options: PlanOptions
) -> tuple[dict[str, Decision], Timing]:
    """Make the decisions, measuring training steps and a short training on the device of the options.

    Args:
        dataset: the dataset, with the channels and regions of the options.
        sound: its cases without problems.
        folds: the names of each fold's cases.
        options: how to plan.

    Raises:
        ValueError: labels do not suit a network, even the smallest patch needs too much memory, or no training ends
            within the hours of the options.
    """
    device, facts = choose_device(options.device), summarise_cases(sound)
    template = template_for({"regions": dataset.regions} if dataset.regions else {})
    work = Workload(
        training=sum(map(len, folds[1:])),
        validation=len(folds[0]),
        on_gpu=device.type == "cuda",
        loaders=min(read_json(template / "configs" / "train.json")["num_workers"], available_processors()),
    )
    memory = parse_size(memory=options.memory)
    with tqdm(desc="measuring a training step", unit="patch", leave=False, disable=hides_bars()) as bar:

        def configured(settings: Mapping[str, Any]) -> dict[str, Any]:
            bar.set_postfix_str(" x ".join(map(str, settings["patch_size"])))
            return configure("train.json", {**settings, "device": f"$torch.device('{device}')"})

        def measure(settings: Mapping[str, Any]) -> StepCost | None:
            labels = len(settings.get("regions", [0]))
            cost = measure_step(configured(settings), channels=settings["channels"], label_channels=labels)
            bar.update()
            return cost

        def short_training(decisions: Mapping[str, Decision]) -> TrainingCost | None:
            settings = {name: decision.value for name, decision in decisions.items()} | {"rois": dict(dataset.rois)}
            cost = measure_training(configured(settings), dataset.folder, typical_cases(sound))
            bar.update()
            return cost

        def planner(given: Mapping[str, Any], reasons: Mapping[str, str], measure: Measure = no_cost) -> Planner:
            return Planner(
                dataset, facts, training=work.training, memory=memory, measure=measure, given=given, reasons=reasons
            )

        times = TimePlanner(
            make_planner=planner,
            measure=short_training,
            work=work,
            facts=facts,
            given=options.given,
            memory=memory,
            device=f"{device.type} ({device_name(device)})",
        )
        if options.hours is not None:
            return times.plan_within(3600 * options.hours)
        # A given patch leaves nothing to choose: the short training measures its step too.
        decisions = planner(options.given, {}, no_cost if "patch_size" in options.given else measure).plan()
        return decisions, times.time_plan(decisions)


def no_cost(settings: Mapping[str, Any]) -> StepCost:
    """Stand in for a measurement where the patch is given or chosen by time."""
    return StepCost(0, 0.0)
