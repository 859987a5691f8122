"""A configuration: a bundle, or several as one, with its out-of-fold predictions; and the choice among several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybridseg.app.bundling.config import ignore_label, label_parts
from hybridseg.app.evaluation.metrics import LabelScore
from hybridseg.app.runtime.failed_cases import CaseFailures
from hybridseg.transforms.datasets.dataset import LabelledCase

from .out_of_fold import OutOfFold, score_maps
from .paired import SIGNIFICANT
from .scores import compare
from .split import Split
from .tuning import Tuning


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A way to segment, measured out of fold.

    Args:
        name: its name.
        members: the bundles whose networks it averages; usually one.
        predictions: its out-of-fold predictions, as the networks made them.
        tuning: the postprocessing that was decided.
        maps: label map of each case with this postprocessing.
        scores: of these label maps.
    """

    name: str
    members: Sequence[Path]
    predictions: OutOfFold
    tuning: Tuning
    maps: Mapping[str, Path]
    scores: Sequence[LabelScore]


def measure_configuration(
    name: str,
    members: Sequence[Path],
    predictions: Sequence[Path],
    output: Path,
    *,
    split: Split,
    cases: Mapping[str, LabelledCase],
    tolerance: float,
    failures: CaseFailures,
) -> Configuration:
    """Decide the postprocessing of a configuration, and score it.

    Args:
        name: its name.
        members: its bundles.
        predictions: folder of the label maps of each fold.
        output: folder for the label maps with postprocessing.
        split: folds and patients.
        cases: cases by name.
        tolerance: of the surface Dice, in mm.
        failures: collects the cases that cannot be measured.
    """
    label_names, regions = label_parts(members[0])
    ignore = ignore_label(members[0])
    out_of_fold = OutOfFold(
        cases=cases,
        folders=predictions,
        split=split,
        label_names=label_names,
        regions=regions,
        ignore=ignore,
        failures=failures,
    )
    tuning = out_of_fold.tune()
    maps = out_of_fold.finish(output, tuning)
    scores = score_maps(
        maps,
        cases,
        label_names=label_names,
        regions=regions,
        ignore=ignore,
        tolerance=tolerance,
        failures=failures,
    )
    return Configuration(name=name, members=members, predictions=out_of_fold, tuning=tuning, maps=maps, scores=scores)


def choose_configuration(found: Sequence[Configuration], split: Split) -> tuple[Configuration, list[str]]:
    """Choose a configuration: the first, unless another is significantly better over patients.

    The ensemble of several bundles, which costs more time, must be significantly better than the best single one.

    Args:
        found: the configurations of one bundle in order of preference, then their ensemble, if there is one.
        split: folds and patients.

    Returns:
        The choice, and each comparison in a sentence.
    """
    lines = []

    def better(first: Configuration, others: Sequence[Configuration]) -> Configuration:
        best, most = first, 0.0
        for other in others:
            gain, p = compare(first.scores, other.scores, split)
            significant = gain > 0 and p < SIGNIFICANT / len(others)
            shown = "significantly better" if significant else "not significantly better"
            lines.append(f"{other.name} against {first.name}: Dice {gain:+.4f}, p {p:.3g}: {shown}")
            if significant and gain > most:
                best, most = other, gain
        return best

    single = [configuration for configuration in found if len(configuration.members) == 1]
    chosen = better(single[0], single[1:])
    return better(chosen, [configuration for configuration in found if len(configuration.members) > 1]), lines
