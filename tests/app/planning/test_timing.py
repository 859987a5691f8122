"""Plans for a given time, and what a plan says about its time; all costs are given."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hybridseg.app.planning.budget import Workload
from hybridseg.app.planning.planner import Decision, Planner
from hybridseg.app.planning.step_cost import StepCost
from hybridseg.app.planning.timing import TimePlanner, describe_timing
from hybridseg.app.planning.training_cost import TrainingCost

from .test_budget import CARDIAC
from .test_planner import dataset

SECONDS_PER_VOXEL = {"base": 4e-6, "light": 2e-6, "small": 3e-6, "tiny": 1e-6}
WORK = Workload(training=128, validation=32)


def planner(given: Mapping[str, Any], reasons: Mapping[str, str]) -> Planner:
    def measure(settings: Mapping[str, Any]) -> StepCost:
        return StepCost(1, 0.0)

    return Planner(
        dataset(), CARDIAC, training=WORK.training, memory=10**10, measure=measure, given=given, reasons=reasons
    )


def measure(decisions: Mapping[str, Decision]) -> TrainingCost:
    seconds = SECONDS_PER_VOXEL[decisions["preset"].value] * math.prod(decisions["patch_size"].value)
    return TrainingCost(10**8, seconds, seconds / 10, 0.5, 0.2, 10**8, 30.0)


def times(**given: Any) -> TimePlanner:
    return TimePlanner(
        make_planner=planner,
        measure=measure,
        work=WORK,
        facts=CARDIAC,
        given=given,
        memory=10**10,
        device="cpu (test)",
    )


def test_plan_within_a_time_takes_what_is_worth_it_and_says_why() -> None:
    decisions, timing = times().plan_within(1200)
    value = {name: decision.value for name, decision in decisions.items()}
    assert (value["preset"], value["spacing"]) == ("light", [1.5, 1.5, 10.0])
    assert timing.enough_steps == 3000 <= timing.steps
    assert timing.budget_seconds == 1200
    assert timing.seconds < 1200
    assert value["patience"] == timing.validations == value["max_epochs"] // value["val_interval"]
    assert decisions["spacing"].reason.startswith("The median spacing of the dataset")
    assert re.search(r"enough for preset light; base would get \d+ steps and needs 3750\.", decisions["preset"].reason)
    assert "the next larger patch" in decisions["patch_size"].reason
    assert f"{timing.steps} steps of " in decisions["max_epochs"].reason
    assert "10% of 20.0 minutes are left" in decisions["max_epochs"].reason


def test_more_time_is_never_spent_on_a_cheaper_plan() -> None:
    chosen = [times().plan_within(3600 * hours)[0] for hours in (0.1, 0.3, 1, 4, 24, 240)]
    ladder = [("base", "light", "tiny").index(decisions["preset"].value) for decisions in chosen]
    assert ladder == sorted(ladder, reverse=True)
    assert ladder[0] > ladder[-1] == 0
    assert chosen[-1]["patch_size"].value == [224, 256, 10]
    assert "more steps are not expected to improve the result" in chosen[-1]["max_epochs"].reason


def test_little_time_takes_a_coarser_grid_and_says_that_it_is_little() -> None:
    decisions, timing = times().plan_within(85)
    assert decisions["spacing"].value == [3.0, 3.0, 10.0]
    assert decisions["spacing"].reason.startswith("Coarser than planned without a given time, 1.5 x 1.5 x 10 mm")
    few = f"{timing.steps} steps are few: allow more time if you can, for at least {timing.enough_steps} steps"
    assert few in describe_timing(timing, "hybridseg plan d -o b")[1]


def test_settings_of_the_user_stay() -> None:
    decisions, _ = times(preset="small", patch_size=[64, 64, 10]).plan_within(3600)
    assert (decisions["preset"].value, decisions["patch_size"].value) == ("small", [64, 64, 10])
    assert decisions["preset"].reason == decisions["patch_size"].reason == "Given by the user."


def test_plan_without_a_time_says_what_less_time_would_change() -> None:
    timing = times().time_plan(planner({}, {}).plan())
    assert timing.budget_seconds is None
    assert timing.seconds == pytest.approx(WORK.seconds(measure(planner({}, {}).plan()), timing.steps, 26))
    lines = describe_timing(timing, "hybridseg plan d -o b")
    parts = "25024 steps of 2.5 s, 26 validations of 16 s, and 46 s to start and to prepare the cases"
    assert lines[0] == f"{parts} take 17.7 hours for each fold on cpu (test)."
    assert lines[1].startswith("half of it, 8.8 hours: about 11")
    assert "a tenth of it" in lines[3]
    assert len(lines) == 4


def test_device_without_memory_for_the_plan_is_an_error() -> None:
    rule = "memory: 10 GB: must hold a step with the patch, .*, which needs more than the device has"
    with pytest.raises(ValueError, match=rule):
        replace(times(), measure=lambda decisions: None).time_plan(planner({}, {}).plan())


def test_given_patch_that_does_not_fit_is_an_error() -> None:
    needed = replace(measure(planner({}, {}).plan()), bytes=11 * 10**9)
    given = times(preset="small", patch_size=[64, 64, 10])
    with pytest.raises(ValueError, match=r"must hold a step with the patch, 64 x 64 x 10, which needs 11\.00 GB"):
        replace(given, measure=lambda decisions: needed).time_plan(planner(given.given, {}).plan())


def test_plan_of_more_than_a_day_recommends_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECONDS_PER_VOXEL, "base", 4e-5)
    timing = times().time_plan(planner({}, {}).plan())
    assert timing.recommended_hours == 24
    assert describe_timing(timing, "hybridseg plan d -o b")[-1] == "recommended: hybridseg plan d -o b --hours 24"
