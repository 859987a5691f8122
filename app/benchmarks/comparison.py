"""Results of trainings with an equal budget, and their comparison case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from scipy.stats import ttest_rel

from hybridseg.app.runtime.console import align

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """Result of a training.

    Attributes:
        network: name of the network.
        seed: seed of the training.
        steps: number of training steps.
        parameters: number of parameters of the network.
        dice: Dice of each validation case, mean over its labels; None if the training failed.
        error: why the training failed, in one line.
    """

    network: str
    seed: int
    steps: int = 0
    parameters: int = 0
    dice: Mapping[str, float] | None = None
    error: str | None = None

    def __str__(self) -> str:
        score = f"Dice {fmean(self.dice.values()):.4f}" if self.dice else f"failed: {self.error}"
        return f"{self.network}, seed {self.seed}, {self.steps} steps: {score}"


def mean_dice(results: Sequence[TrainingResult]) -> dict[str, float]:
    """Return the Dice of each case, mean over the seeds."""
    scores = [result.dice for result in results if result.dice]
    return {case: fmean(score[case] for score in scores) for case in (scores[0] if scores else {})}


def finished_seeds(results: Sequence[TrainingResult]) -> set[int]:
    """Return the seeds of the trainings that did not fail."""
    return {result.seed for result in results if result.dice}


def compare_networks(
    results: Mapping[str, Sequence[TrainingResult]], seconds: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Compare the trainings of each network with those of the first.

    Args:
        results: trainings by network; a network without trainings is ignored.
        seconds: time of a training step of each network.

    Returns:
        One record per network, the best first: `network`, `parameters`, `seconds_per_step`, `steps`, `seeds`, mean
        `dice`; and, over the seeds that both networks have, by how much the first network is better: the mean
        `difference` over the cases and its 95 % `interval` by the paired t-test on each case's mean over the seeds. The
        interval covers the choice of cases, not the choice of seeds.
    """
    reference = next(iter(results))
    records = []
    for name, trainings in results.items():
        if not trainings:
            continue
        difference, interval = (None, None) if name == reference else _paired(results[reference], trainings)
        records.append(
            {
                "network": name,
                "parameters": trainings[0].parameters,
                "seconds_per_step": seconds[name],
                "steps": trainings[0].steps,
                "seeds": [training.seed for training in trainings],
                "dice": fmean(mean_dice(trainings).values()),
                "difference": difference,
                "interval": interval,
            }
        )
    return sorted(records, key=lambda record: -record["dice"])


def _paired(
    reference: Sequence[TrainingResult], other: Sequence[TrainingResult]
) -> tuple[float | None, list[float] | None]:
    """Return how much better the reference is over the seeds that both have, and the interval; None without one."""
    seeds = finished_seeds(reference) & finished_seeds(other)
    if not seeds:
        return None, None
    expected, found = (mean_dice([one for one in results if one.seed in seeds]) for results in (reference, other))
    first, second = zip(*((expected[case], found[case]) for case in expected), strict=True)
    difference = fmean(first) - fmean(second)
    if len(first) == 1:
        return difference, None
    interval = ttest_rel(first, second).confidence_interval(CONFIDENCE)
    return difference, [float(interval.low), float(interval.high)]


def comparison_table(records: Sequence[Mapping[str, Any]], reference: str) -> str:
    """Return the records of a comparison as text."""
    rows = [["network", "parameters", "step", "steps", "seeds", "Dice", f"{reference} is better by", "95 % interval"]]
    for record in records:
        low, high = record["interval"] or (None, None)
        rows.append(
            [
                record["network"],
                f"{record['parameters'] / 1e6:.2f} M",
                f"{record['seconds_per_step']:.3f} s",
                str(record["steps"]),
                str(len(record["seeds"])),
                f"{record['dice']:.4f}",
                "" if record["difference"] is None else f"{record['difference']:+.4f}",
                "" if low is None else f"{low:+.4f} to {high:+.4f}",
            ]
        )
    return "\n".join(align(rows))
