"""The end of a cross-validation: measure the configurations, choose one, and write its bundle and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

from hybridseg.app.bundling.ensemble import Member, can_be_joined, write_ensemble
from hybridseg.app.evaluation.tables import summary_table
from hybridseg.app.runtime.console import say
from hybridseg.app.runtime.failed_cases import CaseFailures
from hybridseg.transforms.datasets.dataset import LabelledCase

from .configuration import Configuration, choose_configuration, measure_configuration
from .out_of_fold import score_maps
from .result import decision_lines, write_record, write_report, write_result
from .scores import as_good, case_dice, fold_table, worst_cases
from .split import Split
from .trainings import WEIGHTS, fold_folder

PredictCases = Callable[[Path, Sequence[LabelledCase], str], bool]
"""Predicts cases with a bundle into `predictions` of a folder; returns whether any failed."""


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """The end of a cross-validation, of which all folds are trained and predicted.

    Args:
        output: folder of the cross-validation.
        split: folds and patients.
        cases: cases by name.
        predict: predicts cases.
        failures: collects the cases that cannot be predicted or measured.
        tolerance: of the surface Dice, in mm.
        pictures: largest number of cases with pictures in the report.
    """

    output: Path
    split: Split
    cases: Mapping[str, LabelledCase]
    predict: PredictCases
    failures: CaseFailures
    tolerance: float
    pictures: int

    def measure(self, roots: Sequence[Path]) -> list[Configuration]:
        """Tune and score each bundle, and the ensemble of several."""
        found = [self.measure_one(root.name, [root]) for root in roots]
        if len(roots) > 1 and not can_be_joined(roots):
            say("crossval", "the bundles differ in more than their networks, so their ensemble is not tried")
        elif len(roots) > 1:
            name = "+".join(root.name for root in roots)
            if all(self.predict_ensemble(name, roots, fold) for fold in range(len(self.split.folds))):
                found.append(self.measure_one(name, roots))
        return found

    def predict_ensemble(self, name: str, roots: Sequence[Path], fold: int) -> bool:
        """Predict the cases of a fold with the ensemble of several bundles; return whether all could be predicted."""
        folder = fold_folder(self.output, name, fold)
        write_ensemble(folder / "bundle", [(root, self.weights(root, fold)) for root in roots])
        return self.predict_all(folder, self.split.folds[fold], folder / "bundle")

    def measure_one(self, name: str, members: Sequence[Path]) -> Configuration:
        """Tune and score the out-of-fold predictions of a configuration."""
        folds = range(len(self.split.folds))
        return measure_configuration(
            name,
            members,
            [fold_folder(self.output, name, fold) / "predictions" for fold in folds],
            self.output / "predictions" / name,
            split=self.split,
            cases=self.cases,
            tolerance=self.tolerance,
            failures=self.failures,
        )

    def weights(self, root: Path, fold: int) -> Path:
        """Return the weights of a fold of a bundle."""
        return fold_folder(self.output, root.name, fold) / WEIGHTS

    def predict_all(self, folder: Path, names: Sequence[str], bundle: Path) -> bool:
        """Predict cases into `predictions` of a folder; return whether all could be, and report it if not."""
        if failed := self.predict(folder, [self.cases[name] for name in names], str(bundle)):
            self.failures.add(folder.name, f"{folder}: some cases could not be predicted")
        return not failed

    def write(self, found: Sequence[Configuration], *, average_weights: bool) -> None:
        """Choose a configuration, write its bundle, scores and report, and print what was found.

        Args:
            found: what was measured.
            average_weights: average the weights to one network if that is as good on the test cases.
        """
        chosen, comparison = choose_configuration(found, self.split)
        bundle = self.output / chosen.members[0].name
        folds = range(len(self.split.folds))
        members = [(root, self.weights(root, fold)) for root in chosen.members for fold in folds]
        write_result(bundle, chosen, members, self.split)
        print(f"\n{chosen.name}: mean Dice out of fold\n{fold_table(chosen.scores, self.split)}\n")
        print(summary_table(chosen.scores, tolerance=self.tolerance))
        test = self.test(chosen, members, bundle, average_weights=average_weights) if self.split.test else {}
        lines = [*decision_lines(chosen.tuning), *comparison, *(f"{name}: {value}" for name, value in test.items())]
        worst = worst_cases(chosen.scores, self.split)
        print("\n".join(["", *lines, "", "worst cases", *(f"  {line}" for line in worst)]))
        write_record(self.output, chosen, found, self.split, comparison, test)
        write_report(self.output, chosen, self.split, lines, tolerance=self.tolerance, pictures=self.pictures)
        print(f"\nreport   {self.output / 'report.html'}\nbundle   {bundle}")
        print(f"use      hybridseg predict SCAN -o labels --bundle {bundle}")

    def test(
        self, chosen: Configuration, members: Sequence[Member], bundle: Path, *, average_weights: bool
    ) -> Mapping[str, Any]:
        """Score the bundle on the test cases; with `average_weights`, replace it by one network if that is as good.

        Returns:
            What was found, by name.
        """
        ensemble = self.test_dice(chosen, self.output / "test" / "ensemble", bundle)
        found: dict[str, Any] = {"test cases, ensemble": f"mean Dice {fmean(ensemble.values() or [nan]):.4f}"}
        if average_weights and len(chosen.members) == 1:
            folder = self.output / "test" / "average"
            write_result(folder / bundle.name, chosen, members, self.split, average=True)
            average = self.test_dice(chosen, folder, folder / bundle.name)
            is_as_good, low = as_good(ensemble, average, self.split)
            found["test cases, average of the weights"] = (
                f"mean Dice {fmean(average.values() or [nan]):.4f}, at worst {low:+.4f} against the ensemble: "
                + ("used; the test cases have chosen it, so they no longer test it" if is_as_good else "not used")
            )
            if is_as_good:
                write_result(bundle, chosen, members, self.split, average=True)
        return found

    def test_dice(self, chosen: Configuration, folder: Path, bundle: Path) -> Mapping[str, float]:
        """Predict the test cases with a bundle; return the mean Dice of each."""
        self.predict_all(folder, self.split.test, bundle)
        maps = {name: folder / "predictions" / f"{name}.nii.gz" for name in self.split.test}
        scores = score_maps(
            {name: path for name, path in maps.items() if path.is_file()},
            self.cases,
            label_names=chosen.predictions.label_names,
            regions=chosen.predictions.regions,
            ignore=chosen.predictions.ignore,
            tolerance=self.tolerance,
            failures=self.failures,
        )
        return case_dice(scores)
