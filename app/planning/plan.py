"""Plan a bundle for a dataset: check and measure the cases, make the decisions, write the bundle."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hybridseg.app.bundling.readme import plan_docs
from hybridseg.app.bundling.training_data import TrainingData, measured_scan
from hybridseg.app.bundling.writer import write_bundle
from hybridseg.app.runtime.machine import choose_device
from hybridseg.transforms.datasets.dataset import Dataset, open_dataset
from hybridseg.transforms.datasets.grouping import find_patients
from hybridseg.transforms.datasets.names import DICOM_CODES
from hybridseg.transforms.datasets.patients import parse_patient
from hybridseg.transforms.datasets.splits import read_folds
from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.io.json_files import write_json
from hybridseg.transforms.regions import region_labels

from .case_fingerprint import CaseFingerprint
from .decisions import make_decisions
from .folds import draw_folds, explain_folds, use_folds
from .options import PlanOptions
from .planner import Decision
from .survey import (
    default_jobs,
    survey_dataset,
    warn_of_absent_labels,
    warn_of_modality,
    warn_of_rare_labels,
    write_integrity_report,
)
from .timing import Timing

logger = logging.getLogger(__name__)

RECORD = "plan.json"
"""File that marks a folder as planned, so that another plan may replace its files."""
WORK = "plan"
"""Folder within the bundle for what was measured."""


@dataclass(frozen=True, kw_only=True)
class BundlePlan:
    """What was planned.

    Attributes:
        options: how it was planned.
        dataset: the dataset, with the channels and regions of the options.
        cases: all cases, measured.
        split: the names of each fold's cases in `folds`, those of test cases in `test`.
        decisions: by name, in the order in which they were made.
        timing: how long a training is expected to take.
    """

    options: PlanOptions
    dataset: Dataset
    cases: Sequence[CaseFingerprint]
    split: Mapping[str, Any]
    decisions: Mapping[str, Decision]
    timing: Timing

    @property
    def folds(self) -> Sequence[Sequence[str]]:
        """The names of each fold's cases."""
        folds: Sequence[Sequence[str]] = self.split["folds"]
        return folds

    @property
    def left_out(self) -> list[CaseFingerprint]:
        """The cases with problems, which are in no fold."""
        return [case for case in self.cases if not case.is_sound]

    def record(self) -> dict[str, Any]:
        """Return the content of `plan.json`."""
        return {
            "dataset": str(self.dataset.folder),
            "layout": self.dataset.layout,
            "memory": self.options.memory,
            "decisions": [asdict(decision) for decision in self.decisions.values()],
            "time": self.timing.record(),
            "left_out": {case.case: list(case.problems) for case in self.left_out},
        }


ReportCases = Callable[[Dataset, Sequence[CaseFingerprint]], None]
"""Receives the dataset and its measured cases before the decisions are made, which takes minutes."""


def plan_bundle(
    dataset_dir: PathLike, output: PathLike, options: PlanOptions | None = None, *, report: ReportCases | None = None
) -> BundlePlan:
    """Check and measure a dataset, and write a bundle that is ready to train on it.

    Args:
        dataset_dir: folder in the layout of the Medical Segmentation Decathlon or of nnU-Net, with pairs of images and
            labels of the same names, or with DICOM series and their masks.
        output: folder of the bundle: a new or empty one, or that of an earlier plan, whose files are replaced. What
            was measured is kept there, so that a stopped plan can resume.
        options: how to plan.
        report: called once all cases are measured.

    Returns:
        The plan, which has been written.

    Raises:
        ValueError: the dataset or the output cannot be used, an option does not suit the dataset, fewer than two
            patients have cases without problems, or even the smallest patch needs too much memory.
        OSError: a file cannot be written.
    """
    options = options or PlanOptions()
    folder, work = Path(output), Path(output) / WORK
    check_output(folder, Path(dataset_dir))
    choose_device(options.device)  # every option is checked before hours of measuring
    dataset = adapt_dataset(open_dataset(dataset_dir, rois=options.rois, channels=options.channels), options)
    given = {} if options.split_file is None else read_folds(options.split_file)
    for case in dataset.cases:  # so is whether the pattern finds a patient in every name
        parse_patient(options.patient)(case["case"])
    cases = survey_dataset(dataset, work / "cases", jobs=options.jobs or default_jobs(dataset))
    write_integrity_report(cases, work / "integrity.csv")
    if report is not None:
        report(dataset, cases)
    sound = [case for case in cases if case.is_sound]
    warn_of_absent_labels(dataset, sound)
    warn_of_rare_labels(dataset, sound)
    names = {case.case for case in sound}
    labelled = [case for case in dataset.cases if case["case"] in names]  # the survey has left out copies of an image
    patients = find_patients(labelled, options.patient, compare_images=False)
    if options.split_file is None:
        split = draw_folds(dataset, patients, options)
    else:
        split = use_folds(given, patients, options.split_file)
    warn_of_modality(dataset, sound[0].case)
    decisions, timing = make_decisions(dataset, sound, split["folds"], options)
    decisions = {"folds": explain_folds(split, patients, options)} | decisions
    plan = BundlePlan(options=options, dataset=dataset, cases=cases, split=split, decisions=decisions, timing=timing)
    write_plan(plan, folder)
    return plan


