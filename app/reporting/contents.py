"""What the page of a report tells of a cohort and of a training, gathered from their folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hybridseg.app.bundling.config import bundle_version, input_channels, label_parts, shown_window
from hybridseg.app.evaluation.metrics import LabelScore
from hybridseg.bundles import bundle_path
from hybridseg.transforms.datasets.inputs import find_cases

from .cohort import Cohort, DrawnCase
from .curves import Curve, read_curves
from .outliers import LabelVolume
from .sources import case_files, failed_cases, recorded_image, run_record, scores_for

TOLERANCE = 1.0
"""Of the surface Dice, in mm, as `hybridseg evaluate` has it."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The contents of a report; the page leaves out what is empty.

    Args:
        title: of the page.
        facts: what was run with what, by name.
        order: the cases, worst first.
        scores: of cases and labels.
        tolerance: of the surface Dice, in mm.
        volumes: of cases and labels.
        pictures: of cases, worst first.
        label_names: of the labels drawn.
        failures: each failed case and its error.
        notes: what is missing, in sentences.
        curves: of the training.
    """

    title: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    order: Sequence[str] = ()
    scores: Sequence[LabelScore] = ()
    tolerance: float = 1.0
    volumes: Sequence[LabelVolume] = ()
    pictures: Sequence[DrawnCase] = ()
    label_names: Mapping[int, str] = field(default_factory=dict)
    failures: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    curves: Sequence[Curve] = ()


def describe_training(run_dir: Path) -> Contents:
    """The curves of a training.

    Raises:
        ValueError: there are none.
    """
    curves = read_curves(run_dir)
    epochs = max((curve.points[-1][0] for curve in curves if curve.unit == "epoch"), default=None)
    facts = {"Training": run_dir.resolve().name} | ({} if epochs is None else {"Epochs": str(epochs)})
    return Contents(facts=facts, curves=curves)


def describe_cohort(
    predictions: Path,
    contents: Contents,
    *,
    references: Path | None = None,
    scores: Path | None = None,
    images: Path | None = None,
    bundle: str | None = None,
    tolerance: float | None = None,
    resample: bool = False,
    cases: int = 20,
    debug: bool = False,
) -> tuple[Contents, bool]:
    """Measure and draw a cohort of label maps.

    Args:
        predictions: folder of label maps, or one of them.
        contents: what the page tells beside.
        references: folder of label maps taken for true.
        scores: folder of scores to take instead of measuring.
        images: what the label maps were predicted of; None takes what the record of the run names.
        bundle: name or folder; None takes that of the record.
        tolerance: of the surface Dice, in mm; None takes that of the scores, or 1.
        resample: take label maps on another grid.
        cases: to draw at most.
        debug: show the traceback of an error.

    Returns:
        The contents with the cohort, and whether a case could not be measured or drawn.

    Raises:
        ValueError: a folder cannot be used.
    """
    record = run_record(predictions)
    folder = bundle_path(bundle) if bundle is not None else recorded_bundle(record)
    names, regions = label_parts(folder) if folder is not None else (None, None)
    earlier = failed_cases(record)
    cohort = Cohort(
        predictions=case_files(predictions, may_be_empty=bool(earlier)),
        references={} if references is None else case_files(references),
        label_names=names,
        regions=regions,
        resample=resample,
        debug=debug,
    )
    channels = 1 if folder is None else input_channels(folder)
    given = None if images is None else {image.name: image for image in find_cases([images], channels=channels)}
    facts = {"Cases": str(len(cohort.predictions)), **run_facts(record, folder)}
    taken = scores_for(cohort, predictions, chosen=scores, tolerance=tolerance)
    if taken is not None:
        cohort.scores, tolerance = taken
        facts["Scores"] = "of an earlier evaluation"
    elif references is not None:
        cohort.score(tolerance or TOLERANCE)
    else:
        cohort.measure_volumes()
    if references is not None:
        facts["References"] = references.resolve().name
    order = cohort.worst_first()
    pictures = cohort.draw(
        order[:cases],
        lambda case: recorded_image(record, case) if given is None else given.get(case),
        channels=channels,
        window=None if folder is None else shown_window(folder),
    )
    failures = [*earlier, *cohort.failures]
    if failures:
        facts["Failed"] = str(len({case for case, _ in failures}))
    contents = replace(
        contents,
        facts={**facts, **contents.facts},
        order=order,
        scores=cohort.scores,
        tolerance=tolerance or TOLERANCE,
        volumes=cohort.volumes,
        pictures=pictures,
        label_names=cohort.names,
        failures=failures,
        notes=notes(cohort, predictions, order, drawn=len(pictures), wanted=cases),
    )
    return contents, bool(cohort.failures)


def recorded_bundle(record: Mapping[str, Any]) -> Path | None:
    """The folder of the bundle of a run, where it is there still."""
    folder = Path(str(record.get("bundle", "")))
    return folder if (folder / "configs" / "inference.json").is_file() else None


def run_facts(record: Mapping[str, Any], bundle: Path | None) -> dict[str, str]:
    """What was run with what, as far as it is known."""
    facts = {}
    if bundle is not None:
        facts["Bundle"] = bundle.name
        if version := bundle_version(bundle):
            facts["Version of the bundle"] = version
    checkpoints = record.get("checkpoints")
    if isinstance(checkpoints, Sequence) and not isinstance(checkpoints, str):
        facts["Weights"] = ", ".join(Path(str(path)).name for path in checkpoints)
    versions = record.get("versions")
    if isinstance(versions, Mapping) and "hybridseg" in versions:
        facts["Predicted with"] = f"HybridSeg {versions['hybridseg']}"
    if record.get("device"):
        facts["Device"] = str(record["device"])
    if record.get("finished"):
        facts["Predicted at"] = str(record["finished"]).replace("T", " ")
    return facts


def notes(cohort: Cohort, predictions: Path, order: Sequence[str], *, drawn: int, wanted: int) -> list[str]:
    """What is missing on the page, in sentences."""
    told = []
    unpredicted = sorted(set(cohort.references) - set(cohort.predictions)) if predictions.is_dir() else []
    if unpredicted:
        total = len(cohort.references)
        told.append(f"{len(unpredicted)} of {total} references have no prediction: {listed(unpredicted)}.")
    failed = {case for case, _ in cohort.failures}
    if unmeasured := [case for case in cohort.predictions if case not in order and case not in failed]:
        told.append(f"{len(unmeasured)} cases have no scores: {listed(unmeasured)}.")
    if 0 < drawn < len(order) and drawn >= wanted:
        told.append(f"The pictures show the {drawn} worst of {len(order)} cases.")
    return told


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in a sentence, so many of them at most."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
