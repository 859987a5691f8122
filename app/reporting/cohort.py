"""A cohort of label maps for a report: score or measure them, sort them worst first, and draw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import fmean

from tqdm import tqdm

from hybridseg.app.evaluation.files import score_files
from hybridseg.app.evaluation.metrics import LabelScore
from hybridseg.app.evaluation.references import Reference
from hybridseg.app.labels.files import load_labels
from hybridseg.app.runtime.console import hides_bars
from hybridseg.app.runtime.failed_cases import CaseFailures
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.regions import Regions

from .outliers import LabelVolume, cohort_volumes, label_volumes
from .pictures import Panel, draw_panels


@dataclass(frozen=True, kw_only=True)
class DrawnCase:
    """The pictures of a case.

    Args:
        case: name of the case.
        panels: a picture of each plane.
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
    """Label maps, and what is measured of them; a failed case is reported in one line and the others continue.

    Args:
        predictions: file of each case.
        references: label map or named masks of each case that has a reference.
        label_names: names of the labels; None takes all labels that occur, named by number.
        regions: measure these instead of labels.
        ignore: label of voxels without annotation in the references, which count for nothing.
        resample: accept predictions on another grid than that of their reference or image.
        scores: of cases and labels; filled by `score`, or from a file.
        volumes: of cases and labels; filled by `measure_volumes`.
        failures: the cases that failed.
    """

    predictions: Mapping[str, Path]
    references: Mapping[str, Reference]
    label_names: Mapping[int, str] | None = None
    regions: Regions | None = None
    ignore: int | None = None
    resample: bool = False
    scores: list[LabelScore] = field(default_factory=list)
    volumes: list[LabelVolume] = field(default_factory=list)
    failures: CaseFailures = field(default_factory=lambda: CaseFailures("report"))

    def score(self, tolerance: float) -> None:
        """Score every prediction against its reference, the surface Dice at a tolerance in mm."""
        for case, path in tqdm(self.predictions.items(), desc="scores", unit="case", leave=False, disable=hides_bars()):
            with self.failures.catch(case):
                self.scores += score_files(
                    path,
                    self.references.get(case),
                    label_names=self.label_names,
                    regions=self.regions,
                    ignore=self.ignore,
                    tolerance=tolerance,
                    resample=self.resample,
                )

    def measure_volumes(self) -> None:
        """Measure the volumes of every prediction."""
        found: dict[str, Mapping[int, float]] = {}
        for case, path in tqdm(
            self.predictions.items(), desc="volumes", unit="case", leave=False, disable=hides_bars()
        ):
            with self.failures.catch(case):
                found[case] = label_volumes(*load_labels(path))
        self.volumes = cohort_volumes(found, label_names=self.label_names, regions=self.regions)

    def worst_first(self) -> list[str]:
        """Return the measured cases, worst first.

        Cases with scores are sorted by mean Dice, lowest first; cases with volumes by their largest absolute z-score,
        highest first.
        """
        dice: dict[str, list[float]] = {}
        for score in self.scores:
            dice.setdefault(score.case, []).extend([] if score.dice is None else [score.dice])
        rank = {case: fmean(values) if values else inf for case, values in dice.items()}
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
        """Draw the cases that have an image.

        Args:
            cases: names of the cases.
            image: returns the image of a case, or None.
            channels: channels of an image.
            window: intensities drawn black and white; None takes percentiles of each image.
        """
        drawn = []
        for case in tqdm(cases, desc="pictures", unit="case", leave=False, disable=hides_bars()):
            with self.failures.catch(case):
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
        """Return the labels that the pictures of a case go through, and what that is in words.

        This is the label with the lowest Dice, or else the farthest outlier, or else the largest volume.
        """
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
        """Return the labels that a score or volume is about: one, or those of a region."""
        return [item.label] if self.regions is None else self.regions[item.name]

    def label_values(self, case: str) -> dict[int, str]:
        """Return the Dice, or else the volume, of each label found in a case; empty for regions."""
        if self.regions is not None:
            return {}
        values = {volume.label: f"{volume.ml:.1f} ml" for volume in self.volumes if volume.case == case and volume.ml}
        scored = [score for score in self.scores if score.case == case and score.dice is not None]
        return values | {score.label: f"{score.dice:.3f}" for score in scored}