def check_output(folder: Path, dataset_dir: Path) -> None:
    """Check that a bundle may be written to a folder: nothing is written into one that no plan has made.

    Raises:
        ValueError: the folder is the dataset's, holds other files, or holds trained weights.
    """
    if dataset_dir.resolve() == folder.resolve():
        raise ValueError(f"output: {folder}: must not be the folder of the dataset")
    entries = folder.iterdir() if folder.is_dir() else ()
    found = {entry.name for entry in entries if not entry.name.startswith(".")}  # such as what a killed plan leaves
    if RECORD not in found and found - {WORK}:
        raise ValueError(f"output: {folder}: must be empty, or the folder of an earlier plan (with {RECORD})")
    if (folder / "models").exists():
        raise ValueError(f"output: {folder}: holds weights in models, trained by its earlier plan: use another folder")


def adapt_dataset(dataset: Dataset, options: PlanOptions) -> Dataset:
    """Give a dataset the channels and regions of the options.

    Raises:
        ValueError: names do not match the number of channels, or regions do not suit the labels.
    """
    if options.regions:
        dataset = replace(dataset, regions=options.regions)
    if options.channels:
        if (count := len(dataset.channel_names)) != len(options.channels):
            raise ValueError(f"channels: {len(options.channels)} names: must be {count}, one for each in an image")
        dataset = replace(dataset, channel_names=options.channels)
    if dataset.regions:
        region_labels(dataset.regions)
    return dataset


def write_plan(plan: BundlePlan, folder: Path) -> None:
    """Write the record of a plan and its bundle.

    Raises:
        OSError: a file cannot be written.
    """
    name = folder.resolve().name
    settings = {key: decision.value for key, decision in plan.decisions.items()} | {
        "dataset_dir": str(plan.dataset.folder),
        "run_dir": f"./runs/{name}",
        "subset": "validation",
        "seed": plan.options.seed,
        "rois": dict(plan.dataset.rois),
        "channel_names": list(plan.dataset.channel_names),
        "data_source": plan.dataset.folder.name,
        "training_data": describe_training_data(plan).record(),
    }
    left_out = len(plan.left_out)
    docs = plan_docs(
        name,
        settings,
        {key: decision.reason for key, decision in plan.decisions.items()},
        cases=len(plan.cases) - left_out,
        left_out=left_out,
        folds=len(plan.folds),
        licence=plan.dataset.licence,
    )
    write_json(folder / RECORD, plan.record())  # first, since it marks the folder as planned
    write_bundle(folder.resolve(), settings, plan.split, docs)


def describe_training_data(plan: BundlePlan) -> TrainingData:
    """Return what the planned network will be trained on, for the bundle's metadata."""
    scans = [
        measured_scan(case.shape, case.spacing, case.intensity_ranges)
        for case in plan.cases
        if case.is_sound and case.shape and case.spacing
    ]
    modalities = [DICOM_CODES[modality] for modality in plan.dataset.modalities]
    return TrainingData.of_scans(scans, modalities, synthetic=plan.dataset.synthetic)
