"""The contents of a report, gathered from the folders of a cohort and of a training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hybridseg.app.bundling.config import (
    bundle_version,
    ignore_label,
    input_channels,
    input_modalities,
    label_parts,
    label_rois,
    shown_window,
)
from hybridseg.app.evaluation.metrics import LabelScore
from hybridseg.app.evaluation.references import find_references
from hybridseg.app.inference.run_record import PER_FOLDER, RunRecord, recorded_bundle
from hybridseg.app.runtime.failed_cases import CaseFailures
from hybridseg.bundles import bundle_path
from hybridseg.transforms.datasets.inputs import find_cases

from .cohort import Cohort, DrawnCase
from .curves import Curve, read_curves
from .outliers import LabelVolume
from .sources import case_files, cases_outside, failed_cases, recorded_image, run_record, scores_for

TOLERANCE = 1.0
"""Default tolerance of the surface Dice in mm, as of `hybridseg evaluate`."""


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
        outside: each case whose scan is outside what the model was trained on, and how it differs.
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
    outside: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    curves: Sequence[Curve] = ()


def describe_training(run_dir: Path) -> Contents:
    """Read the curves of a training.

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
        predictions: folder of label maps, or one label map.
        contents: the contents so far, such as the curves of a training.
        references: references, as `find_references` takes them; ROIs get the labels that the bundle gives them.
        scores: folder of scores to use instead of measuring.
        images: images that the label maps were predicted from; None takes those in the record of the run.
        bundle: name or folder; None takes the bundle in the record.
        tolerance: of the surface Dice, in mm; None takes that of the scores, or 1.
        resample: accept label maps on another grid.
        cases: largest number of cases to draw.
        debug: print the traceback of each failed case.

    Returns:
        The contents with the cohort, and whether a case could not be measured or drawn.

    Raises:
        ValueError: a folder is missing, empty or does not match the others.
    """
    record = run_record(predictions)
    folder = bundle_path(bundle) if bundle is not None else recorded_bundle(record)
    names, regions = label_parts(folder) if folder is not None else (None, None)
    earlier = failed_cases(record)
    predicted = case_files(predictions, may_be_empty=bool(earlier))
    rois, modality = (label_rois(folder), input_modalities(folder)[0]) if folder is not None else ({}, None)
    found_references = (
        {} if references is None else find_references(references, rois, predicted=[*predicted], modality=modality)
    )
    cohort = Cohort(
        predictions=predicted,
        references=found_references,
        label_names=names,
        regions=regions,
        ignore=None if folder is None else ignore_label(folder),
        resample=resample,
        failures=CaseFailures("report", debug=debug),
    )
    channels = 1 if folder is None else input_channels(folder)
    given = None if images is None else {image.name: image for image in find_cases([images], channels=channels)}
    facts = {"Cases": str(len(cohort.predictions)), **run_facts(record, [*cohort.predictions])}
    if folder is not None:
        facts.setdefault("Bundle", folder.name)
    if (found := scores_for(cohort, predictions, chosen=scores, tolerance=tolerance)) is not None:
        cohort.scores, tolerance = found.scores, found.tolerance
        facts["Scores"] = found.describe()
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
    failures = [*earlier, *cohort.failures.failures]
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
        outside=cases_outside(record, order),
        notes=missing_notes(cohort, predictions, order, drawn=len(pictures), wanted=cases),
    )
    return contents, len(cohort.failures) > 0


def run_facts(record: RunRecord, cases: Sequence[str]) -> dict[str, str]:
    """Return what made the label maps of cases and when, for all that is recorded; differing values are counted.

    Without cases, as when all failed, this is what the last run used.
    """
    every = [settings_facts(record.settings_of(case)) for case in cases] or [settings_facts(record.last)]
    facts = {}
    for name in dict.fromkeys(name for known in every for name in known):
        counts = Counter(known.get(name, "not recorded") for known in every)
        several = ", ".join(f"{value} ({count} of {len(cases)} cases)" for value, count in counts.most_common())
        facts[name] = several if len(counts) > 1 else next(iter(counts))
    recorded = (record.earlier.get(case, {}).get("finished") for case in cases)
    times = sorted(str(time) for time in recorded if time)
    if not times and record.last.get("finished"):  # of an earlier version, or of failed cases only
        times = [str(record.last["finished"])]
    if times:
        facts["Predicted at"] = " to ".join(dict.fromkeys(time.replace("T", " ") for time in (times[0], times[-1])))
    return facts


def settings_facts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return bundle, weights, version and device of the settings that made a label map, for all that is recorded."""
    facts = {}
    if settings.get("bundle"):
        folder = Path(str(settings["bundle"]))
        facts["Bundle"] = folder.name
        version = settings.get("bundle_version")
        if PER_FOLDER in settings and (folder / "configs" / "inference.json").is_file():
            version = bundle_version(folder)
        if version:
            facts["Bundle version"] = str(version)
    checkpoints = settings.get("checkpoints")
    if isinstance(checkpoints, Sequence) and not isinstance(checkpoints, str):
        facts["Weights"] = ", ".join(Path(str(path)).name for path in checkpoints)
    versions = settings.get("versions")
    if isinstance(versions, Mapping) and "hybridseg" in versions:
        facts["Predicted with"] = f"HybridSeg {versions['hybridseg']}"
    if settings.get("device"):
        facts["Device"] = str(settings["device"])
    return facts


def missing_notes(cohort: Cohort, predictions: Path, order: Sequence[str], *, drawn: int, wanted: int) -> list[str]:
    """Say in sentences what the page lacks: references without prediction, cases without scores or pictures."""
    notes = []
    unpredicted = sorted(set(cohort.references) - set(cohort.predictions)) if predictions.is_dir() else []
    if unpredicted:
        total = len(cohort.references)
        notes.append(f"{len(unpredicted)} of {total} references have no prediction: {join_names(unpredicted)}.")
    failed = {case for case, _ in cohort.failures.failures}
    if unmeasured := [case for case in cohort.predictions if case not in order and case not in failed]:
        notes.append(f"{len(unmeasured)} cases have no scores: {join_names(unmeasured)}.")
    if 0 < drawn < len(order) and drawn >= wanted:
        notes.append(f"Only the {drawn} worst of {len(order)} cases have pictures.")
    return notes


def join_names(names: Sequence[str], most: int = 10) -> str:
    """Join names with commas; count those beyond the first `most`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
