"""`hybridseg bench robustness`: how well bundles segment disturbed scans."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hybridseg.app.bundling.cases import bundle_cases
from hybridseg.app.runtime.failed_cases import CaseFailures
from hybridseg.app.runtime.options import check_at_least
from hybridseg.bundles import bundle_path

from .command import ComputingCommand, make_folder


@dataclass
class BenchRobustness(ComputingCommand):
    """Segment scans with noise, bias field, blur, larger voxels and more, and compare the Dice with undisturbed scans.

    The cases are the test cases in the first bundle's split.json if the dataset has any of them, or else all. Choose
    cases that no training has seen. Disturbed scans take the same way through preprocessing, network and
    postprocessing as for `predict`. Intervals are over the cases, paired.
    """

    examples = (
        "Task04_Hippocampus hippocampus_mri_segmentation -o runs/robustness",
        "my_data bundles/mine bundles/other -o runs/robustness",
    )

    dataset: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATASET")]]
    """Folder of labelled cases, as for `train`."""
    bundles: tyro.conf.Positional[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="BUNDLE [BUNDLE ...]", help_behavior_hint="(required)")]
    ]
    """Bundles with weights, by name or folder, side by side in the table."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    """Folder for robustness.csv, robustness.json and robustness.md."""
    cases: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Cases to segment, the first of these."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda or cuda:N; auto uses a GPU if there is one."""

    def run(self) -> int:
        """Measure and print.

        Returns:
            0, or 1 if a case failed with some disturbance.

        Raises:
            ValueError: an option, a bundle or the dataset cannot be used.
        """
        check_at_least(1, cases=self.cases)
        if not self.bundles:
            raise ValueError("BUNDLE: none: at least one is needed")
        folders = [bundle_path(bundle) for bundle in self.bundles]
        names = [folder.name for folder in folders]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"BUNDLE: {twice[0]}: given twice: bundles must have names of their own")
        if self.output is not None:
            make_folder(self.output)
        from hybridseg.app.benchmarks.robustness import measure_robustness, robustness_table, write_robustness
        from hybridseg.app.inference.predictor import Predictor

        cases = bundle_cases(folders[0], self.dataset, "test")[: self.cases]
        failures = CaseFailures("bench robustness", debug=self.debug)
        rows = []
        for folder in folders:
            rows += measure_robustness(Predictor(folder, self.device), folder, cases, failures)
        if self.output is not None:
            write_robustness(rows, self.output)
        self.show([asdict(row) for row in rows], robustness_table(rows))
        return int(len(failures) > 0)
