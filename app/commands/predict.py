"""`hybridseg predict`: segment volumes with a bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro
from tqdm import tqdm

from hybridseg.app.bundling.config import input_channels, input_modalities, label_parts, shown_window
from hybridseg.app.inference.cohort import PredictedCase, segment_cases
from hybridseg.app.runtime import distributed
from hybridseg.app.runtime.console import one_line, say
from hybridseg.bundles import bundle_path

from .command import BUNDLE_DEFAULT, PrecisionName, VolumeCommand, make_folder

if TYPE_CHECKING:
    from hybridseg.app.inference.formats import FormatReport, FormatWriter
    from hybridseg.app.inference.predictor import Data
    from hybridseg.app.inference.run_record import RunRecord
    from hybridseg.transforms.datasets.input_case import InputCase
    from hybridseg.transforms.errors import PathLike

    Work = tuple[InputCase, PredictedCase]

Format = Literal["nii.gz", "nrrd", "mha", "seg.nrrd", "dicom-seg", "rtstruct", "itk-snap"]
RECORDED_OPTIONS = ("series", "fill_gaps", "grid_of", "overlap", "batch", "tta", "largest_component")


@dataclass
class Predict(VolumeCommand):
    """Segment volumes with a bundle; write FOLDER/CASE.nii.gz for each case, on the grid of its volume."""

    inputs: tyro.conf.Positional[
        Annotated[tuple[Path, ...], tyro.conf.arg(metavar="INPUT [INPUT ...]", help_behavior_hint="(required)")]
    ]
    """Volumes (NIfTI, NRRD, MetaImage), DICOM folders, zips of them, folders of these, or lists (.csv, .json)."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the label maps; created if needed."""
    bundle: Annotated[str, tyro.conf.arg(metavar="NAME|FOLDER")]
    """Name of a shipped bundle (see `hybridseg info`), or the folder of any bundle."""
    checkpoint: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE ...", help_behavior_hint=BUNDLE_DEFAULT)] = ()
    """Weights to use instead, such as the model.pt of a training; the logits of several are averaged."""
    series: Annotated[str | None, tyro.conf.arg(metavar="UID|NUMBER,...", help_behavior_hint="")] = None
    """Series to read from DICOM folders that hold several; for several channels, that of each."""
    fill_gaps: bool = False
    """Interpolate a missing slice of a DICOM series; otherwise the case fails."""
    grid_of: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Channel, from 0, on whose grid the label maps are, where channels have grids of their own, such as CT and PET."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda or cuda:N; auto uses a GPU if there is one."""
    precision: Annotated[PrecisionName | None, tyro.conf.arg(help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Precision of the network's computations; auto uses bf16 where it is measured to be faster than fp32, fp16 needs a
    CUDA GPU."""
    overlap: Annotated[float | None, tyro.conf.arg(metavar="SHARE", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Overlap of neighbouring windows, 0 to below 1; more is slower and slightly better."""
    batch: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Windows computed at once."""
    tta: bool = False
    """Average over mirrored windows, if the bundle allows it: slower, and often slightly better."""
    labels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME,NAME", help_behavior_hint="(default: all)")] = ()
    """Write only these labels, by name or number; the others become background."""
    largest_component: bool = False
    """Keep only the largest connected component of each label."""
    format: Annotated[
        tuple[Format, ...], tyro.conf.arg(metavar="FORMAT ...", help_behavior_hint="(default: nii.gz)")
    ] = ()
    """Also write FORMAT/CASE: nrrd, mha, seg.nrrd (3D Slicer), dicom-seg, rtstruct; itk-snap: names of the labels."""
    force_dicom: bool = False
    """Write DICOM also of scans unlike the training data, and with weights trained on synthetic data."""
    probabilities: bool = False
    """Also write probabilities/CASE.nii.gz: one volume for each class, on the network's grid."""
    statistics: bool = False
    """Also write statistics.csv and statistics.json: volume of each label in ml, intensities within it."""
    preview: bool = False
    """Also draw CASE.png: three planes with the labels."""
    overwrite: bool = False
    """Segment cases again whose label map exists; otherwise they are skipped."""
    keep_existing: bool = False
    """Keep label maps made by another bundle, other weights or other options; otherwise they stop the run."""
    json: bool = False
    """Print the record of each case as JSON."""

    def process(self) -> int:
        """Segment the volumes.

        Returns:
            0 if every case has a label map in each format, 1 if some cases failed.

        Raises:
            ValueError: an input, the output, the bundle, its weights, the device or an option is invalid; another run
                uses the output, or made label maps in it otherwise.
        """
        if self.overwrite and self.keep_existing:
            raise ValueError("overwrite: must not be given together with keep_existing")
        if "dicom-seg" in self.format and find_spec("highdicom") is None:
            from hybridseg.transforms.extras import install_command

            raise ValueError(f"format: dicom-seg: highdicom is not installed: {install_command('dicom')}")
        bundle = bundle_path(self.bundle)
        if not 0 <= self.grid_of < (channels := input_channels(bundle)):
            raise ValueError(f"grid_of: {self.grid_of}: must be the number of a channel, 0 to {channels - 1}")
        cases = self.find_cases(bundle)
        from hybridseg.app.inference.provenance import describe_settings
        from hybridseg.app.runtime.folder_lock import folder_lock

        settings = describe_settings(bundle, self.checkpoint, self.options(bundle))
        make_folder(self.output)
        self.warn_of_unread_files(cases)
        with ExitStack() as held:
            try:
                held.enter_context(folder_lock(self.output, "output"))
            except OSError as error:  # such as a full disk
                raise OSError(error.errno, error.strerror, str(self.output)) from error
            return self.predict(bundle, cases, settings)

    def predict(self, bundle: Path, cases: Sequence[InputCase], settings: Mapping[str, Any]) -> int:
        """Segment the cases in the output folder, which this run holds; return the exit code."""
        from hybridseg.app.inference.run_record import RunRecord

        every = self.list_work(cases)
        run_record = RunRecord(self.output)
        self.check_existing(every, run_record, settings)
        work = every[distributed.rank() :: distributed.world_size()]
        for _, case in work:
            if case.outcome == "skipped":
                run_record.note(case.record())
        formats = self.format_writer(bundle)
        if distributed.rank() == 0:
            formats.write_label_names()
        self.write_missing_formats(formats, work, run_record, input_channels(bundle))
        if self.statistics:
            self.measure_skipped(bundle, work, run_record)
        if self.preview:
            self.draw_skipped(bundle, work, run_record)
        lacking = self.cases_without_probabilities(every)
        waiting = [item for item in work if item[1].outcome == "waiting"]
        if waiting:
            planned = every if distributed.rank() == 0 else work
            run_record.settings = settings
            try:
                announced = [case for _, case in planned if case.outcome == "waiting"]
                self.segment(bundle, waiting, run_record, formats, announced)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(self.interrupted(work)) from None
        records = distributed.gather(([case for _, case in work], run_record))
        if distributed.rank() > 0:
            return 0
        run_record.merge(other for _, other in records)
        predicted = [case for part, _ in records for case in part]
        self.print_cases(predicted)
        failed = bool(lacking) or not all(case.is_complete for case in predicted)
        try:
            run_record.write(finished=True)
        except OSError as error:
            say("predict", f"{one_line(error)}: the record must be writable there")
            failed = True
        return int(failed)

    def find_cases(self, bundle: Path) -> list[InputCase]:
        """Find the cases; the files in the output folder are not cases.

        Raises:
            ValueError: an input is invalid, or the output is one of the inputs.
        """
        from hybridseg.transforms.datasets.inputs import find_cases

        own = os.path.realpath(self.output)
        if any(given.is_dir() and os.path.realpath(given) == own for given in self.inputs):
            rule = "must be another folder than the input: the next run would take the label maps for volumes"
            raise ValueError(f"output: {self.output}: {rule}")
        found = find_cases(
            self.inputs,
            channels=input_channels(bundle),
            series=self.series,
            modalities=input_modalities(bundle),
            fill_gaps=self.fill_gaps,
        )
        written = {own, *(os.path.join(own, name) for name in get_args(Format))}
        return [case for case in found if written.isdisjoint(map(os.path.realpath, case.images))]

    def list_work(self, cases: Sequence[InputCase]) -> list[Work]:
        """List the cases of all processes, waiting or skipped.

        Raises:
            ValueError: an output would replace an input, of the same case or of another.
        """
        from hybridseg.app.inference.outputs import case_files
        from hybridseg.app.inference.run_record import input_state

        read = {file_identity(image) for case in cases for image in case.images} - {None}
        work = []
        for case in cases:
            output = self.output / f"{case.name}.nii.gz"
            inputs = [os.fspath(image) for image in case.images]
            states = [input_state(path) for path in inputs]
            predicted = PredictedCase(case=case.name, inputs=inputs, input_states=states, output=str(output))
            for path in case_files(self.output, case.name):
                if file_identity(path) in read:
                    raise ValueError(f"output: {path}: must be another file than the inputs")
            if output.exists():
                predicted.outcome = "waiting" if self.overwrite else "skipped"
            work.append((case, predicted))
        return work

    def check_existing(self, work: Sequence[Work], run_record: RunRecord, settings: Mapping[str, Any]) -> None:
        """Check that existing label maps were made as this run would make them.

        Raises:
            ValueError: a label map was made otherwise, and `keep_existing` is False.
        """
        from hybridseg.app.inference.provenance import find_difference
        from hybridseg.transforms.io.dicom.series import DicomFolder

        skipped = [(case, predicted) for case, predicted in work if predicted.outcome == "skipped"]
        unknown, different = [], []
        for case, predicted in skipped:
            earlier = run_record.earlier.get(case.name, {})
            if distributed.rank() == 0 and (reason := changed_input(earlier, predicted)):
                say("predict", f"{predicted.output}: {reason}: skipped")
            made = run_record.known_settings(case.name)
            if made is None:
                unknown.append(predicted.output)
            elif found := find_difference(made, settings, dicom=isinstance(case.images[0], DicomFolder)):
                different.append((predicted.output, *found))
        if different:
            output, name, before, after = different[0]
            count = f"{len(different)} of {len(skipped)} existing label maps were made otherwise"
            line = f"output: {output}: made with {name} {before}, not {after}: {count}"
            if not self.keep_existing:
                rule = "use --overwrite to segment them again, --keep-existing to keep them, or another folder"
                raise ValueError(f"{line}: {rule}")
            if distributed.rank() == 0:
                say("predict", f"{line}: kept")
        if unknown and distributed.rank() == 0:
            also = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            say("predict", f"{unknown[0]}{also}: no record of what made the label map: skipped")

    def warn_of_unread_files(self, cases: Sequence[InputCase]) -> None:
        """Print which volumes and slices in and below the inputs are not read."""
        from hybridseg.transforms.datasets.skipped_inputs import beside_slices, other_slices, passed_over

        if distributed.rank() > 0:
            return
        own = {(self.output / name).resolve() for name in ("", "probabilities", *get_args(Format))}
        if beside := beside_slices(cases):
            what = f"beside DICOM slices, as are {len(beside) - 1} more" if len(beside) > 1 else "beside DICOM slices"
            say("predict", f"{beside[0]}: {what}: not read: name it to segment it too")
        if others := [folder for folder in other_slices(self.inputs, cases) if folder.resolve() not in own]:
            also = f" and {len(others) - 1} more folders" if len(others) > 1 else ""
            say("predict", f"{others[0]}{also}: slices of another modality than the bundle's: not read")
        if below := [folder for folder in passed_over(self.inputs) if folder.resolve() not in own]:
            what = f"{len(below)} folders with volumes" if len(below) > 1 else "a folder with volumes"
            say("predict", f"{below[0]}: {what} below an input: not searched: name it too, or list its volumes (.csv)")

    def format_writer(self, bundle: Path) -> FormatWriter:
        """Return the writer of other formats.

        Raises:
            VolumeError: a config of the bundle is invalid.
        """
        from hybridseg.app.inference.formats import FormatWriter

        labels = self.chosen_labels(label_parts(bundle)[0])
        return FormatWriter.for_bundle(
            bundle,
            self.output,
            self.format,
            labels,
            force_dicom=self.force_dicom,
            grid_of=self.grid_of,
            debug=self.debug,
        )

    def write_missing_formats(
        self, formats: FormatWriter, work: Sequence[Work], run_record: RunRecord, channels: int
    ) -> None:
        """Write formats that were not wanted or not possible when a label map was made, from that label map."""
        from hybridseg.app.inference.formats import write_from_label_map

        for case, predicted in work:
            if predicted.outcome == "skipped" and formats.missing(case.name):
                with predicted.stage("formats", debug=self.debug):
                    self.note_report(predicted, write_from_label_map(formats, case, Path(predicted.output), channels))
                self.print_lines(predicted)
                run_record.note(predicted.record())

    def note_report(self, predicted: PredictedCase, report: FormatReport) -> None:
        """Record what happened when a case was written in other formats."""
        predicted.outside = report.outside
        predicted.notes += report.notes
        predicted.unwritten = report.unwritten if self.format else None

    def print_lines(self, predicted: PredictedCase) -> None:
        """Print what the user should know about a case."""
        for line in predicted.lines:
            say("predict", line)

    def measure_skipped(self, bundle: Path, work: Sequence[Work], run_record: RunRecord) -> None:
        """Measure label maps that exist but are not in the statistics, as after an interrupted run."""
        written = [item for item in work if item[1].outcome == "skipped" and item[1].case not in run_record.statistics]
        if not written:
            return
        from hybridseg.app.inference.outputs import measure_written

        names, _ = label_parts(bundle)
        channels = input_channels(bundle)
        chosen = {label: names[label] for label in self.chosen_labels(names)}
        for case, predicted in tqdm(written, desc="statistics", unit="case", leave=False, disable=None):
            rows: Sequence[Mapping[str, Any]] = ()
            with predicted.stage("statistics", debug=self.debug):
                measured = measure_written(
                    case, Path(predicted.output), channels=channels, label_names=chosen, grid_of=self.grid_of
                )
                rows = [asdict(row) for row in measured]
            if predicted.error is not None:
                say("predict", predicted.error)
            run_record.note(predicted.record(), rows)

    def draw_skipped(self, bundle: Path, work: Sequence[Work], run_record: RunRecord) -> None:
        """Draw the cases whose label map exists, but not their picture."""
        from hybridseg.app.inference.outputs import draw_written, preview_path

        names, _ = label_parts(bundle)
        chosen = {label: names[label] for label in self.chosen_labels(names)}
        for case, predicted in work:
            if predicted.outcome != "skipped" or preview_path(self.output, case.name).exists():
                continue
            with predicted.stage("preview", debug=self.debug):
                draw_written(
                    case,
                    Path(predicted.output),
                    channels=input_channels(bundle),
                    label_names=chosen,
                    window=shown_window(bundle),
                    grid_of=self.grid_of,
                )
            if predicted.error is not None:
                say("predict", predicted.error)
                run_record.note(predicted.record())

    def cases_without_probabilities(self, work: Sequence[Work]) -> list[str]:
        """Report and return the skipped cases of all processes whose probabilities are wanted and do not exist."""
        from hybridseg.app.inference.outputs import probabilities_path

        if not self.probabilities or distributed.rank() > 0:
            return []
        skipped = [predicted.case for _, predicted in work if predicted.outcome in ("skipped", "failed")]
        lacking = [case for case in skipped if not probabilities_path(self.output, case).exists()]
        if lacking:
            also = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            rule = "written only with the label map, which exists: use --overwrite"
            say("predict", f"{probabilities_path(self.output, lacking[0])}{also}: does not exist: {rule}")
        return lacking

    def segment(
        self,
        bundle: Path,
        work: Sequence[Work],
        run_record: RunRecord,
        formats: FormatWriter,
        planned: Sequence[PredictedCase],
    ) -> None:
        """Segment the cases that are waiting.

        Args:
            bundle: folder of the bundle.
            work: the cases of this process.
            run_record: receives what made them, and what happened to each.
            formats: writes other formats.
            planned: the cases to announce in the record, those of other processes too.
        """
        from hybridseg.app.inference.outputs import Outputs
        from hybridseg.app.inference.predictor import Predictor
        from hybridseg.app.runtime.machine import describe_machine, versions

        predictor = Predictor(
            bundle,
            distributed.own_device(self.device),
            self.checkpoint or None,
            overlap=self.overlap,
            batch=self.batch,
            precision=self.precision,
            mirror=self.tta,
            grid_of=self.grid_of,
        )
        run_record.settings = {
            "versions": versions(),
            **run_record.settings,
            **describe_machine(predictor.device),
            "precision": predictor.precision,
        }
        run_record.plan(case.record() for case in planned)
        if distributed.rank() == 0:
            run_record.write()  # an error, such as a full disk, stops the run before it computes
        outputs = Outputs(
            folder=self.output,
            predictor=predictor,
            labels=self.chosen_labels(predictor.label_names),
            formats=formats,
            largest_component=self.largest_component,
            probabilities=self.probabilities,
            statistics=self.statistics,
            preview=self.preview,
        )
        rows: dict[str, Sequence[Mapping[str, Any]]] = {}

        predicted = {case.case: case for _, case in work}

        def finish(case: InputCase, data: Data) -> None:
            measured, report = outputs.write(case, data)
            rows[case.name] = [asdict(row) for row in measured]
            self.note_report(predicted[case.name], report)

        done = segment_cases(predictor, work, finish, probabilities=self.probabilities, debug=self.debug)
        hidden = None if distributed.rank() == 0 else True
        noted = set()
        try:
            for case in tqdm(done, total=len(work), desc="cases", unit="case", leave=False, disable=hidden):
                self.print_lines(case)
                run_record.note(case.record(), rows.pop(case.case, ()))
                noted.add(case.case)
                self.save(run_record)
        except KeyboardInterrupt:
            for _, case in work:  # the one that was being written
                if case.outcome != "waiting" and case.case not in noted:
                    run_record.note(case.record(), rows.pop(case.case, ()))
            self.save(run_record)
            raise

    def save(self, run_record: RunRecord) -> None:
        """Write the record, in the first process; an error is reported at the end if writing still fails."""
        if distributed.rank() == 0:
            with suppress(OSError):
                run_record.write()

    def interrupted(self, work: Sequence[Work]) -> str:
        """Say how far this run came before Ctrl-C, and how to continue."""
        done = sum(case.outcome in ("written", "skipped") for _, case in work)
        again = "repeat the command to start again" if self.overwrite else "repeat the command to continue"
        return f"interrupted: {done} of {len(work)} written; {again}"

    def chosen_labels(self, names: Mapping[int, str]) -> list[int]:
        """Return the labels to write.

        Raises:
            ValueError: the bundle does not have a label.
        """
        words = [word for text in self.labels for word in text.split(",")]
        chosen = [label for label, name in names.items() if not words or name in words or str(label) in words]
        for word in words:
            if word not in (*names.values(), *map(str, names)):
                raise ValueError(f"labels: {word!r}: must be one of {', '.join(names.values())}")
        return chosen

    def options(self, bundle: Path) -> dict[str, Any]:
        """Return the options that change the results, for the record.

        Raises:
            ValueError: the bundle does not have a label.
        """
        names, _ = label_parts(bundle)
        options = {name: getattr(self, name) for name in RECORDED_OPTIONS}
        return {**options, "labels": [names[label] for label in self.chosen_labels(names)]}

    def print_cases(self, cases: Sequence[PredictedCase]) -> None:
        """Print how many cases were written, or all records as JSON."""
        if self.json:
            from hybridseg.transforms.io.json_files import as_json

            print(as_json([case.record() for case in cases]))
            return
        written = sum(case.outcome == "written" for case in cases)
        skipped = sum(case.outcome == "skipped" for case in cases)
        print(f"{written} of {len(cases)} cases written to {self.output}", end="")
        print(f", {skipped} skipped: already there (use --overwrite to segment them again)" if skipped else "")


def changed_input(earlier: Mapping[str, Any], now: PredictedCase) -> str | None:
    """Return how the inputs of a case differ from those that its label map was made from, as recorded; None if not."""
    before = earlier.get("inputs") or []
    if other := other_input(before, now.inputs):
        return f"made from {other[0]}, not {other[1]}"
    known = zip(before, now.inputs, earlier.get("input_states") or [], now.input_states, strict=False)
    changed = [path for old, path, was, is_now in known if os.path.exists(old) and was != is_now]
    return f"made before {', '.join(changed)} changed" if changed else None


def file_identity(path: PathLike) -> tuple[int, int] | None:
    """Return what two names of one file have in common; None if there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def other_input(before: Sequence[str], inputs: Sequence[str]) -> tuple[str, str] | None:
    """Return the first input that is another file than before, as both exist; None if there is none."""
    for old, new in zip(before, inputs, strict=False):
        if os.path.exists(old) and os.path.exists(new) and not os.path.samefile(old, new):
            return old, new
    return None
