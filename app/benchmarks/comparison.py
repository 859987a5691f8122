"""What trainings at an equal budget gave, and their comparison case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from scipy.stats import ttest_rel

from hybridseg.app.runtime.console import align


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What became of a training: the Dice of each validation case, mean over its labels, or an error in a line."""

    network: str
    seed: int
    steps: int = 0
    parameters: int = 0
    dice: Mapping[str, float] | None = None
    error: str | None = None

    def __str__(self) -> str:
        what = f"Dice {fmean(self.dice.values()):.4f}" if self.dice else f"failed: {self.error}"
        return f"{self.network}, seed {self.seed}, {self.steps} steps: {what}"


def by_case(outcomes: Sequence[TrainingResult]) -> dict[str, float]:
    """The Dice of each case, mean over the seeds."""
    scores = [outcome.dice for outcome in outcomes if outcome.dice]
    return {case: fmean(score[case] for score in scores) for case in (scores[0] if scores else {})}


def done(outcomes: Sequence[TrainingResult]) -> set[int]:
    """The seeds of the trainings that did not fail."""
    return {outcome.seed for outcome in outcomes if outcome.dice}


def compare(outcomes: Mapping[str, Sequence[TrainingResult]], seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """What the trainings of each network gave beside those of the first, best first.

    Args:
        outcomes: trainings by network; a network without any is left out.
        seconds: of a step of each network.

    Returns:
        For each network its `parameters`, `steps`, `seeds`, mean `dice`, and by how much the first network is better
        with the same seeds: the mean `difference` over the cases and its 95 % `interval` by the paired t-test on each
        case's mean over the seeds, which holds what other cases would change, and not what other seeds would.
    """
    first = next(iter(outcomes))
    records = []
    for name in outcomes:
        if not outcomes[name]:
            continue
        cases = by_case(outcomes[name])
        record: dict[str, Any] = {
            "network": name,
            "parameters": outcomes[name][0].parameters,
            "seconds_per_step": seconds[name],
            "steps": outcomes[name][0].steps,
            "seeds": [outcome.seed for outcome in outcomes[name]],
            "dice": fmean(cases.values()),
            "difference": None,
            "interval": None,
        }
        seeds = done(outcomes[first]) & done(outcomes[name])
        if name != first and seeds:
            reference, other = (by_case([o for o in outcomes[each] if o.seed in seeds]) for each in (first, name))
            ours, theirs = zip(*((reference[case], other[case]) for case in reference), strict=True)
            record["difference"] = fmean(ours) - fmean(theirs)
            if len(ours) > 1:
                interval = ttest_rel(ours, theirs).confidence_interval(0.95)
                record["interval"] = [float(interval.low), float(interval.high)]
        records.append(record)
    return sorted(records, key=lambda record: -record["dice"])


def table(records: Sequence[Mapping[str, Any]], reference: str) -> str:
    """The records as text."""
    header = ["network", "parameters", "step", "steps", "seeds", "Dice", f"{reference} is better by", "95 % interval"]
    rows = [header]
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
