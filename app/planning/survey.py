"""Measure every case of a dataset in several processes, and keep each result, so that a stopped survey can resume."""

from __future__ import annotations

import json
import logging
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

from hybridseg.app.runtime.console import hides_bars
from hybridseg.app.runtime.options import check_at_least
from hybridseg.transforms.datasets.dataset import Dataset, LabelledCase, image_files
from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.io.atomic import write_csv
from hybridseg.transforms.io.json_files import write_json
from hybridseg.transforms.io.load import LoadVolumed
from hybridseg.transforms.io.masks import MaskFile
from hybridseg.transforms.modalities import CheckModalitiesd

from .case_fingerprint import CaseFingerprint
from .measure_case import measure_case

logger = logging.getLogger(__name__)

VERSION = 6
"""Version of the measurements: cases measured by another version are measured again."""
BYTES_PER_PROCESS = 200_000_000


@dataclass(frozen=True, kw_only=True)
class SurveyJob:
    """A case to measure.

    Args:
        case: name and files.
        modalities: what each channel of the image is; see `modality_of`.
        labels: the labels that may occur; None for any.
        ignore: label of voxels without annotation; None if there is none.
        result: the file that keeps the result.
    """

    case: LabelledCase
    modalities: tuple[str, ...]
    labels: tuple[int, ...] | None
    ignore: int | None
    result: Path


def survey_dataset(
    dataset: Dataset, folder: PathLike, *, jobs: int = 1, progress: bool = True
) -> list[CaseFingerprint]:
    """Measure all cases of a dataset.

    Each process holds one case at a time, and the result of a case takes about ten kilobytes, so memory does not grow
    with the number of cases. A case is measured again only if the size or time of one of its files has changed (for a
    MetaImage or NRRD with voxels in a second file, the header counts), or if other modalities or labels are wanted.

    Args:
        dataset: the dataset.
        folder: where the file `<case>.json` of each case is kept; created if missing.
        jobs: number of processes; with one, this process measures.
        progress: show a progress bar, on a terminal.

    Returns:
        The fingerprints in order of case name, those of cases that lack a file too; of two cases with the same image
        the later has a problem.

    Raises:
        ValueError: `jobs` is below 1.
        OSError: the folder cannot be written to.
        MemoryError: the system ended a process.
    """
    check_at_least(1, jobs=jobs)
    todo = [
        SurveyJob(
            case=case,
            modalities=dataset.modalities,
            labels=dataset.label_values,
            ignore=dataset.ignore_label,
            result=Path(folder) / f"{case['case']}.json",
        )
        for case in dataset.cases
    ]
    measured: dict[str, CaseFingerprint] = {}
    with tqdm(total=len(todo), desc="measuring", unit="case", disable=hides_bars() if progress else True) as bar:
        for fingerprint in _measure_all(todo, jobs):
            measured[fingerprint.case] = fingerprint
            bar.update()
    complete = mark_duplicates([measured[case["case"]] for case in dataset.cases], dataset.cases)
    incomplete = [CaseFingerprint(case=name, problems=(problem,)) for name, problem in dataset.problems.items()]
    return sorted([*complete, *incomplete], key=lambda fingerprint: fingerprint.case)


