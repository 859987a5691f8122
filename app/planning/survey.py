"""Measure every case of a dataset, in several processes, and keep each result, so that a stopped survey goes on."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

from tqdm import tqdm

from hybridseg.transforms.datasets.dataset import Dataset, LabelledCase
from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.intensity import WarnOfModalityd, ct_body, mri_body
from hybridseg.transforms.io.atomic import replacing
from hybridseg.transforms.io.load import LoadVolumed

from .case_fingerprint import CaseFingerprint
from .measure_case import measure_case

VERSION = 2
"""Of what is measured: results of another one are measured anew."""
BYTES_PER_JOB = 200_000_000


@dataclass(frozen=True, kw_only=True)
class SurveyJob:
    """A case to be measured.

    Args:
        case: name and files.
        channels: that its image must have.
        labels: those that may occur; None for any.
        is_ct: whether intensities are HU.
        result: the file that keeps the result.
    """

    case: LabelledCase
    channels: int
    labels: tuple[int, ...] | None
    is_ct: bool
    result: Path


def survey(dataset: Dataset, folder: PathLike, *, jobs: int = 1, progress: bool = True) -> list[CaseFingerprint]:
    """Measure all cases of a dataset.

    Each process holds one case at a time, and what is kept of a case takes some ten kilobytes, so memory does not grow
    with the number of cases. A case is measured again only if one of its files has another size or time than when it
    was measured (of a MetaImage or NRRD with voxels in a second file, the first counts), or other channels or labels
    are wanted.

    Args:
        dataset: whose cases are measured.
        folder: for a file `<case>.json` of each, made when it is not there.
        jobs: processes; with one, this process measures.
        progress: show a progress bar, on a terminal.

    Returns:
        The fingerprints in order of case name, with those that lack a file; of two with the same image the later has a
        fault.

    Raises:
        ValueError: jobs below 1.
        OSError: the folder cannot be written to.
        MemoryError: a process was ended by the system.
    """
    if jobs < 1:
        raise ValueError(f"jobs: {jobs}: must be at least 1")
    tasks = [
        SurveyJob(
            case=case,
            channels=len(dataset.channel_names),
            labels=dataset.label_values,
            is_ct=dataset.is_ct,
            result=Path(folder) / f"{case['case']}.json",
        )
        for case in dataset.cases
    ]
    measured: dict[str, CaseFingerprint] = {}
    with tqdm(total=len(tasks), desc="measuring", unit="case", disable=None if progress else True) as bar:
        for fingerprint in _measured(tasks, jobs):
            measured[fingerprint.case] = fingerprint
            bar.update()
    whole = mark_duplicates([measured[case["case"]] for case in dataset.cases], dataset.cases)
    lacking = [CaseFingerprint(case=name, faults=(fault,)) for name, fault in dataset.faults.items()]
    return sorted([*whole, *lacking], key=lambda fingerprint: fingerprint.case)


def default_jobs(dataset: Dataset) -> int:
    """A process for each `BYTES_PER_JOB` of images, as starting one takes seconds; no more than there are cores."""
    images = [case["image"] for case in dataset.cases]
    paths = [path for image in images for path in ([image] if isinstance(image, str) else image)]
    return min(os.cpu_count() or 1, 1 + sum(map(os.path.getsize, paths)) // BYTES_PER_JOB)


def mark_duplicates(fingerprints: Sequence[CaseFingerprint], cases: Sequence[LabelledCase]) -> list[CaseFingerprint]:
    """Give a fault to each case whose image an earlier case has too.

    Args:
        fingerprints: of the cases.
        cases: in the same order.
    """
    first: dict[str, str] = {}
    marked = []
    for fingerprint, case in zip(fingerprints, cases, strict=True):
        earlier = first.setdefault(fingerprint.image_hash, case["case"]) if fingerprint.image_hash else case["case"]
        if earlier != case["case"]:
            image = case["image"] if isinstance(case["image"], str) else case["image"][0]
            fault = VolumeError(image, f"the voxels of case {earlier!r}", "every image must be there once")
            fingerprint = replace(fingerprint, faults=(*fingerprint.faults, str(fault)))
        marked.append(fingerprint)
    return marked


def refuse_gaps(dataset: Dataset, fingerprints: Iterable[CaseFingerprint]) -> None:
    """Where a dataset does not list its labels, refuse those above a number that no case has, and name a case.

    Args:
        dataset: that was measured.
        fingerprints: of its cases without faults.

    Raises:
        ValueError: one stray voxel would otherwise make labels that no case has.
    """
    cases: dict[int, list[str]] = {}
    for fingerprint in fingerprints if dataset.label_values is None else ():
        for label in fingerprint.labels:
            cases.setdefault(label, []).append(fingerprint.case)
    for number, label in enumerate(sorted(cases), 1):
        if label != number:
            found = f"{label} occurs ({', '.join(cases[label][:3])}), but {number} does not"
            raise ValueError(f"labels: {found}: must be 1 to the number of labels, none missing")


def warn_of_modality(dataset: Dataset, name: str) -> None:
    """Warn where the intensities of a case are hardly those of the modality that the dataset's channels are named for.

    Args:
        dataset: whose channels are called CT, or otherwise.
        name: of a case without faults.
    """
    image = next(case["image"] for case in dataset.cases if case["case"] == name)
    loaded = LoadVolumed(["image"], channels=len(dataset.channel_names))({"image": image})
    WarnOfModalityd(["image"], hounsfield=dataset.is_ct)(loaded)


def write_integrity_report(fingerprints: Iterable[CaseFingerprint], path: PathLike) -> None:
    """Write a CSV with a row for each case and fault; a case without faults has one row, where the fault is empty.

    Raises:
        OSError: it cannot be written.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["case", "fault"])
    for fingerprint in fingerprints:
        writer.writerows([fingerprint.case, fault] for fault in fingerprint.faults or ("",))
    with replacing(path) as temporary:
        temporary.write_text(table.getvalue(), encoding="utf-8", errors="backslashreplace", newline="")


