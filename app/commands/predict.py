"""`hybridseg predict`: segment volumes with a bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro
from tqdm import tqdm

from hybridseg.app.bundling.config import input_channels, input_modalities, label_parts, shown_window
from hybridseg.app.bundling.packed import find_bundle
from hybridseg.app.bundling.training_data import TrainingData
from hybridseg.app.inference.cohort import PredictedCase
from hybridseg.app.labels.choice import choose_labels
from hybridseg.app.runtime import distributed
from hybridseg.app.runtime.console import hides_bars, one_line, say, say_done
from hybridseg.app.runtime.options import check_positive, parse_size
from hybridseg.bundles import bundle_names

from .command import BUNDLE_DEFAULT, PrecisionName, VolumeCommand, make_folder

if TYPE_CHECKING:
    from hybridseg.app.inference.completion import Completion
    from hybridseg.app.inference.dask import DaskSegmenter
    from hybridseg.app.inference.existing import Work
    from hybridseg.app.inference.formats import FormatWriter
    from hybridseg.app.inference.run_record import RunRecord
    from hybridseg.app.inference.segmenter import Rows, Segmenter
    from hybridseg.transforms.datasets.input_case import InputCase

Format = Literal["nii.gz", "nrrd", "mha", "seg.nrrd", "dicom-seg", "rtstruct", "itk-snap"]
RECORDED_OPTIONS = ("series", "fill_gaps", "grid_of", "overlap", "batch", "tta", "largest_component", "remove_small")


@dataclass
class Predict(VolumeCommand):
    """Segment volumes with a bundle; write FOLDER/CASE.nii.gz for each case, on the grid of its volume."""

    examples = (
        "scans -o labels --bundle hippocampus_mri_segmentation",
        "ct.nii.gz -o labels --bundle bundles/liver --labels liver --preview",
    )

    inputs: tyro.conf.Positional[
        Annotated[tuple[Path, ...], tyro.conf.arg(metavar="INPUT [INPUT ...]", help_behavior_hint="(required)")]
    ]
    """Volumes (NIfTI, NRRD, MetaImage), DICOM folders, zips of them, folders of these, or lists (.csv, .json)."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the label maps; created if needed."""
    bundle: Annotated[str, tyro.conf.arg(metavar="NAME|FOLDER|ZIP")]
    """Name of a shipped bundle (see `hybridseg info`), or the folder or packed zip of any bundle."""
    checkpoint: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE ...", help_behavior_hint=BUNDLE_DEFAULT)] = ()
    """Weights or exported networks (.onnx, .ts, .pt2) to use instead; the logits of several are averaged."""
    series: Annotated[str | None, tyro.conf.arg(metavar="UID|NUMBER,...", help_behavior_hint="")] = None
    """Series to read from DICOM folders that hold several; for several channels, that of each."""
    fill_gaps: bool = False
    """Interpolate a missing slice of a DICOM series; otherwise the case fails."""
    grid_of: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Channel, from 0, on whose grid the label maps are, where channels have grids of their own, such as CT and PET."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda or cuda:N; auto uses a GPU if there is one."""
    precision: Annotated[
        PrecisionName | None, tyro.conf.arg(metavar="PRECISION", help_behavior_hint=BUNDLE_DEFAULT)
    ] = None
    """auto, fp32, bf16 or fp16 (CUDA only); auto uses bf16 on devices where it is faster than fp32."""
    overlap: Annotated[float | None, tyro.conf.arg(metavar="SHARE", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Overlap of neighbouring windows, 0 to below 1; more is slower and slightly better."""
    batch: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Windows computed at once."""
    tta: bool = False
    """Average over mirrored windows, if the bundle allows it: slower, and often slightly better."""
    labels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL ...", help_behavior_hint="(default: all)")] = ()
    """Write only these labels, by NAME, NUMBER or NUMBER=NAME; the others become background."""
    largest_component: bool = False
    """Keep only the largest connected component of each label."""
    remove_small: Annotated[float | None, tyro.conf.arg(metavar="MM3", help_behavior_hint="")] = None
    """Remove connected components of each label below this volume, in mm³."""
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
    dask: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS|FILE", help_behavior_hint="")] = None
    """Let the workers of a Dask scheduler segment the cases: its address, such as tcp://host:8786, or its file."""

    def process(self) -> int:
        """Segment the volumes.

        Returns:
            0 if every case has a label map in each format, 1 if a case failed or probabilities are missing.

        Raises:
            ValueError: an input, the output, the bundle, its weights, the device or an option is invalid; another run
                uses the output, or made label maps in it otherwise.
        """
        if self.overwrite and self.keep_existing:
            raise ValueError("overwrite: must not be given together with keep_existing")
        check_positive(remove_small=self.remove_small)
        if "dicom-seg" in self.format and find_spec("highdicom") is None:
            from hybridseg.transforms.extras import install_command

            raise ValueError(f"format: dicom-seg: highdicom is not installed: {install_command('dicom')}")
        if self.dask is not None:
            from hybridseg.app.inference.dask import check_dask

            check_dask()
        if not self.inputs:
            raise ValueError("INPUT: none: at least one file or folder is needed")
        bundle = find_bundle(self.bundle)
        if not 0 <= self.grid_of < (channels := input_channels(bundle)):
            raise ValueError(f"grid_of: {self.grid_of}: must be the number of a channel, 0 to {channels - 1}")
        cases = self.find_cases(bundle)
        from hybridseg.app.runtime.folder_lock import folder_lock

        settings = self.describe()
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
        from hybridseg.app.inference.completion import lacks_probabilities
        from hybridseg.app.inference.existing import check_existing, list_work
        from hybridseg.app.inference.run_record import RunRecord

        every = list_work(cases, self.output, overwrite=self.overwrite)
        run_record = RunRecord(self.output)
        check_existing(every, run_record, settings, keep_existing=self.keep_existing)
        work = every[distributed.rank() :: distributed.world_size()]
        for _, case in work:
            if case.outcome == "skipped":
                run_record.note(case.record())
        formats = self.format_writer(bundle)
        if distributed.rank() == 0:
            formats.write_label_names()
        self.completion(bundle, formats).run(work, run_record)
        lacking = self.probabilities and distributed.rank() == 0 and lacks_probabilities(self.output, every)
        waiting = [item for item in work if item[1].outcome == "waiting"]
        if waiting:
            planned = every if distributed.rank() == 0 else work
            run_record.settings = settings
            try:
                announced = [case for _, case in planned if case.outcome == "waiting"]
                self.segment(waiting, run_record, announced)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(self.interrupted(work)) from None
        records = distributed.gather(([case for _, case in work], run_record))
        if distributed.rank() > 0:
            return 0
        run_record.merge(other for _, other in records)
        predicted = [case for part, _ in records for case in part]
        if any(case.outcome == "written" for case in predicted) and TrainingData.read(bundle).synthetic:
            say("predict", f"{bundle.name} was trained on synthetic data: its label maps are no use for real scans")
        failed = lacking or not all(case.is_complete for case in predicted)
        try:
            run_record.write(finished=True)
        except OSError as error:
            say("predict", f"{one_line(error)}: the record must be writable there")
            failed = True
        self.print_cases(predicted)
        return int(failed)

    def find_cases(self, bundle: Path) -> list[InputCase]:
        """Find the cases; the files in the output folder are not cases.

        Raises:
            ValueError: an input is invalid, or the output is one of the inputs.
        """
        from hybridseg.transforms.datasets.inputs import find_cases
        from hybridseg.transforms.io.names import volume_extension

        own = os.path.realpath(self.output)
        if volume_extension(self.output) and not self.output.is_dir():
            rule = "must be a folder: it gets FOLDER/CASE.nii.gz for each case"
            raise ValueError(f"output: {self.output}: {rule}")
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

    def warn_of_unread_files(self, cases: Sequence[InputCase]) -> None:
        """Print which volumes and slices in and below the inputs are not read."""
        from hybridseg.transforms.datasets.skipped_inputs import beside_slices, other_formats, other_slices, passed_over

        if distributed.rank() > 0:
            return
        own = {(self.output / name).resolve() for name in ("", "probabilities", *get_args(Format))}
        if beside := beside_slices(cases):
            what = f"beside DICOM slices, as are {len(beside) - 1} more" if len(beside) > 1 else "beside DICOM slices"
            say("predict", f"{beside[0]}: {what}: not read: name it to segment it too")
        if others := [folder for folder in other_slices(self.inputs, cases) if folder.resolve() not in own]:
            also = f" and {len(others) - 1} more folders" if len(others) > 1 else ""
            say("predict", f"{others[0]}{also}: slices of another modality than the bundle's: not read")
        if unread := other_formats(self.inputs):
            also = f" and {len(unread) - 1} more files" if len(unread) > 1 else ""
            say("predict", f"{unread[0]}{also}: a format that is not read: convert it to NIfTI to segment it too")
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

    def completion(self, bundle: Path, formats: FormatWriter) -> Completion:
        """Return what makes formats, statistics and pictures of label maps that exist.

        Raises:
            VolumeError: a config of the bundle is invalid.
        """
        from hybridseg.app.inference.completion import Completion

        names, _ = label_parts(bundle)
        return Completion(
            folder=self.output,
            formats=formats,
            channels=input_channels(bundle),
            label_names={label: names[label] for label in self.chosen_labels(names)},
            window=shown_window(bundle),
            grid_of=self.grid_of,
            statistics=self.statistics,
            preview=self.preview,
            debug=self.debug,
        )

    def segment(self, work: Sequence[Work], run_record: RunRecord, planned: Sequence[PredictedCase]) -> None:
        """Segment the cases that are waiting.

        Args:
            work: the cases of this process.
            run_record: has the settings of the run; receives what made the cases, and what happened to each.
            planned: the cases to announce in the record, those of other processes too.
        """
        rows: Rows = {}
        hidden = hides_bars() if distributed.rank() == 0 else True
        noted = set()
        with self.segmenter(run_record.settings) as segmenter:
            run_record.use(segmenter.settings)
            run_record.plan(case.record() for case in planned)
            if distributed.rank() == 0:
                run_record.write()  # an error, such as a full disk, stops the run before it computes
            done = segmenter.run(work, rows)
            try:
                bar = tqdm(done, total=len(work), desc="cases", unit="case", leave=False, disable=hidden)
                for number, case in enumerate(bar, 1):
                    for line in case.lines:
                        say("predict", line)
                    if case.error is None:
                        stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in case.seconds.items())
                        say_done("predict", f"{number} of {len(work)}: {case.case}: {case.outcome} ({stages})")
                    run_record.use(segmenter.settings)
                    run_record.note(case.record(), rows.pop(case.case, ()))
                    noted.add(case.case)
                    self.save(run_record)
            except KeyboardInterrupt:
                for _, case in work:  # the one that was being written
                    if case.outcome != "waiting" and case.case not in noted:
                        run_record.note(case.record(), rows.pop(case.case, ()))
                self.save(run_record)
                raise

    def segmenter(self, settings: Mapping[str, Any]) -> AbstractContextManager[Segmenter | DaskSegmenter]:
        """Return what segments cases: the bundle in this process, or the workers of a Dask scheduler."""
        if self.dask is None:
            return nullcontext(self.load(settings))
        from hybridseg.app.inference.dask import Job, connect

        shared = replace(
            self,
            inputs=(),
            output=self.output.absolute(),
            bundle=self.bundle if self.bundle in bundle_names() else os.path.abspath(self.bundle),
            checkpoint=tuple(path.absolute() for path in self.checkpoint),
        )
        job = Job(
            describe=shared.describe,
            load=shared.load,
            settings=settings,
            output=shared.output,
            threads=self.threads,
            max_memory=None if self.max_memory is None else parse_size(max_memory=self.max_memory),
        )
        return connect(self.dask, job)

    def load(self, settings: Mapping[str, Any]) -> Segmenter:
        """Load the bundle to segment cases in this process.

        Args:
            settings: those of the run, as `describe` returns.

        Raises:
            ValueError: the bundle cannot be loaded, or its config or weights changed meanwhile, as by a training.
        """
        from hybridseg.app.inference.outputs import Outputs
        from hybridseg.app.inference.predictor import Predictor
        from hybridseg.app.inference.provenance import check_unchanged
        from hybridseg.app.inference.segmenter import Segmenter
        from hybridseg.app.runtime.machine import describe_machine, versions

        bundle = find_bundle(self.bundle)
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
        check_unchanged(settings, self.describe())
        outputs = Outputs(
            folder=self.output,
            predictor=predictor,
            labels=self.chosen_labels(predictor.label_names),
            formats=self.format_writer(bundle),
            largest_component=self.largest_component,
            remove_small=self.remove_small,
            probabilities=self.probabilities,
            statistics=self.statistics,
            preview=self.preview,
        )
        machine = {**describe_machine(predictor.device), "precision": predictor.precision}
        return Segmenter(outputs=outputs, settings={"versions": versions(), **settings, **machine}, debug=self.debug)

    def describe(self) -> dict[str, Any]:
        """Describe what will make the label maps.

        Raises:
            ValueError: a config of the bundle cannot be read, or the bundle does not have a label.
        """
        from hybridseg.app.inference.provenance import describe_settings

        bundle = find_bundle(self.bundle)
        return describe_settings(bundle, self.checkpoint, self.options(bundle))

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
        chosen = choose_labels(self.labels, names)
        for label, name in chosen.items():
            if names.get(label) != name:
                known = ", ".join(f"{number}={known}" for number, known in names.items())
                raise ValueError(f"labels: '{label}={name}': must be one of {known}")
        return sorted(chosen) or list(names)

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
        written = sum(case.outcome == "written" for case in cases)
        skipped = sum(case.outcome == "skipped" for case in cases)
        text = f"{written} of {len(cases)} cases written to {self.output}"
        if skipped:
            text += f", {skipped} skipped: already there (use --overwrite to segment them again)"
        self.show([case.record() for case in cases], text)