def default_jobs(dataset: Dataset) -> int:
    """Return the number of processes: one per `BYTES_PER_PROCESS` of images, since each takes seconds to start."""
    paths = [file for case in dataset.cases for path in image_files(case) for file in stored_files(path)]
    return min(os.cpu_count() or 1, 1 + sum(map(os.path.getsize, paths)) // BYTES_PER_PROCESS)


def stored_files(path: PathLike) -> list[str]:
    """Return the files of a volume: those of the folder of a DICOM series, or the one."""
    return (
        sorted(entry.path for entry in os.scandir(path) if entry.is_file())
        if os.path.isdir(path)
        else [os.fspath(path)]
    )


def mark_duplicates(fingerprints: Sequence[CaseFingerprint], cases: Sequence[LabelledCase]) -> list[CaseFingerprint]:
    """Add a problem to each case whose image is also that of an earlier case.

    Args:
        fingerprints: one for each case.
        cases: in the same order.
    """
    first: dict[str, str] = {}
    marked = []
    for fingerprint, case in zip(fingerprints, cases, strict=True):
        earlier = first.setdefault(fingerprint.image_hash, case["case"]) if fingerprint.image_hash else case["case"]
        if earlier != case["case"]:
            problem = VolumeError(
                image_files(case)[0], f"the same voxels as case {earlier!r}", "every image must occur once"
            )
            fingerprint = replace(fingerprint, problems=(*fingerprint.problems, str(problem)))
        marked.append(fingerprint)
    return marked


def warn_of_rare_labels(dataset: Dataset, fingerprints: Sequence[CaseFingerprint]) -> None:
    """Warn of labels that a single case has, if the dataset does not list its labels: a stray voxel makes one, too."""
    if dataset.label_values is not None or len(fingerprints) < 3:
        return
    cases: dict[int, list[str]] = {}
    for fingerprint in fingerprints:
        for label in fingerprint.label_volumes:
            cases.setdefault(label, []).append(fingerprint.case)
    for label, found in sorted(cases.items()):
        if len(found) == 1:
            message = "%s: label %d: only in case %s: list the labels in dataset.json if it is a mistake"
            logger.warning(message, dataset.folder, label, found[0])


def warn_of_absent_labels(dataset: Dataset, fingerprints: Sequence[CaseFingerprint]) -> None:
    """Warn of labels that the dataset names but that no case without problems has: a network cannot learn them."""
    present = {label for fingerprint in fingerprints for label in fingerprint.label_volumes}
    if absent := [
        f"{label} ({dataset.label_names.get(label, 'unnamed')})"
        for label in dataset.label_values or ()
        if label not in present
    ]:
        found = f"in none of {len(fingerprints)} cases without problems"
        logger.warning("%s: labels %s: %s: cannot be learnt", dataset.folder, ", ".join(absent), found)


def warn_of_modality(dataset: Dataset, name: str) -> None:
    """Warn if the intensities of a case do not look like the modality for which the dataset's channels are named.

    Args:
        dataset: the dataset.
        name: of a case without problems.
    """
    image = next(case["image"] for case in dataset.cases if case["case"] == name)
    loaded = LoadVolumed(["image"], channels=len(dataset.channel_names), one_grid=False)({"image": image})
    CheckModalitiesd(["image"], modalities=dataset.modalities)(loaded)


def write_integrity_report(fingerprints: Iterable[CaseFingerprint], path: PathLike) -> None:
    """Write a CSV with a row for each case and problem; a case without problems has one row with an empty problem.

    Raises:
        OSError: the file cannot be written.
    """
    rows = [
        {"case": fingerprint.case, "problem": problem}
        for fingerprint in fingerprints
        for problem in fingerprint.problems or ("",)
    ]
    write_csv(path, ["case", "problem"], rows)


def measure_job(job: SurveyJob) -> CaseFingerprint:
    """Measure a case and keep the result."""
    conditions = _conditions(job)  # before its files are read, so that what changes meanwhile is read again
    fingerprint = measure_case(job.case, modalities=job.modalities, labels=job.labels, ignore=job.ignore)
    write_json(job.result, {"conditions": conditions, "fingerprint": asdict(fingerprint)})
    return fingerprint


def _measure_all(todo: Sequence[SurveyJob], jobs: int) -> Iterator[CaseFingerprint]:
    """Yield the results as they come, those that were kept first."""
    waiting = []
    for job in todo:
        kept = _read_result(job)
        if kept is None:
            waiting.append(job)
        else:
            yield kept
    if jobs == 1 or len(waiting) < 2:
        yield from map(measure_job, waiting)
        return
    context = multiprocessing.get_context("spawn")  # a fork would share locks of torch's threads
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(jobs, len(waiting)), mp_context=context, initializer=_prepare_process)
    try:
        for future in as_completed([pool.submit(measure_job, job) for job in waiting]):
            yield future.result()
    except BrokenProcessPool:
        raise MemoryError("a measuring process was ended, perhaps for lack of memory: use fewer --jobs") from None
    except BaseException:  # such as Ctrl-C: cases in progress would take long; they are measured again next time
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _conditions(job: SurveyJob) -> dict[str, Any]:
    """Return what a result depends on."""
    files = {}
    label = job.case["label"]
    for path in (file for volume in (*image_files(job.case), label) for file in stored_files(volume)):
        try:
            status = os.stat(path)
            files[path] = [status.st_size, status.st_mtime_ns]
        except OSError:  # becomes a problem of the case
            files[path] = []
    labels = None if job.labels is None else list(job.labels)
    rois = dict(label.rois) if isinstance(label, MaskFile) else {}
    modalities = list(job.modalities)
    return {
        "version": VERSION,
        "files": files,
        "rois": rois,
        "modalities": modalities,
        "labels": labels,
        "ignore": job.ignore,
    }


def _read_result(job: SurveyJob) -> CaseFingerprint | None:
    """Read the result that an earlier survey kept, if it would be the same today."""
    try:
        record = json.loads(job.result.read_text(encoding="utf-8"))
        return CaseFingerprint.from_record(record["fingerprint"]) if record["conditions"] == _conditions(job) else None
    except (OSError, ValueError, TypeError, KeyError):  # missing, or another file of that name
        return None


def _prepare_process() -> None:
    """Use one thread, since every process works; leave Ctrl-C to the parent, and end with it, even if it is killed."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()
