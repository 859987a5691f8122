"""`hybridseg bench inference`: time and memory to segment a CT, compared with the recipe of MONAI's model zoo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import tyro

from hybridseg.app.runtime.options import check_at_least, check_positive
from hybridseg.bundles import bundle_path

from .command import BUNDLE_DEFAULT, Command

REFERENCE, DEFAULTS = "recipe", "defaults"
STAGES = ("read", "prepare", "network", "restore", "write")


@dataclass
class BenchInference(Command):
    """Segment a CT with a bundle in several ways, each in its own process: seconds by stage, and peak memory.

    `recipe` is the pipeline of the bundles of MONAI's model zoo: LoadImaged, Orientationd, Spacingd,
    SlidingWindowInferer with constant blending, Invertd on the probabilities of all classes, SaveImaged. The other ways
    are ours: `defaults`; without one optimisation (`fp32`, `fp32 blending`, `every window`); resampling `probabilities`
    instead of logits; and `as the recipe`, all of these together. Masks are compared with those of the recipe with
    Gaussian blending. Imports and the loading of weights, which are the same for all, are not counted.
    """

    examples = ("ct.nii.gz", "ct.nii.gz --grid 256 256 200 --ways recipe defaults")

    volume: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="VOLUME")]
    """CT to segment."""
    bundle: Annotated[str, tyro.conf.arg(metavar="BUNDLE")] = "phantom_ct_segmentation"
    """CT bundle whose inference.json has `spacing` and `window`."""
    grid: Annotated[
        tuple[int, int, int] | None, tyro.conf.arg(metavar="X Y Z", help_behavior_hint="(default: the CT's)")
    ] = None
    """Resample the CT to this many voxels first, and add noise of 12 HU."""
    spacing: Annotated[float | None, tyro.conf.arg(metavar="MM", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Voxel size of the network's grid, in mm."""
    classes: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Use a network with this many classes and random weights, to measure its cost only."""
    ways: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WAY ...")] = (
        REFERENCE,
        "recipe, Gaussian",
        DEFAULTS,
        "fp32",
        "fp32 blending",
        "every window",
        "probabilities",
        "as the recipe",
    )
    """Ways to measure."""
    threads: int = 1
    """CPU threads."""

    def run(self) -> int:
        """Measure and print.

        Returns:
            0, or 1 if a way failed.

        Raises:
            ValueError: an option, the volume or the bundle is invalid.
        """
        from hybridseg.app.benchmarks.inference_cost import WAYS, InferenceTask, add_dice, measure_inference, resize

        for way in self.ways:
            if way not in WAYS:
                raise ValueError(f"ways: {way!r}: must be one of {', '.join(WAYS)}")
        check_at_least(1, threads=self.threads, classes=self.classes)
        check_positive(grid=self.grid, spacing=self.spacing)
        with TemporaryDirectory(prefix="hybridseg-") as folder:
            volume = self.volume
            if self.grid is not None:
                volume = Path(folder) / "volume.nii.gz"
                resize(self.volume, self.grid, volume)
            task = InferenceTask(
                volume=str(volume),
                bundle=str(bundle_path(self.bundle)),
                spacing=self.spacing,
                classes=self.classes,
                threads=self.threads,
                folder=folder,
            )
            rows = [measure_inference(task, way) for way in self.ways]
            add_dice(task, rows)
        self.show(rows, table(rows))
        return int(any("error" in row for row in rows))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format the rows; after each total, its ratio to that of the defaults."""
    from hybridseg.app.runtime.console import align

    defaults = next((row for row in rows if row["way"] == DEFAULTS and "error" not in row), None)

    def ratio(row: Mapping[str, Any], name: str) -> str:
        return "" if defaults is None or row is defaults else f"{row[name] / defaults[name]:.1f}x"

    lines = [["way", *STAGES, "all", "", "without network", "", "peak memory", "", "Dice"]]
    for row in rows:
        if "error" in row:
            lines.append([row["way"], *[""] * 11, row["error"]])
            continue
        cells = [row["way"], *(f"{row['seconds'][stage]:.2f} s" for stage in STAGES)]
        for name, unit, factor in (("all", "s", 1.0), ("but_network", "s", 1.0), ("peak_memory", "GB", 1e-9)):
            cells += [f"{row[name] * factor:.2f} {unit}", ratio(row, name)]
        lines.append([*cells, "" if row.get("dice") is None else f"{row['dice']:.4f}"])
    return "\n".join(align(lines))
