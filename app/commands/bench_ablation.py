"""`hybridseg bench ablation`: compare trained variants of the network at an equal budget of computing time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hybridseg.app.benchmarks.variants import DEFAULT, VARIANTS
from hybridseg.app.runtime.options import check_at_least, check_positive
from hybridseg.bundles import bundle_path

from .command import Command, make_folder


@dataclass
class BenchAblation(Command):
    """Train variants of the network and reference networks for an equal time, and compare their validation scores.

    Every network trains with the bundle's `train.json` on one thread, for as many steps as fit into the budget, rounded
    up to whole epochs. The time of a step is measured beforehand, with the networks taking turns, so neither the load
    of the machine nor an interruption changes a result. All use the bundle's recipe, including its learning rate; it is
    not tuned for any reference network. The confidence interval covers the choice of cases, not of seeds: for that,
    give several --seeds. The bundle's test cases are not used. Finished trainings are kept, and interrupted ones
    resume.
    """

    examples = ("Task04_Hippocampus -o runs/ablation", "Task04_Hippocampus -o runs/ablation --table")

    dataset: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Folder of the bundle's dataset."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = Path("runs/ablation")
    """Folder for costs and results; existing results are reused, so use one folder per bundle and dataset."""
    bundle: Annotated[str, tyro.conf.arg(metavar="BUNDLE")] = "hippocampus_mri_segmentation"
    """Bundle whose recipe is used: a name or a folder."""
    networks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...", help_behavior_hint="(default: all)")] = ()
    """Networks to train; the default network is always included."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N")] = (0,)
    """Random seeds; each network is trained once per seed."""
    minutes: Annotated[float, tyro.conf.arg(metavar="MINUTES")] = 10.0
    """Computing time per training, on one CPU thread."""
    jobs: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Number of trainings in parallel."""
    table: bool = False
    """Print the table of existing results, without training."""

    def run(self) -> int:
        """Train and compare.

        Returns:
            0, or 1 if a training failed.

        Raises:
            ValueError: an option cannot be used, or the bundle or dataset does not exist.
        """
        names = list(dict.fromkeys([DEFAULT, *(self.networks or VARIANTS)]))
        for name in names:
            if name not in VARIANTS:
                raise ValueError(f"networks: {name!r}: must be one of {', '.join(VARIANTS)}")
        check_positive(minutes=self.minutes)
        check_at_least(1, jobs=self.jobs)
        if not self.dataset.is_dir():
            raise ValueError(f"dataset: {self.dataset}: must be a folder")
        make_folder(self.output)
        from hybridseg.app.benchmarks import Ablation
        from hybridseg.transforms.io.json_files import read_json

        ablation = Ablation(bundle_path(self.bundle), self.dataset.resolve(), self.output.resolve(), self.minutes)
        failed = 0
        if not self.table:
            definitions = {name: VARIANTS[name] for name in names}
            costs = ablation.measure_costs(definitions)
            for result in ablation.train(definitions, self.seeds, costs, jobs=self.jobs):
                print(result, flush=True)
                failed += result.error is not None
        text = ablation.report(names, self.seeds)
        self.show(read_json(self.output / "ablation.json"), text)
        return 1 if failed else 0
