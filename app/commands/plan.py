"""`hybridseg plan`: from a dataset to a bundle that trains on it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from hybridseg.app.runtime.console import say
from hybridseg.app.runtime.folder_lock import folder_lock

from .command import ComputingCommand, make_folder

if TYPE_CHECKING:
    from hybridseg.app.planning import BundlePlan, CaseFingerprint
    from hybridseg.transforms.datasets.dataset import Dataset

CASES_SHOWN = 10
PLANNED = "(default: planned)"


@dataclass
class Plan(ComputingCommand):
    """Check and measure a dataset, and write a bundle that is ready to train on it, with a reason for every decision.

    The dataset is a folder in the layout of the Medical Segmentation Decathlon or of nnU-Net, with images and labels of
    the same names, or with DICOM series and the RTSTRUCT or SEG files that reference them. The measurements are kept in
    the bundle, so an interrupted plan resumes.
    """

    examples = ("Task04_Hippocampus -o bundles/hippocampus", "Dataset001_Liver -o bundles/liver --hours 8")

    dataset: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATASET")]]
    """Folder of the dataset."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="BUNDLE")]
    """Folder of the bundle: a new or empty one, or that of an earlier plan, whose files are replaced."""
    hours: Annotated[float | None, tyro.conf.arg(metavar="HOURS", help_behavior_hint="(default: no limit)")] = None
    """Time that the training of a fold may take on this device, validations included.
    Spacing, network, patch and number of steps follow from it; their costs are measured by short trainings."""
    memory: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "8GB"
    """Memory that a training step may need beyond the weights; it is measured on this device."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """Device to measure training steps on: auto, cpu, cuda or cuda:N."""
    jobs: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: more for large files)")] = None
    """Number of processes that measure cases."""
    channels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...", help_behavior_hint="")] = ()
    """Names of the image channels, if the dataset does not name them.
    A CT is in HU, a PET in SUV; of DICOM folders, the series of these modalities are read."""
    regions: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=LABELS ...", help_behavior_hint="")] = ()
    """Overlapping regions to segment in place of the labels, such as 'tumour core=2,3'."""
    roi: tyro.conf.UseAppendAction[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATTERN=N", help_behavior_hint="(default: dataset.json's)")]
    ] = ()
    """Label of the ROIs with such names in RTSTRUCT, DICOM SEG and .seg.nrrd labels: `--roi 'GTV*=1'`.
    May be repeated; where ROIs overlap, the later pattern wins."""
    folds: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Number of cross-validation folds; fewer if there are too few patients."""
    patient: Annotated[str | None, tyro.conf.arg(metavar="REGEX", help_behavior_hint="")] = None
    """Regular expression that finds the patient in the name of a case, such as '^[^_]+'.
    All cases of a patient are in one fold. Names such as patient001_frame01 or sub-01_ses-02 need none."""
    split_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Folds to use instead of drawing them: a split.json, or nnU-Net's splits_final.json."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Random seed of the folds and the training."""
    spacing: Annotated[
        tuple[float, float, float] | None, tyro.conf.arg(metavar="MM MM MM", help_behavior_hint=PLANNED)
    ] = None
    """Spacing to resample to, along right, anterior, superior."""
    patch: Annotated[tuple[int, int, int] | None, tyro.conf.arg(metavar="N N N", help_behavior_hint=PLANNED)] = None
    """Patch size in voxels."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint=PLANNED)] = None
    """Preset of the network: tiny, small, light or base."""

    def run(self) -> int:
        """Plan.

        Returns:
            0, or 1 if cases with problems were left out.

        Raises:
            ValueError: an option or the dataset cannot be used, there are too few cases, or another run uses the
                folder.
            OSError: a file cannot be written.
        """
        regions = parse_regions(self.regions)
        from hybridseg.transforms.datasets.layouts import check_folder

        check_folder(self.dataset)
        from hybridseg.app.planning import PlanOptions, plan_bundle
        from hybridseg.transforms.io.masks import parse_rois

        options = PlanOptions(
            memory=self.memory,
            device=self.device,
            jobs=self.jobs,
            channels=self.channels,
            regions=regions,
            rois=parse_rois(self.roi),
            folds=self.folds,
            patient=self.patient,
            split_file=self.split_file,
            seed=self.seed,
            spacing=self.spacing,
            patch=self.patch,
            preset=self.preset,
            hours=self.hours,
        )
        make_folder(self.output)
        with folder_lock(self.output, "output"):
            plan = plan_bundle(self.dataset, self.output, options, report=self.report)
        self.show(plan.record(), describe(plan, self.output, self.dataset))
        return 1 if plan.left_out else 0

    def report(self, dataset: Dataset, cases: Sequence[CaseFingerprint]) -> None:
        """Print how many cases were found, and what is wrong with those that are left out."""
        left_out = [case for case in cases if not case.is_sound]
        for case in left_out[:CASES_SHOWN]:
            say("plan", f"{case.case} is left out: {case.problems[0]}")
        if len(left_out) > CASES_SHOWN:
            say("plan", f"{len(left_out)} cases are left out: {self.output / 'plan' / 'integrity.csv'} lists all")
        sound = len(cases) - len(left_out)
        print(f"{len(cases)} cases in {dataset.layout} layout, {sound} without problems", flush=True)


def parse_regions(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the labels of each region by its name.

    Raises:
        ValueError: a text is not NAME=LABELS, or a name occurs twice.
    """
    regions: dict[str, tuple[int, ...]] = {}
    for text in texts:
        match = re.fullmatch(r"([^=]+)=(\d+(?:,\d+)*)", text)
        if match is None or not (name := match[1].strip()):
            raise ValueError(f"regions: {text!r}: must be NAME=LABELS, such as 'tumour core=2,3'")
        if name in regions:
            raise ValueError(f"regions: {name!r}: must be named once")
        regions[name] = tuple(map(int, match[2].split(",")))
    return regions


def describe(plan: BundlePlan, bundle: Path, dataset: Path) -> str:
    """Return the decisions with their reasons as text, the expected time, and the command that trains."""
    from hybridseg.app.planning import describe_timing

    width = max(map(len, plan.decisions))
    lines = []
    for name, decision in plan.decisions.items():
        value = json.dumps(decision.value, ensure_ascii=False)
        shown = value if len(value) <= 60 else f"{value[:57]}..."
        lines += [f"{name:{width}}  {shown}", f"{'':{width}}    {decision.reason}"]
    first, *others = describe_timing(plan.timing, f"hybridseg plan {dataset} -o {bundle}")
    time = [f"time    {first}", *(f"        {line}" for line in others)]
    return "\n".join([*lines, "", *time, f"bundle  {bundle}", f"train   hybridseg train {bundle} {dataset}"])
