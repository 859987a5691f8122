"""`hybridseg evaluate`: score label maps against their references."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tqdm import tqdm

from hybridseg.app.bundling.config import ignore_label, input_modalities, label_parts, label_rois
from hybridseg.app.labels.choice import choose_labels
from hybridseg.app.runtime.console import hides_bars, say, say_done
from hybridseg.app.runtime.failed_cases import CaseFailures
from hybridseg.app.runtime.folder_lock import folder_lock
from hybridseg.app.runtime.options import check_at_least, check_positive
from hybridseg.bundles import bundle_path

from .command import VolumeCommand, make_folder

if TYPE_CHECKING:
    from hybridseg.app.evaluation.metrics import LabelScore
    from hybridseg.app.evaluation.references import Reference
    from hybridseg.transforms.regions import Regions

LOCK = ".hybridseg-evaluate.lock"
"""Held in the folder of the scores, which may be that of label maps that are being predicted."""


@dataclass
class Evaluate(VolumeCommand):
    """Score label maps against references of the same name: Dice, surface distances and volumes of each label.

    With a bundle that predicts regions of several labels, such as the whole tumour, each region is scored instead.
    """

    examples = ("labels Task04_Hippocampus -o scores", "labels labelsTs --labels 1=anterior 2=posterior")

    predictions: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="PREDICTIONS")]]
    """Folder of predicted label maps, or a single one."""
    references: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="REFERENCES")]]
    """Folder of reference label maps or of RTSTRUCT, DICOM SEG or .seg.nrrd files; one of them; or a dataset."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    """Folder for scores.csv and scores.json (each case and label) and summary.json."""
    bundle: Annotated[
        str | None, tyro.conf.arg(metavar="NAME|FOLDER", help_behavior_hint="(default: bundle in run.json)")
    ] = None
    """Bundle that names the labels, or regions of labels, to score."""
    labels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL ...", help_behavior_hint="(default: all)")] = ()
    """Labels to score, instead of regions: NAME, NUMBER or NUMBER=NAME, such as `--labels 1=anterior 2=posterior`."""
    roi: tyro.conf.UseAppendAction[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATTERN=N", help_behavior_hint="(default: the bundle's)")]
    ] = ()
    """Label of the ROIs with such names in RTSTRUCT, DICOM SEG and .seg.nrrd references: `--roi 'GTV*=1'`.
    May be repeated; where ROIs overlap, the later pattern wins."""
    ignore: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the bundle's)")] = None
    """Label of the voxels without annotation in the references: what is predicted there counts for nothing."""
    tolerance: Annotated[float, tyro.conf.arg(metavar="MM")] = 1.0
    """Tolerance of the surface Dice in mm: the distance up to which surfaces agree."""
    resample: bool = False
    """Resample predictions on another grid to their reference's, by nearest neighbour, instead of failing."""
    complete: bool = False
    """Count a reference without a prediction as a failed case; otherwise it is reported and left out."""

    def process(self) -> int:
        """Score the predictions.

        Returns:
            0 if all cases were scored, 1 if some failed, or lack a prediction with `complete`.

        Raises:
            ValueError: a folder, a label or the tolerance is invalid, or another run writes scores into the folder.
        """
        check_positive(tolerance=self.tolerance)
        check_at_least(1, ignore=self.ignore)
        bundle = bundle_path(self.bundle) if self.bundle else self.recorded_bundle()
        names, regions = self.labels_to_score(bundle)
        from hybridseg.transforms.io.names import case_name, check_exists, find_volumes

        predictions = find_volumes([self.predictions])
        check_exists(self.references)
        from hybridseg.app.evaluation.files import score_files
        from hybridseg.app.evaluation.references import find_references
        from hybridseg.app.evaluation.tables import summary_record, summary_table, write_reports
        from hybridseg.transforms.io.masks import parse_rois

        rois = parse_rois(self.roi) or (label_rois(bundle) if bundle else {})
        ignore = self.ignore
        if ignore is None and bundle:
            ignore = ignore_label(bundle)
        if ignore in (names or {}):
            raise ValueError(f"ignore: {ignore}: must not be among the labels to score")
        references = find_references(
            self.references,
            rois,
            predicted=[case_name(path) for path in predictions],
            modality=input_modalities(bundle)[0] if bundle else None,
        )
        with ExitStack() as held:
            if self.output is not None:
                make_folder(self.output)
                held.enter_context(folder_lock(self.output, "output", LOCK))
            scores: list[LabelScore] = []
            failures = CaseFailures("evaluate", debug=self.debug)
            self.check_complete({case_name(path) for path in predictions}, references, failures)
            cases = len(predictions) + len(failures)
            bar = tqdm(predictions, desc="cases", unit="case", leave=False, disable=hides_bars())
            for number, path in enumerate(bar, 1):
                with failures.catch(str(path)):
                    scores += score_files(
                        path,
                        references.get(case_name(path)),
                        label_names=names,
                        regions=regions,
                        ignore=ignore,
                        tolerance=self.tolerance,
                        resample=self.resample,
                    )
                    say_done("evaluate", f"{number} of {len(predictions)}: {case_name(path)}: scored")
            if self.output is not None:
                write_reports(scores, self.output, tolerance=self.tolerance, ignore=ignore, resample=self.resample)
            record = summary_record(scores, tolerance=self.tolerance, ignore=ignore, resample=self.resample)
            record |= {"scores": [asdict(score) for score in scores], "errors": failures.messages}
            lines = [summary_table(scores, tolerance=self.tolerance)] if scores else []
            self.show(record, "\n".join([*lines, f"{cases - len(failures)} of {cases} cases scored"]))
        return int(len(failures) > 0)

    def recorded_bundle(self) -> Path | None:
        """Return the bundle that `run.json` beside the predictions names; None if there is none."""
        from hybridseg.app.inference.run_record import RunRecord, recorded_bundle
        from hybridseg.transforms.errors import VolumeError

        folder = self.predictions if self.predictions.is_dir() else self.predictions.parent
        try:
            return recorded_bundle(RunRecord(folder))
        except VolumeError:  # a file of this name that another program wrote
            return None

    def check_complete(self, predicted: set[str], references: Mapping[str, Reference], failures: CaseFailures) -> None:
        """Report references without a prediction; they are failed cases if the predictions must be complete.

        Args:
            predicted: names of the cases that have a prediction.
            references: the reference of each case.
            failures: collects the failed cases.
        """
        unpredicted = {case: path for case, path in references.items() if case not in predicted}
        if self.complete:
            for case, path in unpredicted.items():
                rule = "every reference needs a prediction of its name"
                failures.add(case, f"{path}: no prediction named {case}: {rule}")
        elif unpredicted and self.predictions.is_dir():  # with a single prediction, the others are not expected
            left_out = f"{len(unpredicted)} of {len(references)} references have no prediction and are left out"
            say("evaluate", f"{left_out}, such as {next(iter(unpredicted))} (--complete counts them as failed)")

    def labels_to_score(self, bundle: Path | None) -> tuple[dict[int, str] | None, Regions | None]:
        """Return the names of the labels to score by number (None for all), and the regions to score instead, if any.

        Raises:
            ValueError: a label or the bundle is invalid, or a label or name is given twice.
        """
        names, regions = label_parts(bundle) if bundle else (None, None)
        if self.labels:
            return choose_labels(self.labels, names or {}), None
        return names, regions
