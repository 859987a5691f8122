"""What an existing label map lacks: other formats, statistics, a picture; made from the map, without the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monai.data import MetaTensor
from tqdm import tqdm

from hybridseg.app.labels.label_maps import compact_labels
from hybridseg.app.labels.label_statistics import LabelStatistics, label_statistics
from hybridseg.app.runtime.console import hides_bars, say
from hybridseg.transforms.datasets.inputs import InputCase

from .existing import Work
from .formats import FormatWriter, write_from_label_map
from .outputs import draw_preview, load_on_grid, preview_path, probabilities_path
from .run_record import RunRecord


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Makes what existing label maps lack.

    Args:
        folder: folder of the label maps.
        formats: writes other formats.
        channels: number of channels of an image.
        label_names: names of the labels that are kept, by number.
        window: intensity window of pictures, in HU; None takes the image's percentiles.
        grid_of: the channel on whose grid the label maps are.
        statistics: measure the labels.
        preview: draw a picture.
        debug: print the traceback of an error.
    """

    folder: Path
    formats: FormatWriter
    channels: int
    label_names: Mapping[int, str]
    window: tuple[float, float] | None
    grid_of: int = 0
    statistics: bool = False
    preview: bool = False
    debug: bool = False

    def run(self, work: Sequence[Work], run_record: RunRecord) -> None:
        """Complete the skipped cases of this process, such as those of an interrupted run, and record them."""
        skipped = [item for item in work if item[1].outcome == "skipped"]
        todo = [(case, predicted, self.lacks(case, run_record)) for case, predicted in skipped]
        todo = [item for item in todo if item[2]]
        for case, predicted, lacking in tqdm(todo, desc="completing", unit="case", leave=False, disable=hides_bars()):
            rows: list[LabelStatistics] = []
            with predicted.stage("completing", debug=self.debug):
                if "formats" in lacking:
                    report = write_from_label_map(self.formats, case, Path(predicted.output), self.channels)
                    predicted.note_formats(report, wanted=bool(self.formats.formats))
                rows = self.measure_and_draw(case, Path(predicted.output), lacking)
            for line in predicted.lines:
                say("predict", line)
            run_record.note(predicted.record(), [asdict(row) for row in rows])

    def lacks(self, case: InputCase, run_record: RunRecord) -> set[str]:
        """Return what of `formats`, `statistics` and `preview` is wanted of a case and does not exist."""
        lacking = {
            "formats": bool(self.formats.missing(case.name)),
            "statistics": self.statistics and case.name not in run_record.statistics,
            "preview": self.preview and not preview_path(self.folder, case.name).exists(),
        }
        return {name for name, is_lacking in lacking.items() if is_lacking}

    def measure_and_draw(self, case: InputCase, path: Path, lacking: set[str]) -> list[LabelStatistics]:
        """Measure and draw a case as far as it lacks that.

        Args:
            case: the case.
            path: file of its label map.
            lacking: as `lacks` returns.

        Returns:
            The statistics, if they were lacking.

        Raises:
            VolumeError: a file cannot be read, or the grids differ.
        """
        if not lacking & {"statistics", "preview"}:
            return []
        volumes = load_on_grid(case, channels=self.channels, grid_of=self.grid_of, labels=path)
        if "preview" in lacking:
            picture, names = preview_path(self.folder, case.name), self.label_names
            image, labels = volumes["image"], volumes["labels"]
            draw_preview(picture, image, labels, label_names=names, title=case.name, window=self.window)
        return self.measure(case, volumes) if "statistics" in lacking else []

    def measure(self, case: InputCase, volumes: Mapping[str, MetaTensor]) -> list[LabelStatistics]:
        """Measure the labels of a case, from its `image` (C, X, Y, Z) and `labels` (1, X, Y, Z)."""
        image: Any = volumes["image"]
        channels = [channel.numpy() for channel in image.as_tensor()]
        labels = compact_labels(volumes["labels"].as_tensor()[0])
        affine = image.affine.numpy()
        return label_statistics(labels, channels, affine=affine, label_names=self.label_names, case=case.name)


def lacks_probabilities(folder: Path, work: Sequence[Work]) -> bool:
    """Return whether a case with a label map lacks probabilities, and report it: only a prediction makes them."""
    skipped = [predicted.case for _, predicted in work if predicted.outcome in ("skipped", "failed")]
    lacking = [path for case in skipped if not (path := probabilities_path(folder, case)).exists()]
    if lacking:
        also = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        rule = "probabilities are written together with the label map only: use --overwrite"
        say("predict", f"{lacking[0]}{also}: missing: {rule}")
    return bool(lacking)
