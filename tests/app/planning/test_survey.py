"""Every case is measured once, even if the survey is stopped, and again only if its files have changed."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import termios
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybridseg.app.planning import survey as module
from hybridseg.app.planning.case_fingerprint import CaseFingerprint
from hybridseg.app.planning.dataset_fingerprint import summarise_cases
from hybridseg.app.planning.survey import SurveyJob, measure_job, survey_dataset
from hybridseg.transforms import open_dataset
from hybridseg.transforms.datasets.dataset import Dataset

from ..conftest import SHAPE, write_volume

RANDOM = np.random.default_rng(0)


def make_dataset(folder: Path, names: Sequence[str], modality: str = "MRI") -> Dataset:
    """Images of noise that differ, and label maps of labels 1 and 2."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2:6, 3:7, 4:8] = 1
    labels[8:12, 3:7, 4:8] = 2
    for name in names:
        write_volume(folder / "images" / f"{name}.nii.gz", RANDOM.normal(100, 20, SHAPE).astype(np.float32))
        write_volume(folder / "labels" / f"{name}.nii.gz", labels)
    listing = {"modality": {"0": modality}, "labels": {"0": "background", "1": "liver", "2": "spleen"}}
    (folder / "dataset.json").write_text(json.dumps(listing))
    return open_dataset(folder)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the name of each case that is measured."""
    names: list[str] = []

    def measure_and_record(job: SurveyJob) -> CaseFingerprint:
        names.append(job.case["case"])
        return measure_job(job)

    monkeypatch.setattr(module, "measure_job", measure_and_record)
    return names


def test_every_case_is_measured_once(tmp_path: Path, measured: list[str]) -> None:
    dataset = make_dataset(tmp_path / "set", "abc")
    first = survey_dataset(dataset, tmp_path / "kept")
    assert [fingerprint.case for fingerprint in first] == ["a", "b", "c"]
    assert all(fingerprint.is_sound for fingerprint in first)
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["a.json", "b.json", "c.json"]
    assert survey_dataset(dataset, tmp_path / "kept") == first
    assert measured == ["a", "b", "c"]


def test_interrupted_survey_resumes(tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(tmp_path / "set", "abcd")
    measure_and_record = module.measure_job

    def interrupt(job: SurveyJob) -> CaseFingerprint:
        if job.case["case"] == "c":
            raise KeyboardInterrupt
        return measure_and_record(job)

    monkeypatch.setattr(module, "measure_job", interrupt)
    with pytest.raises(KeyboardInterrupt):
        survey_dataset(dataset, tmp_path / "kept")
    assert measured == ["a", "b"]
    monkeypatch.setattr(module, "measure_job", measure_and_record)
    survey_dataset(dataset, tmp_path / "kept")
    assert measured == ["a", "b", "c", "d"]


@pytest.mark.parametrize("part", ["images", "labels"])
def test_changed_file_is_measured_again(tmp_path: Path, measured: list[str], part: str) -> None:
    dataset = make_dataset(tmp_path / "set", "ab")
    survey_dataset(dataset, tmp_path / "kept")
    path = tmp_path / "set" / part / "b.nii.gz"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    survey_dataset(dataset, tmp_path / "kept")
    assert measured == ["a", "b", "b"]


def test_outdated_and_broken_results_are_measured_again(tmp_path: Path, measured: list[str]) -> None:
    dataset = make_dataset(tmp_path / "set", "a")
    survey_dataset(dataset, tmp_path / "kept")
    for text in ("", "[]", "{}", '{"conditions": 1}'):
        (tmp_path / "kept" / "a.json").write_text(text)
        survey_dataset(dataset, tmp_path / "kept")
    assert len(measured) == 5
    assert survey_dataset(make_dataset(tmp_path / "set", "", modality="CT"), tmp_path / "kept")[0].body_share == 1.0
    assert len(measured) == 6


def test_unreadable_case_is_measured_again_once_repaired(tmp_path: Path, measured: list[str]) -> None:
    dataset = make_dataset(tmp_path / "set", "ab")
    path = tmp_path / "set" / "images" / "b.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    for _ in range(2):
        good, bad = survey_dataset(dataset, tmp_path / "kept")
        assert good.is_sound
        assert "images/b.nii.gz: unreadable" in bad.problems[0]
    assert measured == ["a", "b"]
    path.unlink()
    assert "not a file" in survey_dataset(dataset, tmp_path / "kept")[1].problems[0]
    path.write_bytes(whole)
    assert survey_dataset(dataset, tmp_path / "kept")[1].is_sound


def test_process_ended_by_the_system_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(*arguments: object) -> None:
        raise BrokenProcessPool("a process died")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit)
    with pytest.raises(MemoryError, match=r"a measuring process was ended, perhaps for lack of memory: use fewer"):
        survey_dataset(make_dataset(tmp_path / "set", "ab"), tmp_path / "kept", jobs=2)


def test_jobs_must_be_at_least_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"jobs: 0: must be at least 1"):
        survey_dataset(make_dataset(tmp_path / "set", "a"), tmp_path / "kept", jobs=0)


def test_memory_does_not_grow_with_the_number_of_cases(tmp_path: Path) -> None:
    count, shape = 40, (48, 48, 48)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[10:20, 10:20, 10:20] = 1
    for index in range(count):
        image = RANDOM.integers(0, 255, shape, dtype=np.uint8)
        write_volume(tmp_path / "set" / "images" / f"{index}.nii", image)
        write_volume(tmp_path / "set" / "labels" / f"{index}.nii", labels)
    dataset = open_dataset(tmp_path / "set")
    survey_dataset(dataset, tmp_path / "warm")
    tracemalloc.start()
    try:
        fingerprints = survey_dataset(dataset, tmp_path / "kept")
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(fingerprints) == count
    assert held < count * 20_000
    assert peak < 12 * labels.size * 4  # of 40 images


def test_hippocampus_is_sound(data_dir: Path, tmp_path: Path) -> None:
    dataset = open_dataset(data_dir / "Task04_Hippocampus")
    few = replace(dataset, cases=dataset.cases[:5])
    whole = summarise_cases(survey_dataset(few, tmp_path))
    assert (whole.cases, whole.labels) == (5, (1, 2))
    assert whole.median_spacing == (1.0, 1.0, 1.0)
    assert len(whole.channels) == 1


@pytest.mark.slow
def test_several_processes_measure_the_same(data_dir: Path, tmp_path: Path) -> None:
    dataset = open_dataset(data_dir / "Task04_Hippocampus")
    fingerprints = survey_dataset(dataset, tmp_path / "two", jobs=2)
    assert fingerprints == survey_dataset(dataset, tmp_path / "one")
    assert len(list((tmp_path / "two").glob("*.json"))) == 200
    whole = summarise_cases(fingerprints)
    assert (whole.cases, whole.labels) == (200, (1, 2))
    assert whole.median_spacing == (1.0, 1.0, 1.0)


SCRIPT = """
import sys
from hybridseg.app.planning import survey_dataset
from hybridseg.transforms import open_dataset
if __name__ == "__main__":
    survey_dataset(open_dataset(sys.argv[1]), sys.argv[2], jobs=2)
"""


@pytest.mark.slow
def test_killed_survey_leaves_no_processes_and_no_half_files(tmp_path: Path, measured: list[str]) -> None:
    dataset = make_dataset(tmp_path / "set", [f"{index:03}" for index in range(400)])
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    kept = tmp_path / "kept"
    ours, theirs = os.openpty()  # on a terminal there is a progress bar
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "set"), str(kept)], stderr=theirs)
    os.close(theirs)
    bar = ""
    while not re.search(r" ([5-9]|\d\d+)/400", bar):
        bar += os.read(ours, 1024).decode(errors="replace")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    handles = [os.pidfd_open(int(child)) for child in children]
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.close(ours)
    ended = [bool(select.select([handle], [], [], 60)[0]) for handle in handles]  # readable once the process has ended
    for handle in handles:
        os.close(handle)
    assert len(ended) >= 2
    assert all(ended)
    finished = len(list(kept.glob("*.json")))
    assert 5 <= finished < 400
    assert all(fingerprint.is_sound for fingerprint in survey_dataset(dataset, kept))
    assert len(measured) == 400 - finished
