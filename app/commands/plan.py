"""`hybridseg plan`: from a dataset to a bundle that trains on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from hybridseg.app.runtime.console import say

from .command import Command, check_at_least, make_folder

if TYPE_CHECKING:
    from hybridseg.app.planning.case_fingerprint import CaseFingerprint
    from hybridseg.app.planning.planner import Decision
    from hybridseg.transforms.datasets.dataset import Dataset

RECORD = "plan.json"
"""Tells that a folder is that of a plan, and may be written by the next."""


FAULTS_SHOWN = 10


PLANNED = "(default: planned)"


@dataclass
class Plan(Command):
    """Check and measure a dataset, and write a bundle that is ready to train on it; every decision has its reason.

    The dataset is a folder in the layout of the Medical Segmentation Decathlon or of nnU-Net, or with images and labels
    of the same names. What was measured is kept in the bundle: a run that was stopped goes on where it was.
    """

    dataset: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATASET")]]
    """Folder of the dataset."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="BUNDLE")]
    """Folder of the bundle: a new or empty one, or that of an earlier plan, whose files are replaced."""
    memory: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "8GB"
    """What a training step may take, beyond the weights; measured on this device."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """To measure on: auto, cpu, cuda or cuda:N."""
    jobs: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: more for large files)")] = None
    """Cases that are measured at once, in processes of their own."""
    channels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...", help_behavior_hint="")] = ()
    """Names of the images' channels, where the dataset has none: CT makes intensities HU."""
    regions: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=LABELS ...", help_behavior_hint="")] = ()
    """Regions that overlap, such as 'tumour core=2,3', each to be segmented in place of the labels."""
    folds: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Of the cross-validation; fewer if there are not cases enough."""
    patient: Annotated[str | None, tyro.conf.arg(metavar="REGEX", help_behavior_hint="")] = None
    """The part of a case's name that names its patient, such as '^[^_]+'; cases of a patient share a fold."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Of the folds, and of the training."""
    spacing: Annotated[
        tuple[float, float, float] | None, tyro.conf.arg(metavar="MM MM MM", help_behavior_hint=PLANNED)
    ] = None
    """Grid to resample to, along right, anterior, superior."""
    patch: Annotated[tuple[int, int, int] | None, tyro.conf.arg(metavar="N N N", help_behavior_hint=PLANNED)] = None
    """Patch in voxels."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint=PLANNED)] = None
    """Network."""
    json: bool = False
    """Print the plan as JSON."""

    def run(self) -> int:
        """Plan.

        Returns:
            0, or 1 when cases had faults and were left out.

        Raises:
            ValueError: an option or the dataset cannot be used, or there are not cases enough.
            OSError: a file cannot be written.
        """
        memory, patient_of = parse_memory(self.memory), parse_patient(self.patient)
        regions = parse_regions(self.regions)
        self.prepare_folder()
        from hybridseg.app.bundling.readme import describe, plan_docs
        from hybridseg.app.bundling.writer import write_bundle
        from hybridseg.app.planning.survey import (
            default_jobs,
            refuse_gaps,
            survey,
            warn_of_modality,
            write_integrity_report,
        )
        from hybridseg.app.runtime.machine import choose_device
        from hybridseg.transforms.datasets.dataset import open_dataset
        from hybridseg.transforms.datasets.folds import make_folds
        from hybridseg.transforms.io.atomic import replacing
        from hybridseg.transforms.regions import check_region_labels

        choose_device(self.device)  # what can be refused is refused before hours of measuring
        dataset = open_dataset(self.dataset)
        if regions:
            dataset = replace(dataset, regions=regions)
        if self.channels:
            if (count := len(dataset.channel_names)) != len(self.channels):
                raise ValueError(f"channels: {len(self.channels)} names: must be {count}, one for each in an image")
            dataset = replace(dataset, channel_names=self.channels)
        if dataset.label_values is not None:
            check_region_labels(dataset.label_values, dataset.regions)
        for listed in dataset.cases:
            patient_of(listed["case"])
        work = self.output / "plan"
        cases = survey(dataset, work / "cases", jobs=self.jobs or default_jobs(dataset))
        write_integrity_report(cases, work / "integrity.csv")
        sound, faults = [case for case in cases if case.is_sound], [case for case in cases if not case.is_sound]
        self.tell(dataset.layout, len(cases), faults)
        refuse_gaps(dataset, sound)
        groups = {patient_of(case.case) for case in sound}
        if len(groups) < 2:
            raise ValueError(f"dataset: {dataset.folder}: patients: {len(groups)} without faults: at least 2 needed")
        names = [case.case for case in sound]
        warn_of_modality(dataset, names[0])
        folds = make_folds(names, folds=min(self.folds, len(groups)), seed=self.seed, patient=patient_of)
        decisions = self.decide(dataset, sound, len(names) - len(folds[0]), memory)
        settings = {name: decision.value for name, decision in decisions.items()} | {
            "dataset_dir": str(dataset.folder),
            "run_dir": f"./runs/{self.output.resolve().name}",
            "subset": "validation",
            "seed": self.seed,
            "channel_names": list(dataset.channel_names),
            "data_source": dataset.folder.name,
        }
        record = self.record(dataset, decisions, faults)
        counts = {"cases": len(sound), "left_out": len(faults), "folds": len(folds)}
        docs = plan_docs(self.output.resolve().name, settings, decisions, **counts, licence=dataset.licence)
        from hybridseg.app.runtime.console import as_json

        with replacing(self.output / RECORD) as temporary:  # the first, as it tells whose folder it is
            temporary.write_text(as_json(record) + "\n", encoding="utf-8")
        write_bundle(self.output.resolve(), settings, {"folds": folds, "test": []}, docs)
        print(as_json(record) if self.json else describe(decisions, self.output, self.dataset))
        return 1 if faults else 0

    def prepare_folder(self) -> None:
        """Make the bundle's folder; nothing is written into one that no plan has made.

        Raises:
            ValueError: an option breaks its rule, or the folder is another one's.
        """
        check_at_least(2, folds=self.folds)
        check_at_least(1, jobs=self.jobs)
        check_at_least(0, seed=self.seed)
        for name, values in (("spacing", self.spacing), ("patch", self.patch)):
            if values is not None and not all(0 < value < inf for value in values):
                raise ValueError(f"{name}: {values}: must be positive and finite")
        from hybridseg.networks import PRESETS

        if self.preset is not None and self.preset not in PRESETS:
            raise ValueError(f"preset: {self.preset!r}: must be one of {', '.join(PRESETS)}")
        if self.dataset.resolve() == self.output.resolve():
            raise ValueError(f"output: {self.output}: must be another folder than the dataset")
        make_folder(self.output)
        found = {entry.name for entry in self.output.iterdir()}
        if RECORD not in found and found - {"plan"}:
            raise ValueError(f"output: {self.output}: must be empty, or the folder of an earlier plan (with {RECORD})")
        if (self.output / "models").exists():
            raise ValueError(f"output: {self.output}: has weights in models, of its earlier plan: name another folder")

    def tell(self, layout: str, count: int, faults: Sequence[CaseFingerprint]) -> None:
        """Say what was found, and what is wrong."""
        for case in faults[:FAULTS_SHOWN]:
            say("plan", f"{case.case} is left out: {case.faults[0]}")
        if len(faults) > FAULTS_SHOWN:
            say("plan", f"{len(faults)} cases are left out: {self.output / 'plan' / 'integrity.csv'} names all")
        if not self.json:
            print(f"{count} cases in {layout} layout, {count - len(faults)} without faults", flush=True)

    def decide(
        self, dataset: Dataset, sound: Sequence[CaseFingerprint], training: int, memory: int
    ) -> dict[str, Decision]:
        """Make the decisions, measuring what training steps take."""
        from tqdm import tqdm

        from hybridseg.app.bundling.writer import configure
        from hybridseg.app.planning.dataset_fingerprint import summarise_cases
        from hybridseg.app.planning.planner import Planner
        from hybridseg.app.planning.step_cost import StepCost, measure_step
        from hybridseg.app.runtime.machine import choose_device

        device = choose_device(self.device)
        given = {"spacing": self.spacing, "patch_size": self.patch, "preset": self.preset}
        with tqdm(desc="measuring a training step", unit="patch", leave=False, disable=None) as bar:

            def measure(settings: Mapping[str, Any]) -> StepCost | None:
                bar.set_postfix_str(" x ".join(map(str, settings["patch_size"])))
                config = configure("train.json", {**settings, "device": f"$torch.device('{device}')"})
                cost = measure_step(
                    config, channels=settings["channels"], label_channels=len(settings.get("regions", [0]))
                )
                bar.update()
                return cost

            chosen = {name: value for name, value in given.items() if value is not None}
            facts = summarise_cases(sound)
            return Planner(dataset, facts, training=training, memory=memory, measure=measure, given=chosen).plan()

    def record(
        self, dataset: Dataset, decisions: Mapping[str, Decision], faults: Sequence[CaseFingerprint]
    ) -> dict[str, Any]:
        """The content of `plan.json`."""
        return {
            "dataset": str(dataset.folder),
            "layout": dataset.layout,
            "memory": self.memory,
            "decisions": [asdict(decision) for decision in decisions.values()],
            "left_out": {case.case: list(case.faults) for case in faults},
        }


UNITS = {"GB": 10**9, "MB": 10**6, "GIB": 2**30, "MIB": 2**20}


def parse_memory(text: str) -> int:
    """The bytes of a size such as 8GB.

    Raises:
        ValueError: it is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([GM]i?B)", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"memory: {text!r}: must be a size such as 8GB or 500MB")
    return int(float(match[1]) * UNITS[match[2].upper()])


def parse_patient(text: str | None) -> Callable[[str], str]:
    """From a case's name to its patient's: what the regular expression finds in it, or all of it without one.

    The function raises a ValueError for a name in which nothing is found.

    Raises:
        ValueError: it is no regular expression.
    """
    if text is None:
        return str
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ValueError(f"patient: {text!r}: must be a regular expression: {error}") from error

    def patient(case: str) -> str:
        found = pattern.search(case)
        if found is None:
            raise ValueError(f"patient: {text!r}: must be found in every case's name: not in {case!r}")
        return found[0]

    return patient


def parse_regions(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The labels of each region by its name.

    Raises:
        ValueError: one is not NAME=LABELS, or a name is there twice.
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
