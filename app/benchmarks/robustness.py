"""How well bundles segment disturbed scans, beside the scans as they are, on the same cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from monai.data import MetaTensor
from tqdm import tqdm

from hybridseg.app.bundling.config import input_modalities
from hybridseg.app.evaluation.metrics import mask_of, parts_to_score
from hybridseg.app.evaluation.summary import interval
from hybridseg.app.inference.predictor import Predictor
from hybridseg.app.labels.label_maps import LabelMap, compact_labels, mask_dice
from hybridseg.app.runtime.console import align, hides_bars
from hybridseg.app.runtime.failed_cases import CaseFailures
from hybridseg.transforms.datasets.dataset import LabelledCase
from hybridseg.transforms.io.atomic import write_csv, write_text
from hybridseg.transforms.io.json_files import write_json
from hybridseg.transforms.io.load import LoadVolumed
from hybridseg.transforms.regions import Regions

from .disturbances import DISTURBANCES, Disturbance, Scan

UNDISTURBED = Disturbance(name="undisturbed", severity=0, unit="", apply=lambda scan: scan)
FILE = "robustness"


@dataclass(frozen=True, kw_only=True)
class RobustnessRow:
    """How well a bundle segments scans with one disturbance.

    Args:
        bundle: name of the bundle.
        disturbance: its name.
        severity: its severity.
        unit: unit of the severity.
        cases: number of cases.
        failed: cases that gave an error, such as intensities that the bundle does not accept.
        dice: mean Dice over the cases, of each the mean over its labels; None without cases.
        lowest: the lowest Dice of a case.
        difference: mean over the cases of the Dice minus that of the undisturbed case.
        low: lower end of the 95 % confidence interval of the difference, by resampling cases.
        high: upper end.
    """

    bundle: str
    disturbance: str
    severity: float
    unit: str
    cases: int
    failed: int
    dice: float | None
    lowest: float | None
    difference: float | None
    low: float | None
    high: float | None


def measure_robustness(
    predictor: Predictor, bundle: Path, cases: Sequence[LabelledCase], failures: CaseFailures
) -> list[RobustnessRow]:
    """Segment cases as they are and with each disturbance, through the whole of preprocessing and postprocessing.

    Args:
        predictor: the bundle.
        bundle: its folder. For CT and PET, disturbances that leave no HU or SUV are left out.
        cases: labelled cases, each with all channels on one grid.
        failures: collects the cases that give an error.

    Returns:
        A row for each disturbance, that of the undisturbed cases first.
    """
    calibrated = {"CT", "PT"} & set(input_modalities(bundle))
    disturbances = [UNDISTURBED, *(one for one in DISTURBANCES if one.keeps_units or not calibrated)]
    channels = len(input_modalities(bundle))
    load = LoadVolumed(["image", "label"], channels=channels, orientation="RAS")
    dice: dict[Disturbance, dict[str, float]] = {disturbance: {} for disturbance in disturbances}
    for case in tqdm(cases, desc=bundle.name, unit="case", leave=False, disable=hides_bars()):
        with failures.catch(case["case"]):
            loaded = load({**case})
            for disturbance in disturbances:
                name = f"{case['case']}, {disturbance.name} {disturbance.severity:g} {disturbance.unit}"
                with failures.catch(name):
                    scan = disturbance.apply((loaded["image"], loaded["label"]))
                    if (found := segment(predictor, scan)) is not None:
                        dice[disturbance][case["case"]] = found
    return [summarise(bundle.name, disturbance, dice, len(cases)) for disturbance in disturbances]


def segment(predictor: Predictor, scan: Scan) -> float | None:
    """Segment a scan, and return the mean Dice over its labels; None if it has none and none are found."""
    image, label = scan
    volume = MetaTensor(image.as_tensor(), affine=image.affine)  # without what the loader noted of the file
    prediction, reference = (compact_labels(labels[0]) for labels in (predictor.predict(volume), label))
    return mean_dice(prediction, reference, predictor.label_names, predictor.regions)


def mean_dice(
    prediction: LabelMap, reference: LabelMap, label_names: Mapping[int, str], regions: Regions | None = None
) -> float | None:
    """Return the mean Dice over the labels or regions that either map has; None if neither has any."""
    parts = parts_to_score(label_names, regions)
    dice = [mask_dice(mask_of(prediction, members), mask_of(reference, members)) for _, _, members in parts]
    values = [value for value in dice if value is not None]
    return fmean(values) if values else None


def summarise(
    bundle: str, disturbance: Disturbance, dice: Mapping[Disturbance, Mapping[str, float]], cases: int
) -> RobustnessRow:
    """Return the row of a disturbance, from the Dice of each case with each disturbance."""
    found, plain = dice[disturbance], dice[UNDISTURBED]
    paired = [[found[case] - plain[case]] for case in found if case in plain] if disturbance != UNDISTURBED else []
    low, high = interval(paired) if len(paired) > 1 else (None, None)
    return RobustnessRow(
        bundle=bundle,
        disturbance=disturbance.name,
        severity=disturbance.severity,
        unit=disturbance.unit,
        cases=len(found),
        failed=cases - len(found),
        dice=round(fmean(found.values()), 6) if found else None,
        lowest=round(min(found.values()), 6) if found else None,
        difference=round(float(np.mean(paired)), 6) if paired else None,
        low=low,
        high=high,
    )


def write_robustness(rows: Sequence[RobustnessRow], folder: Path) -> None:
    """Write `robustness.csv`, `robustness.json` and `robustness.md`."""
    records = [asdict(row) for row in rows]
    write_csv(folder / f"{FILE}.csv", list(records[0]), records)
    write_json(folder / f"{FILE}.json", {"rows": records})
    heading, *lines = table_rows(rows)
    table = [heading, ["---"] * len(heading), *lines]
    write_text(folder / f"{FILE}.md", "".join(f"| {' | '.join(line)} |\n" for line in table))


def robustness_table(rows: Sequence[RobustnessRow]) -> str:
    """Return the rows as text: a line for each disturbance, the bundles side by side."""
    return "\n".join(align(table_rows(rows)))


def table_rows(rows: Sequence[RobustnessRow]) -> list[list[str]]:
    """Return the cells of the table, its headings first."""
    bundles = list(dict.fromkeys(row.bundle for row in rows))
    by_key = {(row.bundle, row.disturbance, row.severity): row for row in rows}
    columns = ["Dice", "lowest", "difference"]
    headings = [f"{name}: {column}" if len(bundles) > 1 else column for name in bundles for column in columns]
    lines = [["disturbance", *headings]]
    for row in {(row.disturbance, row.severity): row for row in rows}.values():
        found = [by_key.get((bundle, row.disturbance, row.severity)) for bundle in bundles]
        severity = f" {row.severity:g} {row.unit}" if row.unit else ""
        lines.append([row.disturbance + severity, *(cell for one in found for cell in cells(one))])
    return lines


def cells(row: RobustnessRow | None) -> Iterable[str]:
    """Yield Dice, lowest Dice, and difference with its interval; empty where there is none."""
    if row is None or row.dice is None or row.lowest is None:
        yield from ("" if row is None else f"{row.failed} failed", "", "")
        return
    yield f"{row.dice:.3f}" + (f" ({row.failed} failed)" if row.failed else "")
    yield f"{row.lowest:.3f}"
    interval_text = "" if row.low is None else f" ({row.low:+.3f} to {row.high:+.3f})"
    yield "" if row.difference is None else f"{row.difference:+.3f}{interval_text}"
