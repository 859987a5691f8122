"""What a cross-validation ends in: one bundle, `crossval.json`, scores and an HTML report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hybridseg.app.bundling.config import bundle_version, input_channels, shown_window
from hybridseg.app.bundling.ensemble import Member, write_ensemble
from hybridseg.app.evaluation.references import as_reference
from hybridseg.app.evaluation.summary import summarise_scores
from hybridseg.app.evaluation.tables import write_reports
from hybridseg.app.reporting.cohort import Cohort
from hybridseg.app.reporting.contents import Contents
from hybridseg.app.reporting.page import render_page
from hybridseg.app.runtime.machine import versions
from hybridseg.transforms.datasets.dataset import LabelledCase, image_files
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.io.json_files import read_json, write_json

from .configuration import Configuration
from .scores import fold_table
from .split import Split
from .tuning import Decision, Tuning

RECORD, REPORT = "crossval.json", "report.html"

README = """\
## Cross-validation

{networks}, from a cross-validation by `hybridseg crossval` over {cases} cases of {patients} patients; the cases of a
patient are in one fold. `configs/split.json` has the folds. Mean Dice out of fold, of single networks with this
postprocessing; the ensemble has seen all these cases.

```
{table}
```

Postprocessing: {postprocessing}.
"""


def write_result(
    folder: Path, chosen: Configuration, members: Sequence[Member], split: Split, *, average: bool = False
) -> None:
    """Write the bundle of a cross-validation.

    Args:
        folder: folder of the bundle.
        chosen: the configuration.
        members: bundle and weights of each network.
        split: folds and patients.
        average: average the weights instead of the logits.

    Raises:
        ValueError: weights cannot be read.
        OSError: the bundle cannot be written.
    """
    source = members[0][0]
    dice = summarise_scores(chosen.scores)[-1].dice.mean
    described = read_json(source / "configs" / "metadata.json")
    version = next_version(bundle_version(source) or "0.0.0")
    made = f"{'average of the weights' if average else 'ensemble'} of {len(members)} networks, by hybridseg crossval"
    write_ensemble(
        folder,
        members,
        postprocessing=chosen.tuning.options,
        split={"folds": split.folds, "test": split.test},
        average=average,
        metadata={
            "version": version,
            "changelog": {version: made, **described.get("changelog", {})},
            "description": f"{described.get('description', '')}; {made}",
            "eval_metrics": {"mean_dice_out_of_fold": dice},
        },
        readme=README.format(
            networks=made[0].upper() + made[1:].removesuffix(", by hybridseg crossval"),
            cases=len(chosen.maps),
            patients=len({split.patients[case] for case in chosen.maps}),
            table=fold_table(chosen.scores, split),
            postprocessing="; ".join(kept_lines(chosen.tuning)) or "no rule gains significantly",
        ),
    )


def next_version(version: str) -> str:
    """Return the next minor version.

    Examples:
        >>> next_version("0.3.1")
        '0.4.0'
    """
    major, minor, *_ = [*version.split("."), "0"]
    return f"{major}.{int(minor) + 1}.0"


def write_record(
    output: Path,
    chosen: Configuration,
    found: Sequence[Configuration],
    split: Split,
    comparison: Sequence[str],
    test: Mapping[str, Any],
) -> None:
    """Write `crossval.json`: what was compared, decided and chosen."""
    record = {
        "versions": versions(),
        "configurations": {
            configuration.name: {
                "bundles": [str(member) for member in configuration.members],
                "dice": asdict(summarise_scores(configuration.scores)[-1].dice),
                "postprocessing": asdict(configuration.tuning),
            }
            for configuration in found
        },
        "chosen": chosen.name,
        "comparison": list(comparison),
        "test": dict(test),
        "folds": [len(fold) for fold in split.folds],
        "patients": len(set(split.patients.values())),
        "assumptions": list(split.assumptions),
    }
    write_json(output / RECORD, record)


def write_report(
    output: Path, chosen: Configuration, split: Split, notes: Sequence[str], *, tolerance: float, pictures: int
) -> None:
    """Write the scores of the chosen configuration, and `report.html`.

    Args:
        output: folder to write to.
        chosen: the configuration.
        split: folds and patients.
        notes: sentences at the top of the page.
        tolerance: of the surface Dice, in mm.
        pictures: largest number of cases to draw, worst first.
    """
    source, predictions = chosen.members[0], chosen.predictions
    write_reports(chosen.scores, output, tolerance=tolerance, ignore=predictions.ignore)
    cohort = Cohort(
        predictions=chosen.maps,
        references={case: as_reference(predictions.cases[case]["label"], {}) for case in chosen.maps},
        label_names=predictions.label_names,
        regions=predictions.regions,
        scores=list(chosen.scores),
        failures=predictions.failures,
    )
    order = cohort.worst_first()
    drawn = cohort.draw(
        order[:pictures],
        lambda case: input_case(predictions.cases[case]),
        channels=input_channels(source),
        window=shown_window(source),
    )
    fold_of = split.fold_of
    facts = {"Bundle": chosen.name, "Cases": str(len(chosen.maps)), "Folds": str(len(split.folds))}
    for index in range(len(split.folds)):
        part = [score for score in chosen.scores if fold_of[score.case] == index]
        mean = summarise_scores(part)[-1].dice.mean if part else None
        facts[f"Dice of fold {index}"] = "-" if mean is None else f"{mean:.4f}"
    contents = Contents(
        title=f"Cross-validation: {chosen.name}",
        facts=facts,
        order=order,
        scores=cohort.scores,
        tolerance=tolerance,
        pictures=drawn,
        label_names=cohort.names,
        failures=predictions.failures.failures,
        notes=notes,
    )
    with replacing(output / REPORT) as temporary:
        temporary.write_text(render_page(contents), encoding="utf-8")


def input_case(case: LabelledCase) -> InputCase:
    """Return the image of a labelled case."""
    images = image_files(case)
    return InputCase(case["case"], tuple(Path(image) if isinstance(image, str) else image for image in images))


def decision_lines(tuning: Tuning) -> list[str]:
    """Say for each part what was best, what it gains, and whether it is kept."""
    return [
        f"{decision.part}: {described(decision)}, Dice {decision.gain:+.4f}, p {decision.p:.3g}: "
        + ("kept" if decision.kept else "not kept")
        for decision in (*tuning.thresholds, *tuning.components)
        if decision.choice is not None
    ]


def kept_lines(tuning: Tuning) -> list[str]:
    """Say what is kept, part by part."""
    lines = decision_lines(tuning)
    return [line.removesuffix(": kept") for line in lines if line.endswith(": kept")]


def described(decision: Decision) -> str:
    """Return a choice in words."""
    choice = decision.choice
    if not isinstance(choice, Mapping):
        return f"threshold {choice}"
    return "largest component" if choice.get("largest") else f"components from {choice['smallest_mm3']:g} mm3"
