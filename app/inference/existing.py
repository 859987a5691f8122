"""Label maps that exist in the output folder: which cases have one, and whether this run would make the same."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridseg.app.runtime.console import say
from hybridseg.app.runtime.distributed import rank
from hybridseg.transforms.datasets.inputs import InputCase
from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.io.dicom.series import DicomFolder

from .cohort import PredictedCase, input_state
from .outputs import output_files
from .provenance import find_difference
from .run_record import RunRecord

Work = tuple[InputCase, PredictedCase]
"""A case, and the record of its prediction."""


def list_work(cases: Sequence[InputCase], output: Path, *, overwrite: bool) -> list[Work]:
    """List the cases of all processes, waiting or, where their label map exists, skipped.

    Args:
        cases: the cases.
        output: folder of the label maps.
        overwrite: segment cases again whose label map exists.

    Raises:
        ValueError: an output would replace an input, of the same case or of another.
    """
    read = {file_identity(image) for case in cases for image in case.images} - {None}
    work = []
    for case in cases:
        label_map, *others = output_files(output, case.name)
        for path in (label_map, *others):
            if file_identity(path) in read:
                raise ValueError(f"output: {path}: must be another file than the inputs")
        inputs = [os.fspath(image) for image in case.images]
        states = [input_state(path) for path in inputs]
        predicted = PredictedCase(case=case.name, inputs=inputs, input_states=states, output=str(label_map))
        if label_map.exists() and not overwrite:
            predicted.outcome = "skipped"
        work.append((case, predicted))
    return work


def check_existing(
    work: Sequence[Work], run_record: RunRecord, settings: Mapping[str, Any], *, keep_existing: bool
) -> None:
    """Check that existing label maps were made as this run would make them, and report what is not known of them.

    Args:
        work: the cases of all processes.
        run_record: what earlier runs in the folder recorded.
        settings: those of this run.
        keep_existing: keep label maps that were made otherwise.

    Raises:
        ValueError: a label map was made otherwise, and `keep_existing` is False.
    """
    skipped = [(case, predicted) for case, predicted in work if predicted.outcome == "skipped"]
    lines, unknown, different = [], [], []
    for case, predicted in skipped:
        if reason := changed_input(run_record.earlier.get(case.name, {}), predicted):
            lines.append(f"{predicted.output}: {reason}: skipped")
        made = run_record.known_settings(case.name)
        if made is None:
            unknown.append(predicted.output)
        elif found := find_difference(made, settings, dicom=isinstance(case.images[0], DicomFolder)):
            different.append((predicted.output, *found))
    if different:
        output, name, before, after = different[0]
        count = f"{len(different)} of {len(skipped)} existing label maps were made otherwise"
        line = f"output: {output}: made with {name} {before}, not {after}: {count}"
        if not keep_existing:
            rule = "use --overwrite to segment them again, --keep-existing to keep them, or another folder"
            raise ValueError(f"{line}: {rule}")
        lines.append(f"{line}: kept")
    if unknown:
        also = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        lines.append(f"{unknown[0]}{also}: no record of what made the label map: skipped")
    for line in lines if rank() == 0 else ():
        say("predict", line)


def changed_input(earlier: Mapping[str, Any], now: PredictedCase) -> str | None:
    """Return how the inputs of a case differ from those that its label map was made from, as recorded; None if not."""
    before = earlier.get("inputs") or []
    if other := other_input(before, now.inputs):
        return f"made from {other[0]}, not {other[1]}"
    known = zip(before, now.inputs, earlier.get("input_states") or [], now.input_states, strict=False)
    changed = [(old, path) for old, path, was, is_now in known if was != is_now]
    for old, path in changed:
        if not os.path.exists(old):  # moved and copied by a program that sets the time anew, or another file
            return f"made from {old}, which is gone, not {path}, which differs in size or time"
    return f"made before {', '.join(path for _, path in changed)} changed" if changed else None


def other_input(before: Sequence[str], inputs: Sequence[str]) -> tuple[str, str] | None:
    """Return the first input that is another file than before, as both exist; None if there is none."""
    for old, new in zip(before, inputs, strict=False):
        if os.path.exists(old) and os.path.exists(new) and not os.path.samefile(old, new):
            return old, new
    return None


def file_identity(path: PathLike) -> tuple[int, int] | None:
    """Return device and inode of a file, which all its names share; None if there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
