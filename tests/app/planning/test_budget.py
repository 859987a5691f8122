"""Which network, patch and spacing is trained in a given time, and for how many steps; all costs are given."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from hybridseg.app.planning.budget import (
    MARGIN,
    Candidate,
    Schedule,
    Workload,
    choose,
    divide,
    estimate,
    list_candidates,
    measure_and_choose,
    schedule_within,
    show_time,
)
from hybridseg.app.planning.training_cost import TrainingCost

from .test_planner import fingerprint

COST = TrainingCost(
    bytes=10**9,
    step_seconds=0.9,
    data_seconds=0.1,
    validation_seconds=0.5,
    preparation_seconds=0.0,
    preparation_bytes=10**8,
    start_seconds=40.0,
)
WORK = Workload(training=80, validation=20)
CARDIAC = fingerprint((1.5, 1.5, 10.0), (324.0, 384.0, 90.0), labelled=(104.0, 96.0, 90.0))
SMALL, TINY = (Candidate((1.0,) * 3, preset, (40, 56, 40), 61250) for preset in ("small", "tiny"))


def fit(seconds: float, work: Workload = WORK, cost: TrainingCost = COST, most_steps: int = 5000) -> Schedule:
    return schedule_within(seconds, cost, work, most_steps=most_steps, batch_size=2)


@pytest.mark.parametrize("seconds", [120.0, 600.0, 3600.0, 1e9])
@pytest.mark.parametrize("cases", [(1, 1), (80, 20), (5000, 10)])
def test_training_ends_within_the_time_and_with_a_validation(seconds: float, cases: tuple[int, int]) -> None:
    work = Workload(training=cases[0], validation=cases[1])
    schedule = fit(seconds, work)
    assert work.seconds(COST, schedule.steps, schedule.validations) <= seconds * (1 - MARGIN)
    assert schedule.epochs % schedule.val_interval == 0
    per_epoch = math.ceil((schedule.samples_per_epoch or work.training) / 2)
    assert schedule.steps == per_epoch * schedule.epochs
    assert 10 <= schedule.epochs <= 200
    assert schedule.steps >= 0.9 * min(5000, work.steps_within(seconds, COST))


def test_no_more_steps_are_made_than_are_of_use() -> None:
    assert fit(1e9).steps == 5000
    assert fit(1e9).validations == 25


def test_few_steps_are_left_out_where_validations_do_not_divide_them() -> None:
    assert divide(2910, 3, 30, 2).steps == 2910


def test_validations_take_a_tenth_of_the_time() -> None:
    assert fit(1000.0).validations < fit(3000.0).validations < 25
    assert fit(600.0, replace(WORK, validation=500)).validations == 1


def test_epoch_is_a_pass_over_the_cases_unless_that_is_too_few_or_many() -> None:
    assert fit(3600.0).samples_per_epoch is None
    assert fit(3600.0, replace(WORK, training=5000)).samples_per_epoch == 2 * 59
    assert fit(3600.0, replace(WORK, training=2)).samples_per_epoch == 2 * 59


def test_too_little_time_is_an_error_that_says_how_much_is_needed() -> None:
    rule = r"hours: 0.01: must be at least 0.022: a training needs 40 s to start and to prepare 100 cases, 10 s to"
    with pytest.raises(ValueError, match=rule):
        fit(36.0)
    assert fit(0.022 * 3600).steps >= 15


@pytest.mark.parametrize("step_seconds", [0.01, 0.9, 60.0])
@pytest.mark.parametrize("validation_seconds", [0.001, 0.5, 60.0])
def test_time_that_an_error_advises_is_enough(step_seconds: float, validation_seconds: float) -> None:
    cost = replace(COST, step_seconds=step_seconds, validation_seconds=validation_seconds)
    with pytest.raises(ValueError, match="must be at least") as error:
        fit(1.0, cost=cost)
    (hours,) = re.findall(r"at least ([\d.]+)", str(error.value))
    assert fit(3600 * float(hours), cost=cost).steps > 0


def test_gpu_computes_while_data_is_loaded() -> None:
    assert replace(WORK, on_gpu=True).step_seconds(COST) == 0.9
    assert WORK.step_seconds(COST) == 1.0
    slow = replace(COST, data_seconds=3.6)
    assert [replace(WORK, on_gpu=True, loaders=loaders).step_seconds(slow) for loaders in (0, 1, 2)] == [3.6, 3.6, 1.8]


def test_cases_are_prepared_one_by_one_where_each_needs_all_memory() -> None:
    cost = replace(COST, preparation_seconds=10.0)
    needy = replace(cost, preparation_bytes=10**15)
    assert WORK.fixed_seconds(needy) == 1040.0
    assert WORK.fixed_seconds(replace(cost, bytes=10**15)) == WORK.fixed_seconds(cost)


def test_patch_shrinks_to_the_labels_then_the_network_then_the_grid() -> None:
    candidates = list_candidates(CARDIAC, {})
    assert (candidates[0].preset, candidates[0].patch_size) == ("base", (224, 256, 10))
    presets = list(dict.fromkeys((candidate.spacing, candidate.preset) for candidate in candidates))
    fine, coarser, coarsest = (1.5, 1.5, 10.0), (2.25, 2.25, 10.0), (3.0, 3.0, 10.0)
    large = [(grid, preset) for grid in (fine, coarser) for preset in ("base", "light", "tiny")]
    assert presets == [*large, (coarsest, "small"), (coarsest, "tiny")]
    smallest = [candidate for candidate in candidates if (candidate.spacing, candidate.preset) == (fine, "light")][-1]
    assert smallest.patch_size == (96, 80, 10)  # a quarter more than the heart


def test_small_volumes_are_not_made_smaller() -> None:
    candidates = list_candidates(fingerprint(), {})
    assert [(candidate.preset, candidate.patch_size) for candidate in candidates] == [
        ("small", (40, 56, 40)),
        ("tiny", (40, 56, 40)),
    ]


def test_given_settings_stay() -> None:
    given = {"preset": "small", "spacing": [2.0, 2.0, 10.0], "patch_size": (64, 64, 8)}
    (candidate,) = list_candidates(CARDIAC, given)
    assert (candidate.preset, candidate.spacing, candidate.patch_size) == ("small", (2.0, 2.0, 10.0), (64, 64, 8))


@pytest.mark.parametrize(("seconds", "preset"), [(2000.0, "small"), (1000.0, "tiny"), (60.0, "tiny")])
def test_network_is_the_best_with_enough_steps(seconds: float, preset: str) -> None:
    choice = choose([SMALL, TINY], {SMALL: COST}, WORK, seconds=seconds, memory=10**10)
    assert choice.preset == preset


def test_networks_that_need_too_much_memory_are_not_chosen() -> None:
    assert choose([SMALL, TINY], {SMALL: COST}, WORK, seconds=1e6, memory=8 * 10**8) == TINY
    assert choose([SMALL, TINY], {SMALL: None, TINY: COST}, WORK, seconds=1e6, memory=10**10) == TINY
    with pytest.raises(ValueError, match=r"memory: 0.001 GB: too little for the smallest network and patch: raise it"):
        choose([SMALL, TINY], {SMALL: COST}, WORK, seconds=1e6, memory=10**6)


def test_cost_grows_with_patch_network_and_volume() -> None:
    half = replace(SMALL, patch_size=(40, 28, 40), volume=SMALL.volume // 2)
    expected = estimate(half, {SMALL: COST})
    assert expected == replace(
        COST,
        bytes=COST.bytes // 2,
        step_seconds=COST.step_seconds / 2,
        data_seconds=COST.data_seconds / 2,
        validation_seconds=COST.validation_seconds / 2,
        preparation_bytes=COST.preparation_bytes // 2,
    )
    cheaper = estimate(TINY, {SMALL: COST})
    assert cheaper is not None
    assert cheaper.step_seconds < COST.step_seconds
    assert cheaper.data_seconds == COST.data_seconds


def test_what_ran_out_of_memory_does_so_with_larger_patches() -> None:
    larger = replace(SMALL, patch_size=(80, 80, 80))
    assert estimate(larger, {SMALL: None, TINY: COST}) is None


def test_choice_is_measured_until_it_stays() -> None:
    measured = []

    def measure(candidate: Candidate) -> TrainingCost:
        measured.append(candidate)
        return COST if candidate == TINY else replace(COST, step_seconds=20.0)

    choice, costs = measure_and_choose([SMALL, TINY], measure, WORK, seconds=5000.0, memory=10**10)
    assert choice == TINY  # since small was slower than estimated
    assert measured == list(costs) == [TINY, SMALL]


def test_device_without_memory_for_the_smallest_is_an_error() -> None:
    rule = "memory: 10 GB: the device ran out of memory with the smallest network and patch"
    with pytest.raises(ValueError, match=rule):
        measure_and_choose([SMALL, TINY], lambda candidate: None, WORK, seconds=5000.0, memory=10**10)


def test_only_a_few_candidates_are_measured() -> None:
    candidates = [replace(SMALL, patch_size=(8 * edge, 56, 40)) for edge in range(40, 4, -1)]
    costs: dict[Candidate, TrainingCost | None] = {}

    def measure(candidate: Candidate) -> TrainingCost:
        costs[candidate] = cost = replace(COST, step_seconds=candidate.patch_voxels ** (1 + 0.1 * len(costs)) / 1e6)
        return cost

    choice, _ = measure_and_choose(candidates, measure, WORK, seconds=1000.0, memory=10**12)
    assert choice in costs
    assert len(costs) <= 6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (89.0, "89 s"), (180.0, "3.0 minutes"), (7200.0, "2.0 hours"), (6e5, "6.9 days")],
)
def test_times_are_shown_in_a_unit_that_suits_them(seconds: float, text: str) -> None:
    assert show_time(seconds) == text
