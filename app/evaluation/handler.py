"""Score the cases of an evaluation run of MONAI as `hybridseg evaluate` does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ignite.engine import Engine, Events
from monai.utils import ImageMetaKey

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import grid_difference, voxel_lengths
from hybridseg.transforms.io.names import case_name
from hybridseg.transforms.regions import Regions

if TYPE_CHECKING:
    from .metrics import LabelScore


class ScoreCases:
    """Score each case as `hybridseg evaluate` does; at the end write the scores and log their table.

    The evaluator's postprocessed outputs have `pred` and `label`, MetaTensors (1, X, Y, Z) of labels on one grid.

    Args:
        label_names: name of each label to score; a JSON configuration gives the labels as text.
        output_dir: folder for `scores.csv`, `scores.json` and `summary.json`.
        tolerance: of the surface Dice, in mm.
        regions: score these instead of labels.
    """

    def __init__(
        self,
        label_names: Mapping[str | int, str],
        output_dir: str | Path,
        tolerance: float = 1.0,
        regions: Regions | None = None,
    ) -> None:
        self.label_names = {int(label): name for label, name in label_names.items()}
        self.output_dir = Path(output_dir)
        self.tolerance = tolerance
        self.regions = regions
        self.scores: list[LabelScore] = []

    def attach(self, evaluator: Engine) -> None:
        """Called by MONAI's engines for each of their handlers."""
        evaluator.add_event_handler(Events.STARTED, lambda: self.scores.clear())
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self.score)
        evaluator.add_event_handler(Events.COMPLETED, self.report)

    def score(self, evaluator: Engine) -> None:
        """Score the cases of the batch that was just predicted."""
        from hybridseg.app.labels.label_maps import compact_labels

        from .metrics import score_case

        outputs: Any = evaluator.state.output
        for output in outputs:
            label, prediction = output["label"], output["pred"]
            grids = [(volume.shape[1:], volume.affine.cpu().numpy()) for volume in (label, prediction)]
            if fault := grid_difference(*grids[0], *grids[1]):
                raise VolumeError(label.meta[ImageMetaKey.FILENAME_OR_OBJ], fault, "must be on the grid of its image")
            self.scores += score_case(
                compact_labels(prediction[0]),
                compact_labels(label[0]),
                spacing=voxel_lengths(label.affine.cpu().numpy()).tolist(),
                label_names=self.label_names,
                regions=self.regions,
                tolerance=self.tolerance,
                case=case_name(label.meta[ImageMetaKey.FILENAME_OR_OBJ]),
            )

    def report(self) -> None:
        """Write `scores.csv`, `scores.json` and `summary.json`, and log the table."""
        from .tables import summary_table, write_reports

        write_reports(self.scores, self.output_dir, tolerance=self.tolerance)
        table = summary_table(self.scores, tolerance=self.tolerance)
        logging.getLogger("hybridseg.evaluation").info(f"{table}\nscores written to {self.output_dir}")
