"""`hybridseg evaluate`: measure label maps against their references."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tqdm import tqdm

from hybridseg.app.bundling.config import label_parts
from hybridseg.app.runtime.console import one_line, say
from hybridseg.bundles import bundle_path

from .command import Command, make_folder

if TYPE_CHECKING:
    from hybridseg.app.evaluation.metrics import LabelScore
    from hybridseg.transforms.regions import Regions


@dataclass
class Evaluate(Command):
    """Measure label maps against references of the same name: Dice, distances of surfaces and volumes of each label.

    Of a bundle whose labels make regions, such as a whole tumour, each region is measured instead.
    """

    predictions: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="PREDICTIONS")]]
    """Folder of label maps to measure, or one of them."""
    references: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="REFERENCES")]]
    """Folder of label maps taken for true, or one of them."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    """Folder for scores.csv and scores.json (each case and label) and summary.json."""
    bundle: Annotated[str | None, tyro.conf.arg(metavar="NAME|FOLDER", help_behavior_hint="")] = None
    """Bundle whose labels, or regions of labels, are measured, by its names for them."""
    labels: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="N[=NAME] ...", help_behavior_hint="(default: all there are)")
    ] = ()
    """Labels to measure, instead of a bundle's: `--labels 1=anterior 2=posterior`."""
    tolerance: Annotated[float, tyro.conf.arg(metavar="MM")] = 1.0
    """Distance in mm up to which surfaces agree, for the surface Dice."""
    resample: bool = False
    """Put predictions on another grid onto their reference's, by nearest neighbour, instead of refusing them."""
    complete: bool = False
    """Take a reference without a prediction for a case that failed; otherwise it is told and left out."""
    json: bool = False
    """Print the scores and their summary as JSON instead of a table."""

    def run(self) -> int:
        """Measure the predictions.

        Returns:
            0 when all were measured, 1 when some could not be, or have no prediction and `complete` is set.

        Raises:
            ValueError: a folder, the labels or the tolerance cannot be used.
        """
        if not 0 < self.tolerance < inf:
            raise ValueError(f"tolerance: {self.tolerance}: must be a length above 0 mm")
        names, regions = self.parts()
        from hybridseg.app.evaluation.files import score_files
        from hybridseg.app.evaluation.tables import summary_record, summary_table, write_reports
        from hybridseg.app.runtime.console import as_json
        from hybridseg.transforms.io.names import case_name, find_volumes

        predictions = find_volumes([self.predictions])
        references = {case_name(path): path for path in find_volumes([self.references])}
        if self.output is not None:
            make_folder(self.output)
        scores: list[LabelScore] = []
        failures = self.tell_unpredicted({case_name(path) for path in predictions}, references)
        cases = len(predictions) + len(failures)
        for path in tqdm(predictions, desc="cases", unit="case", leave=False, disable=None):
            try:
                reference = references.get(case_name(path))
                scores += score_files(
                    path,
                    reference,
                    label_names=names,
                    regions=regions,
                    tolerance=self.tolerance,
                    resample=self.resample,
                )
            except Exception as error:
                if self.debug:
                    traceback.print_exception(error)
                failures.append(one_line(error))
                say("evaluate", failures[-1])
        if self.output is not None:
            write_reports(scores, self.output, tolerance=self.tolerance)
        if self.json:
            record = summary_record(scores, tolerance=self.tolerance)
            print(as_json({**record, "scores": [asdict(score) for score in scores], "errors": failures}))
        else:
            if scores:
                print(summary_table(scores, tolerance=self.tolerance))
            print(f"{cases - len(failures)} of {cases} cases measured")
        return int(bool(failures))

    def tell_unpredicted(self, predicted: set[str], references: Mapping[str, Path]) -> list[str]:
        """Tell of references without a prediction, unless a single prediction was asked for.

        Args:
            predicted: names of the cases that have a prediction.
            references: the reference of each case.

        Returns:
            A failure for each of them where predictions must be complete.
        """
        unpredicted = {case: path for case, path in references.items() if case not in predicted}
        if self.complete:
            rule = "every reference needs a prediction of its name"
            failures = [f"{path}: no prediction named {case}: {rule}" for case, path in unpredicted.items()]
            for failure in failures:
                say("evaluate", failure)
            return failures
        if unpredicted and self.predictions.is_dir():
            left_out = f"{len(unpredicted)} of {len(references)} references have no prediction and are left out"
            say("evaluate", f"{left_out}, such as {next(iter(unpredicted))} (--complete counts them as failed)")
        return []

    def parts(self) -> tuple[dict[int, str] | None, Regions | None]:
        """The labels to measure by number, None for all there are; and the regions to measure instead, if any."""
        if self.labels and self.bundle:
            raise ValueError(f"labels: {' '.join(self.labels)}: must not be given beside a bundle, which names its own")
        if self.bundle:
            return label_parts(bundle_path(self.bundle))
        return dict(map(parse_label, self.labels)) or None, None


def parse_label(text: str) -> tuple[int, str]:
    """Take `2=posterior`, or `2`, apart.

    Raises:
        ValueError: the label is not a number from 1.
    """
    number, _, name = text.partition("=")
    if not number.isdecimal() or int(number) < 1:
        raise ValueError(f"labels: {text!r}: must be a number from 1, or NUMBER=NAME")
    return int(number), name or number
