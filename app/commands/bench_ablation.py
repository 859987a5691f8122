"""`hybridseg bench ablation`: what each choice in the network is worth, at an equal budget of computing time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hybridseg.app.benchmarks.variants import DEFAULT, VARIANTS
from hybridseg.bundles import bundle_path

from .command import Command, make_folder


@dataclass
class BenchAblation(Command):
    """Train variants of the network and its peers alike for an equal time, and compare them on the validation cases.

    All train by the bundle's `train.json`, on one thread, for as many steps as fit into the budget, rounded up to whole
    epochs: what a step costs is measured side by side before, so that neither the load of the machine nor an
    interruption changes a result. The recipe, its learning rate with it, is the bundle's for all, fitted to no peer.
    The interval is that over the cases; what another seed would change is not in it: give several --seeds. The bundle's
    test cases are not touched. Finished trainings are kept, and those that were interrupted go on.
    """

    dataset: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Folder of the bundle's dataset."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = Path("runs/ablation")
    """Folder for all that is made; results that are there are used: one folder for one bundle and its dataset."""
    bundle: Annotated[str, tyro.conf.arg(metavar="BUNDLE")] = "hippocampus_mri_segmentation"
    """Bundle whose recipe all train by: a name or a folder."""
    networks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...", help_behavior_hint="(default: all)")] = ()
    """Only these; the default network is always among them."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N")] = (0,)
    """A training for each."""
    minutes: Annotated[float, tyro.conf.arg(metavar="MINUTES")] = 10.0
    """Computing time of each training, on one thread of the CPU."""
    jobs: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Trainings side by side."""
    table: bool = False
    """Only print the table of what is there."""

    def run(self) -> int:
        """Run it.

        Returns:
            0, or 1 when a training failed.

        Raises:
            ValueError: an option cannot be used, or there is no such bundle or dataset.
        """
        names = list(dict.fromkeys([DEFAULT, *(self.networks or VARIANTS)]))
        for name in names:
            if name not in VARIANTS:
                raise ValueError(f"networks: {name!r}: must be one of {', '.join(VARIANTS)}")
        for option, least in (("minutes", 0), ("jobs", 0)):
            if getattr(self, option) <= least:
                raise ValueError(f"{option}: {getattr(self, option)}: must be above {least}")
        if not self.dataset.is_dir():
            raise ValueError(f"dataset: {self.dataset}: must be a folder")
        make_folder(self.output)
        from hybridseg.app.benchmarks.ablation import Ablation

        ablation = Ablation(bundle_path(self.bundle), self.dataset.resolve(), self.output.resolve(), self.minutes)
        failed = 0
        if not self.table:
            costs = ablation.measure_costs({name: VARIANTS[name] for name in names})
            for outcome in ablation.train({name: VARIANTS[name] for name in names}, self.seeds, costs, jobs=self.jobs):
                print(outcome, flush=True)
                failed += outcome.error is not None
        print(ablation.report(names, self.seeds))
        return 1 if failed else 0