def _measured(tasks: Sequence[SurveyJob], jobs: int) -> Iterator[CaseFingerprint]:
    """The results, as they come: first those that are kept."""
    waiting = []
    for task in tasks:
        kept = _read_result(task)
        if kept is None:
            waiting.append(task)
        else:
            yield kept
    if jobs == 1 or len(waiting) < 2:
        yield from map(measure, waiting)
        return
    context = multiprocessing.get_context("spawn")  # a fork would share locks of torch's threads
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(jobs, len(waiting)), mp_context=context, initializer=_prepare_process)
    try:
        for future in as_completed([pool.submit(measure, task) for task in waiting]):
            yield future.result()
    except BrokenProcessPool:
        raise MemoryError("a measuring process was ended, perhaps for lack of memory: take fewer jobs") from None
    except BaseException:  # such as Ctrl-C: what is being measured would take long, and is measured again
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def measure(task: SurveyJob) -> CaseFingerprint:
    """Measure a case and keep the result."""
    conditions = _conditions(task)  # before its files are read, so that what changes meanwhile is read again
    body = ct_body if task.is_ct else mri_body
    fingerprint = measure_case(task.case, channels=task.channels, labels=task.labels, body=body)
    record = {"conditions": conditions, "fingerprint": asdict(fingerprint)}
    with replacing(task.result) as temporary:
        temporary.write_text(json.dumps(record, allow_nan=False) + "\n", encoding="utf-8")
    return fingerprint


def _conditions(task: SurveyJob) -> dict[str, Any]:
    """What a result depends on."""
    images = [task.case["image"]] if isinstance(task.case["image"], str) else task.case["image"]
    files = {}
    for path in (*images, task.case["label"]):
        try:
            status = os.stat(path)
            files[path] = [status.st_size, status.st_mtime_ns]
        except OSError:  # will be told as a fault of the case
            files[path] = []
    labels = None if task.labels is None else list(task.labels)
    return {"version": VERSION, "files": files, "channels": task.channels, "labels": labels, "is_ct": task.is_ct}


def _read_result(task: SurveyJob) -> CaseFingerprint | None:
    """The result that an earlier survey kept, if it would be the same today."""
    try:
        record = json.loads(task.result.read_text(encoding="utf-8"))
        return CaseFingerprint.from_record(record["fingerprint"]) if record["conditions"] == _conditions(task) else None
    except (OSError, ValueError, TypeError, KeyError):  # absent, or another file of that name
        return None


def _prepare_process() -> None:
    """Leave Ctrl-C to the process that asked, and end with it, even if it was killed; one thread, since all work."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()
