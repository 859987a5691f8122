"""Plan a bundle for a dataset: check and measure the cases, make the decisions, write the bundle."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hybridseg.app.bundling.readme import plan_docs
from hybridseg.app.bundling.training_data import TrainingData, measured_scan
from hybridseg.app.bundling.writer import configure, template_for, write_bundle
from hybridseg.app.runtime.machine import choose_device, device_name
from hybridseg.app.runtime.options import check_at_least, check_positive, parse_size
from hybridseg.app.runtime.threads import available_processors
from hybridseg.networks import PRESETS
from hybridseg.transforms.datasets.dataset import Dataset, open_dataset
from hybridseg.transforms.datasets.folds import make_folds
from hybridseg.transforms.datasets.grouping import Patients, find_patients, split_patients
from hybridseg.transforms.datasets.names import DICOM_CODES
from hybridseg.transforms.datasets.patients import parse_patient
from hybridseg.transforms.datasets.splits import read_folds
from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.io.json_files import read_json, write_json
from hybridseg.transforms.io.masks import Rois
from hybridseg.transforms.regions import region_labels

from .budget import Workload
from .case_fingerprint import CaseFingerprint
from .dataset_fingerprint import summarise_cases
from .planner import Decision, Measure, Planner
from .step_cost import StepCost, measure_step
from .survey import (
    default_jobs,
    survey_dataset,
    warn_of_absent_labels,
    warn_of_modality,
    warn_of_rare_labels,
    write_integrity_report,
)
from .timing import TimePlanner, Timing
from .training_cost import TrainingCost, measure_training

logger = logging.getLogger(__name__)

RECORD = "plan.json"
"""File that marks a folder as planned, so that another plan may replace its files."""
WORK = "plan"
"""Folder within the bundle for what was measured."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of a plan, checked when they are made.

    Args:
        memory: what a training step may need beyond the weights, such as `8GB`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`, to measure training steps on.
        jobs: number of processes that measure cases; None for more of them the larger the files are.
        channels: names of the images' channels, in place of the dataset's; `CT` means HU, `PET` SUV.
        regions: the labels of each region, in place of the dataset's regions.
        rois: labels by pattern of ROI names, in place of the dataset's.
        folds: number of folds of the cross-validation; fewer if there are too few patients.
        patient: regular expression that finds the patient in the name of a case; None to recognise patients by common
            patterns of names.
        split_file: file with the folds, in place of folds drawn by the seed: a split file, or nnU-Net's
            `splits_final.json`.
        seed: of the folds and the training.
        spacing: along right, anterior, superior, in mm; None to plan it.
        patch: in voxels; None to plan it.
        preset: name of the network; None to plan it.
        hours: time in which a training of a fold is to end, on the device; None for a plan without a limit.

    Raises:
        ValueError: an option breaks its rule.
    """

    memory: str = "8GB"
    device: str = "auto"
    jobs: int | None = None
    channels: tuple[str, ...] = ()
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    rois: Rois = field(default_factory=dict)
    folds: int = 5
    patient: str | None = None
    split_file: Path | None = None
    seed: int = 0
    spacing: tuple[float, float, float] | None = None
    patch: tuple[int, int, int] | None = None
    preset: str | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        parse_size(memory=self.memory)
        parse_patient(self.patient)
        check_at_least(2, folds=self.folds)
        check_at_least(0, seed=self.seed)
        check_at_least(1, jobs=self.jobs)
        check_positive(spacing=self.spacing, patch=self.patch, hours=self.hours)
        if self.preset is not None and self.preset not in PRESETS:
            raise ValueError(f"preset: {self.preset!r}: must be one of {', '.join(PRESETS)}")

    @property
    def given(self) -> dict[str, Any]:
        """The decisions that the user has made, by key of the configuration."""
        chosen = {"spacing": self.spacing, "patch_size": self.patch, "preset": self.preset}
        return {name: value for name, value in chosen.items() if value is not None}


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
    for case in dataset.cases:
        parse_patient(options.patient)(case["case"])
    cases = survey_dataset(dataset, work / "cases", jobs=options.jobs or default_jobs(dataset))
    write_integrity_report(cases, work / "integrity.csv")
    if report is not None:
        report(dataset, cases)
    sound = [case for case in cases if case.is_sound]
    warn_of_absent_labels(dataset, sound)
    warn_of_rare_labels(dataset, sound)
    names = [case.case for case in sound]
    labelled = [case for case in dataset.cases if case["case"] in names]  # none with the image of another
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


def draw_folds(dataset: Dataset, patients: Patients, options: PlanOptions) -> dict[str, Any]:
    """Divide the cases without problems into folds.

    Raises:
        ValueError: they belong to fewer than two patients.
    """
    count = len(set(patients.by_case.values()))
    if count < 2:
        found = f"patients with cases without problems: {count}"
        raise ValueError(f"dataset: {dataset.folder}: {found}: must be at least 2")
    names = list(patients.by_case)
    folds = make_folds(names, folds=min(options.folds, count), seed=options.seed, patient=patients)
    return {"folds": folds, "test": []}


def use_folds(split: Mapping[str, Any], patients: Patients, path: Path) -> dict[str, Any]:
    """Return given folds without the cases that the dataset lacks or that have problems, and log how many these are.

    Also warns of patients with cases in several folds.

    Raises:
        ValueError: a fold would be empty.
    """
    names = patients.by_case
    folds = [[name for name in fold if name in names] for fold in split["folds"]]
    listed = [name for fold in (*split["folds"], split["test"]) for name in fold]
    if missing := len([name for name in listed if name not in names]):
        logger.warning("%d of %d cases of %s are missing or have problems", missing, len(listed), path)
    if unused := len(set(names) - set(listed)):
        logger.warning("%d cases are not listed in %s and are ignored", unused, path)
    if [] in folds:
        rule = "must have a case of the dataset that has no problems"
        raise ValueError(f"split_file: {path}: fold {folds.index([])}: {rule}")
    test = [name for name in split["test"] if name in names]
    if divided := split_patients([*folds, test], patients):
        found = "%d patients, such as %s, have cases in several folds of %s, or in folds and test"
        logger.warning(found, len(divided), divided[0], path)
    return {"folds": folds, "test": test}


def explain_folds(split: Mapping[str, Any], patients: Patients, options: PlanOptions) -> Decision:
    """Return the number of folds, and what was assumed about patients."""
    count = len(set(patients.by_case.values()))
    if options.split_file is not None:
        reason = f"The folds of {options.split_file.name}."
    elif count == len(patients.by_case):
        reason = "Every case counts as a patient of its own; --patient names another rule."
    else:
        given = [f"{len(patients.by_case)} cases of {count} patients, as given"] if options.patient else []
        reason = " ".join(f"{line}." for line in ("Cases of a patient share a fold", *given, *patients.assumptions))
    return Decision("folds", len(split["folds"]), reason)


def make_decisions(
    dataset: Dataset, sound: Sequence[CaseFingerprint], folds: Sequence[Sequence[str]], options: PlanOptions
) -> tuple[dict[str, Decision], Timing]:
    """Make the decisions, measuring training steps and a short training on the device of the options.

    Args:
        dataset: the dataset, with the channels and regions of the options.
        sound: its cases without problems.
        folds: the names of each fold's cases.
        options: how to plan.

    Raises:
        ValueError: labels do not suit a network, even the smallest patch needs too much memory, or no training ends
            within the hours of the options.
    """
    device, facts = choose_device(options.device), summarise_cases(sound)
    template = template_for({"regions": dataset.regions} if dataset.regions else {})
    work = Workload(
        training=sum(map(len, folds[1:])),
        validation=len(folds[0]),
        on_gpu=device.type == "cuda",
        loaders=min(read_json(template / "configs" / "train.json")["num_workers"], available_processors()),
    )
    memory = parse_size(memory=options.memory)
    with tqdm(desc="measuring a training step", unit="patch", leave=False, disable=None) as bar:

        def configured(settings: Mapping[str, Any]) -> dict[str, Any]:
            bar.set_postfix_str(" x ".join(map(str, settings["patch_size"])))
            return configure("train.json", {**settings, "device": f"$torch.device('{device}')"})

        def measure(settings: Mapping[str, Any]) -> StepCost | None:
            labels = len(settings.get("regions", [0]))
            cost = measure_step(configured(settings), channels=settings["channels"], label_channels=labels)
            bar.update()
            return cost

        def short_training(decisions: Mapping[str, Decision]) -> TrainingCost | None:
            settings = {name: decision.value for name, decision in decisions.items()} | {"rois": dict(dataset.rois)}
            cost = measure_training(configured(settings), dataset.folder, typical_cases(sound))
            bar.update()
            return cost

        def planner(given: Mapping[str, Any], reasons: Mapping[str, str], measure: Measure = no_cost) -> Planner:
            return Planner(
                dataset, facts, training=work.training, memory=memory, measure=measure, given=given, reasons=reasons
            )

        times = TimePlanner(
            make_planner=planner,
            measure=short_training,
            work=work,
            facts=facts,
            given=options.given,
            memory=memory,
            device=f"{device.type} ({device_name(device)})",
        )
        if options.hours is not None:
            return times.plan_within(3600 * options.hours)
        decisions = planner(options.given, {}, measure).plan()
        return decisions, times.time_plan(decisions)


def no_cost(settings: Mapping[str, Any]) -> StepCost:
    """Return that a step costs nothing, for a patch that has been chosen already."""
    return StepCost(0, 0.0)


def typical_cases(sound: Sequence[CaseFingerprint]) -> list[str]:
    """Return the names of two labelled cases of a size that is not far from the mean."""
    voxels = {case.case: math.prod(case.shape or ()) for case in sound if case.labelled_voxels}
    voxels = voxels if len(voxels) > 1 else {case.case: math.prod(case.shape or ()) for case in sound}
    mean = sum(voxels.values()) / len(voxels)
    return sorted(voxels, key=lambda name: abs(voxels[name] - mean))[:2]


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
