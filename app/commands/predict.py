"""`hybridseg predict`: segment volumes with a bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tqdm import tqdm

from hybridseg.app.bundling.config import input_channels, label_parts
from hybridseg.app.inference.cohort import PredictedCase, segment_cases
from hybridseg.app.runtime import distributed as ranks
from hybridseg.app.runtime.console import say
from hybridseg.bundles import bundle_path

from .command import Command, make_folder

if TYPE_CHECKING:
    from hybridseg.app.inference.predictor import Data
    from hybridseg.app.inference.run_record import RunRecord
    from hybridseg.transforms.datasets.inputs import InputCase

BY_BUNDLE = "(default: the bundle's)"


@dataclass
class Predict(Command):
    """Segment volumes with a bundle; writes OUTPUT/CASE.nii.gz for every case, on its own grid."""

    inputs: tyro.conf.Positional[
        Annotated[tuple[Path, ...], tyro.conf.arg(metavar="INPUT [INPUT ...]", help_behavior_hint="(required)")]
    ]
    """Volumes (NIfTI, NRRD, MetaImage), DICOM folders, zips of them, folders of all these, lists (.csv, .json)."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the label maps; made if need be."""
    bundle: Annotated[str, tyro.conf.arg(metavar="NAME|FOLDER")]
    """Shipped bundle (`hybridseg info` lists them), or the folder of any bundle."""
    checkpoint: Annotated[
        tuple[Path, ...], tyro.conf.arg(metavar="FILE ...", help_behavior_hint="(default: its own)")
    ] = ()
    """Other weights than the bundle's, such as the model.pt of a training; of several, the logits are averaged."""
    series: Annotated[str | None, tyro.conf.arg(metavar="UID|NUMBER", help_behavior_hint="")] = None
    """Which series of a DICOM folder, if it holds several."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda or cuda:N; auto takes a GPU if there is one."""
    overlap: Annotated[float | None, tyro.conf.arg(metavar="SHARE", help_behavior_hint="(default: the bundle's)")] = (
        None
    )
    """Share of a window that the next one covers too; more is slower and a little better."""
    batch: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BY_BUNDLE)] = None
    """Windows that are computed at once."""
    tta: bool = False
    """Average over mirrored windows, where the bundle allows it: slower, and often a little better."""
    labels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME,NAME", help_behavior_hint="(default: all)")] = ()
    """Write only these labels, by name or number; the others become background."""
    largest_component: bool = False
    """Of each label, keep only the largest connected piece."""
    probabilities: bool = False
    """Write probabilities/CASE.nii.gz too: one volume for each class, on the network's grid."""
    statistics: bool = False
    """Write statistics.csv and statistics.json: volume of each label in ml, intensity within it."""
    preview: bool = False
    """Draw CASE.png too: three planes with the labels."""
    overwrite: bool = False
    """Segment cases that are already there again; otherwise they are skipped."""
    json: bool = False
    """Print what became of each case as JSON."""

    def run(self) -> int:
        """Segment the volumes.

        Returns:
            0 when every label map is there, 1 when some cases failed.

        Raises:
            ValueError: an input, the output, the bundle, its weights, the device or an option cannot be used.
        """
        bundle = bundle_path(self.bundle)
        work = self.list_work(bundle)
        make_folder(self.output)
        self.tell_passed_over()
        from hybridseg.app.inference.run_record import RunRecord

        record = RunRecord(self.output, {"bundle": str(bundle), "options": self.options()})
        for _, case in work:
            if case.outcome == "skipped":
                record.note(case.record())
        if self.statistics:
            self.measure(bundle, work, record)
        waiting = [item for item in work if item[1].outcome == "waiting"]
        if waiting:
            self.segment(bundle, waiting, record)
        records = ranks.gather(([case for _, case in work], record))
        if ranks.rank() > 0:
            return 0
        record.merge(other for _, other in records)
        cases = [case for part, _ in records for case in part]
        self.report(cases)
        failed = any(case.outcome == "failed" for case in cases)
        try:
            record.write(finished=True)
        except OSError as error:
            say("predict", f"{self.output / 'run.json'}: {error.strerror}: the record must be writable there")
            failed = True
        return int(failed)

    def measure(self, bundle: Path, work: Sequence[tuple[InputCase, PredictedCase]], record: RunRecord) -> None:
        """Measure label maps that are there, but not in the statistics: a run may be stopped between the two."""
        written = [item for item in work if item[1].outcome == "skipped" and item[1].case not in record.statistics]
        if not written:
            return
        from hybridseg.app.inference.outputs import measure_written
        from hybridseg.app.labels.label_statistics import as_records

        names, _ = label_parts(bundle)
        channels = input_channels(bundle)
        chosen = {label: names[label] for label in self.chosen_labels(names)}
        for case, predicted in tqdm(written, desc="statistics", unit="case", leave=False, disable=None):
            rows: Sequence[Mapping[str, Any]] = ()
            with predicted.stage("statistics", debug=self.debug):
                path = Path(predicted.output)
                rows = as_records(measure_written(case, path, channels=channels, label_names=chosen))
            if predicted.error is not None:
                say("predict", predicted.error)
            record.note(predicted.record(), rows)

    def segment(self, bundle: Path, work: Sequence[tuple[InputCase, PredictedCase]], record: RunRecord) -> None:
        """Segment what is not done yet."""
        from hybridseg.app.inference.outputs import Outputs
        from hybridseg.app.inference.predictor import Predictor
        from hybridseg.app.labels.label_statistics import as_records
        from hybridseg.app.runtime.machine import device_name, versions

        predictor = Predictor(
            bundle,
            ranks.own_device(self.device),
            self.checkpoint or None,
            overlap=self.overlap,
            batch=self.batch,
            mirror=self.tta,
        )
        record.about = {
            "versions": versions(),
            **record.about,
            "checkpoints": [str(path) for path in predictor.checkpoints],
            "device": device_name(predictor.device),
        }
        outputs = Outputs(
            folder=self.output,
            predictor=predictor,
            labels=self.chosen_labels(predictor.label_names),
            largest_component=self.largest_component,
            probabilities=self.probabilities,
            statistics=self.statistics,
            preview=self.preview,
        )
        rows: dict[str, Sequence[Mapping[str, Any]]] = {}

        def finish(case: InputCase, data: Data) -> None:
            rows[case.name] = as_records(outputs.write(case, data))

        done = segment_cases(predictor, work, finish, debug=self.debug)
        hidden = None if ranks.rank() == 0 else True
        for case in tqdm(done, total=len(work), desc="cases", unit="case", leave=False, disable=hidden):
            if case.error is not None:
                say("predict", case.error)
            record.note(case.record(), rows.pop(case.case, ()))
            if ranks.rank() == 0:
                with suppress(OSError):  # told at the end, if it is so still
                    record.write()

    def list_work(self, bundle: Path) -> list[tuple[InputCase, PredictedCase]]:
        """The cases of this process, and whether they wait or are skipped; what the output folder has is no case."""
        from hybridseg.transforms.datasets.inputs import find_cases

        own = os.path.realpath(self.output)
        if any(given.is_dir() and os.path.realpath(given) == own for given in self.inputs):
            rule = "must be another folder than the input, where its label maps would be volumes of the next run"
            raise ValueError(f"output: {self.output}: {rule}")
        found = find_cases(self.inputs, channels=input_channels(bundle), series=self.series)
        cases = [case for case in found if own not in map(os.path.realpath, case.images)]
        work = []
        for case in cases[ranks.rank() :: ranks.world_size()]:
            output = self.output / f"{case.name}.nii.gz"
            inputs = [os.fspath(image) for image in case.images]
            predicted = PredictedCase(case=case.name, input=", ".join(inputs), output=str(output))
            if output.exists():
                if any(os.path.exists(path) and output.samefile(path) for path in inputs):
                    raise ValueError(f"output: {output}: must be another file than the input")
                predicted.outcome = "waiting" if self.overwrite else "skipped"
            work.append((case, predicted))
        return work

    def tell_passed_over(self) -> None:
        """Say which folders below an input are not looked into."""
        from hybridseg.transforms.datasets.inputs import passed_over

        if ranks.rank() > 0:
            return
        own = {self.output.resolve(), (self.output / "probabilities").resolve()}
        if below := [folder for folder in passed_over(self.inputs) if folder.resolve() not in own]:
            told = f"{len(below)} folders with volumes" if len(below) > 1 else "a folder with volumes"
            rule = "not looked into: name it too, or list its volumes (.csv)"
            say("predict", f"{below[0]}: {told} below an input: {rule}")

    def chosen_labels(self, names: Mapping[int, str]) -> list[int]:
        """The labels to write, of those that the bundle has.

        Raises:
            ValueError: the bundle has no such label.
        """
        words = [word for text in self.labels for word in text.split(",")]
        chosen = [label for label, name in names.items() if not words or name in words or str(label) in words]
        for word in words:
            if word not in (*names.values(), *map(str, names)):
                raise ValueError(f"labels: {word!r}: must be one of {', '.join(names.values())}")
        return chosen

    def options(self) -> dict[str, Any]:
        """What was asked for that changes a result, for the record."""
        names = ("series", "overlap", "batch", "tta", "labels", "largest_component")
        return {name: getattr(self, name) for name in names}

    def report(self, cases: Sequence[PredictedCase]) -> None:
        """Print how it ended, for people or for machines."""
        if self.json:
            from hybridseg.app.runtime.console import as_json

            print(as_json([case.record() for case in cases]))
            return
        written = sum(case.outcome == "written" for case in cases)
        skipped = sum(case.outcome == "skipped" for case in cases)
        print(f"{written} of {len(cases)} cases written to {self.output}", end="")
        print(f", {skipped} skipped: already there (--overwrite writes them again)" if skipped else "")
