"""`hybridseg bench loading`: samples a second without a store, from memory, and from the store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import tyro

from hybridseg.app.runtime.options import check_at_least, check_positive
from hybridseg.bundles import bundle_path

from .command import BUNDLE_DEFAULT, Command


@dataclass
class BenchLoading(Command):
    """Load training samples from their files each time (`uncached`), from memory, and from a store of prepared cases.

    A sample is what a bundle's training takes from one case: patches, augmented. Each way runs in a process of its own,
    on one thread; seconds are CPU time, so other programs on the machine do not matter.
    """

    examples = (
        "Task04_Hippocampus --bundle hippocampus_mri_segmentation",
        "Task04_Hippocampus --bundle hippocampus_mri_segmentation --samples 50",
    )

    dataset: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATASET")]]
    """Folder of labelled cases, as for `train`."""
    bundle: Annotated[str, tyro.conf.arg(metavar="BUNDLE")] = "abdomen_ct_segmentation"
    """Bundle whose preprocessing and augmentation are measured."""
    cases: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Cases of the dataset to load from."""
    grid: Annotated[
        tuple[int, int, int] | None, tyro.conf.arg(metavar="X Y Z", help_behavior_hint="(default: the CT's)")
    ] = None
    """Resample the first case, a CT, to this many voxels, add noise of 12 HU, and load from this case only."""
    patch_size: Annotated[
        tuple[int, int, int] | None, tyro.conf.arg(metavar="D H W", help_behavior_hint=BUNDLE_DEFAULT)
    ] = None
    """Size of a patch in voxels."""
    patches: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Patches of a sample."""
    samples: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """Samples to load; at most three are loaded uncached."""

    def run(self) -> int:
        """Measure and print.

        Returns:
            0, or 1 if a way failed.

        Raises:
            ValueError: an option, the bundle or the dataset cannot be used.
        """
        check_at_least(1, cases=self.cases, patches=self.patches, samples=self.samples)
        check_positive(grid=self.grid, patch_size=self.patch_size)
        bundle = bundle_path(self.bundle)
        from hybridseg.app.benchmarks.loading import UNCACHED, WAYS, LoadingTask, enlarge, measure_loading
        from hybridseg.transforms.datasets.dataset import read_dataset

        cases = read_dataset(self.dataset)[: self.cases]
        given = {"patch_size": self.patch_size, "patches": self.patches}
        with TemporaryDirectory() as folder:
            if self.grid is not None:
                cases = [enlarge(cases[0], self.grid, Path(folder))]
            task = LoadingTask(
                cases=cases,
                bundle=str(bundle),
                overrides={key: value for key, value in given.items() if value is not None},
                samples=self.samples,
                store=str(Path(folder) / "store"),
            )
            few = replace(task, samples=min(3, self.samples))
            rows = [measure_loading(few if way == UNCACHED else task, way) for way in WAYS]
        self.show(rows, table(rows))
        return int(any("error" in row for row in rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Return the costs of each way as text, with its speed relative to the first."""
    from hybridseg.app.runtime.console import align

    lines = [["way", "a sample", "samples/s", "", "preparing", "memory", "disk"]]
    for row in rows:
        if "error" in row:
            lines.append([row["way"], row["error"], *[""] * 5])
            continue
        seconds, first = row["seconds"], rows[0].get("seconds")
        ratio = f"{first / seconds:.1f}x" if first and row is not rows[0] else ""
        sizes = [f"{row['peak_memory'] / 1e9:.2f} GB", f"{row['disk'] / 1e6:.0f} MB"]
        lines.append([row["way"], f"{seconds:.3f} s", f"{1 / seconds:.2f}", ratio, f"{row['preparing']:.1f} s", *sizes])
    return "\n".join(align(lines))
