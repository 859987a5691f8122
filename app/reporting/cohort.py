"""A cohort of label maps for a report: measured, put in order of what is worst, and drawn."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import fmean

from tqdm import tqdm

from hybridseg.app.evaluation.files import score_files
from hybridseg.app.evaluation.metrics import LabelScore
from hybridseg.app.labels.files import load_labels
from hybridseg.app.runtime.console import one_line, say
from hybridseg.transforms.datasets.inputs import InputCase
from hybridseg.transforms.regions import Regions

from .outliers import LabelVolume, cohort_volumes, label_volumes
from .pictures import Panel, draw_panels


@dataclass(frozen=True, kw_only=True)
class DrawnCase:
    """The pictures of a case.

    Args:
        case: its name.
        panels: its planes.
        through: what the planes go through, in words.
        values: Dice or volume of each label found, by number.
        with_reference: whether the reference is drawn too.
    """

    case: str
    panels: Sequence[Panel]
    through: str
    values: Mapping[int, str]
    with_reference: bool


@dataclass(kw_only=True)
class Cohort:
    """Label maps and what is known of them; a case that cannot be used is noted, and the others go on.

    Args:
        predictions: file of each case.
        references: file of each case that has a truth.
        label_names: of the labels; None takes all that occur, by number.
        regions: measure these instead of labels.
        resample: take predictions on another grid than that of their reference or image.
        debug: show the traceback of an error.
        scores: of the cases and labels; filled by `score`, or from a file.
        volumes: of the cases and labels; filled by `measure_volumes`.
        failures: case and line of each error.
    """

    predictions: Mapping[str, Path]
    references: Mapping[str, Path]
    label_names: Mapping[int, str] | None = None
    regions: Regions | None = None
    resample: bool = False
    debug: bool = False
    scores: list[LabelScore] = field(default_factory=list)
    volumes: list[LabelVolume] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def noting(self, case: str) -> Iterator[None]:
        """Do something for a case; an error is told and noted, and goes no further."""
        try:
            yield
        except Exception as error:
            if self.debug:
                traceback.print_exception(error)
            self.failures.append((case, one_line(error)))
            say("report", self.failures[-1][1])

    def score(self, tolerance: float) -> None:
        """Score every prediction; `tolerance` is that of the surface Dice, in mm."""
        for case, path in tqdm(self.predictions.items(), desc="scores", unit="case", leave=False, disable=None):
            with self.noting(case):
                self.scores += score_files(
                    path,
                    self.references.get(case),
                    label_names=self.label_names,
                    regions=self.regions,
                    tolerance=tolerance,
                    resample=self.resample,
                )

    def measure_volumes(self) -> None:
        """Measure the volumes of every prediction."""
        found: dict[str, Mapping[int, float]] = {}
        for case, path in tqdm(self.predictions.items(), desc="volumes", unit="case", leave=False, disable=None):
            with self.noting(case):
                found[case] = label_volumes(*load_labels(path))
        self.volumes = cohort_volumes(found, label_names=self.label_names, regions=self.regions)

    def worst_first(self) -> list[str]:
        """The cases measured: by mean Dice from the lowest, or by the largest z-score of a volume, farthest first."""
        measured: dict[str, list[float]] = {}
        for score in self.scores:
            measured.setdefault(score.case, []).extend([] if score.dice is None else [score.dice])
        rank = {case: fmean(dice) if dice else inf for case, dice in measured.items()}
        for volume in self.volumes:
            rank[volume.case] = min(rank.get(volume.case, inf), -abs(volume.z or 0.0))
        return sorted(rank, key=lambda case: (rank[case], case))

    def draw(
        self,
        cases: Sequence[str],
        image: Callable[[str], InputCase | None],
        *,
        channels: int = 1,
        window: tuple[float, float] | None = None,
    ) -> list[DrawnCase]:
        """Draw cases whose image is there.

        Args:
            cases: their names.
            image: gives the image of a case, None where there is none.
            channels: of an image.
            window: intensities drawn black and white; None takes percentiles of each image.
        """
        drawn = []
        for case in tqdm(cases, desc="pictures", unit="case", leave=False, disable=None):
            with self.noting(case):
                if case not in self.predictions or (found := image(case)) is None:
                    continue
                focus, through = self.focus(case)
                panels = draw_panels(
                    found,
                    self.predictions[case],
                    self.references.get(case),
                    focus=focus,
                    label_names=self.names,
                    channels=channels,
                    window=window,
                    resample=self.resample,
                )
                drawn.append(
                    DrawnCase(
                        case=case,
                        panels=panels,
                        through=through,
                        values=self.label_values(case),
                        with_reference=case in self.references,
                    )
                )
        return drawn

    @property
    def names(self) -> Mapping[int, str]:
        """Names of the labels to draw."""
        measured: list[LabelScore | LabelVolume] = [*self.scores, *self.volumes]
        return self.label_names or {item.label: item.name for item in measured}

    def focus(self, case: str) -> tuple[Sequence[int], str]:
        """The labels that a picture of a case shall show, and what that is in words."""
        scored = [score for score in self.scores if score.case == case and score.dice is not None]
        if scored:
            worst = min(scored, key=lambda score: (score.dice, score.surface_dice))
            what = "the largest error in" if case in self.references else "the largest extent of"
            return self.members(worst), f"{what} {worst.name} (Dice {worst.dice:.3f})"
        volumes = [volume for volume in self.volumes if volume.case == case]
        if not volumes:
            return [*self.names], "all labels"
        outliers = [volume for volume in volumes if volume.outlier and volume.ml]
        shown = max(outliers or volumes, key=lambda volume: abs(volume.z or 0.0) if outliers else volume.ml)
        return self.members(shown), f"the largest extent of {shown.name} ({shown.ml:.1f} ml)"

    def members(self, item: LabelScore | LabelVolume) -> Sequence[int]:
        """The labels of what was measured."""
        return [item.label] if self.regions is None else self.regions[item.name]

    def label_values(self, case: str) -> dict[int, str]:
        """Return the Dice, or else the volume, of each label found in a case; empty for regions."""
        if self.regions is not None:
            return {}
        values = {volume.label: f"{volume.ml:.1f} ml" for volume in self.volumes if volume.case == case and volume.ml}
        scored = [score for score in self.scores if score.case == case and score.dice is not None]
        return values | {score.label: f"{score.dice:.3f}" for score in scored}
