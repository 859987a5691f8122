"""The handler of a MONAI evaluator that scores cases as `hybridseg evaluate` does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ignite.engine import Engine, Events
from monai.utils import ImageMetaKey

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import grid_difference
from hybridseg.transforms.io.names import case_name
from hybridseg.transforms.regions import Regions

if TYPE_CHECKING:
    from .metrics import LabelScore


class ScoreCases:
    """Scores each case as `hybridseg evaluate` does; at the end writes the scores and logs their table.

    The evaluator's postprocessed outputs have `pred` and `label`, MetaTensors (1, X, Y, Z) of labels on the same grid.

    Args:
        label_names: names of the labels to score, by number; JSON configurations give the numbers as text.
        output_dir: folder for `scores.csv`, `scores.json` and `summary.json`.
        tolerance: of the surface Dice, in mm.
        regions: regions to score as a whole, instead of labels.
        ignore: label of the voxels without annotation in the reference, which count for nothing; None if there is none.
    """

    def __init__(
        self,
        label_names: Mapping[str | int, str],
        output_dir: str | Path,
        tolerance: float = 1.0,
        regions: Regions | None = None,
        ignore: int | None = None,
    ) -> None:
        self.label_names = {int(label): name for label, name in label_names.items()}
        self.output_dir = Path(output_dir)
        self.tolerance = tolerance
        self.regions = regions
        self.ignore = ignore
        self.scores: list[LabelScore] = []

    def attach(self, evaluator: Engine) -> None:
        """Register with an evaluator; MONAI's engines call this for each of their handlers."""
        evaluator.add_event_handler(Events.STARTED, lambda: self.scores.clear())
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self.score)
        evaluator.add_event_handler(Events.COMPLETED, self.report)

    def score(self, evaluator: Engine) -> None:
        """Score the cases of the current batch."""
        from hybridseg.app.labels.label_maps import compact_labels

        from .metrics import score_case

        outputs: Any = evaluator.state.output
        for output in outputs:
            label, prediction = output["label"], output["pred"]
            affine, predicted_affine = (volume.affine.cpu().numpy() for volume in (label, prediction))
            file = label.meta[ImageMetaKey.FILENAME_OR_OBJ]
            if difference := grid_difference(label.shape[1:], affine, prediction.shape[1:], predicted_affine):
                raise VolumeError(file, difference, "must be on the grid of its image")
            self.scores += score_case(
                compact_labels(prediction[0]),
                compact_labels(label[0]),
                affine=affine,
                label_names=self.label_names,
                regions=self.regions,
                ignore=self.ignore,
                tolerance=self.tolerance,
                case=case_name(file),
            )

    def report(self) -> None:
        """Write `scores.csv`, `scores.json` and `summary.json`, and log the table."""
        from .tables import summary_table, write_reports

        write_reports(self.scores, self.output_dir, tolerance=self.tolerance, ignore=self.ignore)
        table = summary_table(self.scores, tolerance=self.tolerance)
        logging.getLogger("hybridseg.evaluation").info(f"{table}\nscores written to {self.output_dir}")
