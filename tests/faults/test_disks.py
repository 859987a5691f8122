"""A disk that is full: one line names the file and the reason, and nothing is half-written."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from hybridseg.app.training import BestModel, Checkpoints
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.dicom.writing.derived import save_whole
from hybridseg.transforms.phantoms import write_phantoms
from hybridseg.transforms.store import Store, is_ready

from ..app.conftest import FAST_PLAN, bundle, cohort, hybridseg, predict, voxels_of, write_volume
from ..transforms.store.volumes import preprocessing, write_case

__all__ = ["bundle", "cohort"]

PAGE = 4096
"""Bytes that a file takes at least in a file system in memory."""

Full = Callable[[int], AbstractContextManager[str]]
"""Fills the disk but for some pages, and gives the reason that writers get."""


@pytest.fixture(params=["tmpfs", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Full]]:
    """A small file system if this process may mount one, and a limit on the size of files, each with its filler."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limit":
        yield folder, largest_file
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("this process may not mount a file system")
    try:
        yield folder, lambda pages: filled(folder, pages)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def filled(folder: Path, pages: int) -> Iterator[str]:
    """Fill a small file system but for some pages."""
    with (folder / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(PAGE))
        except OSError:
            filler.truncate(filler.tell() - filler.tell() % PAGE - pages * PAGE)
    try:
        yield "No space left on device"
    finally:
        (folder / "filler").unlink()


@contextmanager
def largest_file(pages: int) -> Iterator[str]:
    """Limit the size of every file that this process writes: to almost nothing, or to a fraction of a page for each."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 + 250 * pages, before[1]))
    try:
        yield "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of each file, hidden ones too, except the filler."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "filler"}


def test_scores_are_whole_or_absent(cohort: Path, disk: tuple[Path, Full]) -> None:
    folder, full = disk
    words = ("evaluate", cohort / "labels", cohort / "truth", "-o", folder / "scores")
    (folder / "scores").mkdir()
    with full(0) as reason:
        result = hybridseg(*words)
    assert result.code == 2
    assert result.err == f"hybridseg evaluate: {folder / 'scores' / 'summary.json'}: {reason}\n"
    assert files(folder / "scores") == {}
    assert hybridseg(*words).code == 0
    before = files(folder / "scores")
    with full(0) as reason:
        assert hybridseg(*words, "--tolerance", "3").code == 2
    assert files(folder / "scores") == before


def test_page_is_whole_or_absent(cohort: Path, disk: tuple[Path, Full]) -> None:
    folder, full = disk
    words = ("report", cohort / "labels", "--references", cohort / "truth", "-o", folder / "page.html")
    with full(0) as reason:
        result = hybridseg(*words)
        assert files(folder) == {}
    assert result.code == 2
    assert result.err == f"hybridseg report: {folder / 'page.html'}: {reason}\n"
    assert hybridseg(*words).code == 0


def test_full_disk_stops_a_prediction_before_it_computes(bundle: Path, tmp_path: Path, disk: tuple[Path, Full]) -> None:
    folder, full = disk
    output = folder / "out"
    first, second = write_volume(tmp_path / "first.nii.gz"), write_volume(tmp_path / "second.nii.gz")
    assert predict(bundle, output, first).code == 0
    before = files(output)
    with full(0) as reason:
        result = predict(bundle, output, first, second)
    assert (result.code, result.err) == (2, f"hybridseg predict: {output / 'run.json'}: {reason}\n")
    assert files(output) == before


def test_prediction_with_nothing_to_write_needs_no_room(bundle: Path, tmp_path: Path, disk: tuple[Path, Full]) -> None:
    folder, full = disk
    output, image = folder / "out", write_volume(tmp_path / "first.nii.gz")
    assert predict(bundle, output, image, "--statistics").code == 0
    before = files(output)
    with full(0):
        result = predict(bundle, output, image, "--statistics")
    assert (result.code, result.err) == (0, "")
    assert files(output) == before


@pytest.mark.parametrize("room", [0, 2])
def test_earlier_checkpoint_survives_a_full_disk(disk: tuple[Path, Full], room: int) -> None:
    folder, full = disk
    run_dir = folder / "run"
    network = torch.nn.Linear(100, 100)
    train(network, run_dir, epochs=1)
    with full(room) as reason, pytest.raises(OSError, match=rf"{reason}: '{run_dir / 'checkpoint_epoch=2.pt'}'"):
        train(network, run_dir, epochs=2)
    assert list(files(run_dir)) == ["checkpoint_epoch=1.pt"]
    assert train(network, run_dir, epochs=2) == [2]


def test_earlier_best_weights_survive_a_full_disk(disk: tuple[Path, Full]) -> None:
    folder, full = disk
    network, path = torch.nn.Linear(100, 100), folder / "model.pt"
    best = BestModel(network, path)
    validator: Any = Engine(lambda engine, batch: None)
    validator.state.metrics, validator.state.key_metric_name = {"dice": 0.5}, "dice"
    best(validator)
    before = files(folder)
    validator.state.metrics["dice"] = 0.6
    with full(2) as reason, pytest.raises(OSError, match=rf"{reason}: '{path}'"):
        best(validator)
    assert files(folder) == before


def train(network: torch.nn.Module, run_dir: Path, epochs: int) -> list[int]:
    """Train nothing, or resume it, with a checkpoint after each epoch; return the epochs that were done."""
    done: list[int] = []
    trainer = Engine(lambda engine, batch: done.append(engine.state.epoch))
    trainer.logger.disabled = True
    Checkpoints(run_dir, {"network": network}, resume="auto").attach(trainer)
    trainer.run([0], max_epochs=epochs)
    return done


@pytest.mark.parametrize("room", [0, 2])
def test_prepared_case_is_whole_or_absent(tmp_path: Path, disk: tuple[Path, Full], room: int) -> None:
    folder, full = disk
    case = write_case(tmp_path / "data")
    store = Store(folder / "store", preprocessing())
    with full(room) as reason, pytest.raises(OSError, match=rf"{reason}: '{folder}/store"):
        store.prepare(case)
    assert not is_ready(store.entry(case))
    assert not list(folder.rglob("*.part*"))
    store.prepare(case)
    assert is_ready(store.entry(case))


@pytest.mark.parametrize("room", [0, 2])
def test_dicom_object_is_whole_or_absent(disk: tuple[Path, Full], room: int) -> None:
    folder, full = disk
    contours = [Dataset() for _ in range(30)]
    for contour in contours:
        contour.ContourData = ["1.25"] * 3000
    roi = Dataset()
    roi.ContourSequence = contours
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.3"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.ROIContourSequence = [roi]
    path = folder / "object.dcm"
    rule = "the structure set must be writable there"
    with full(room) as reason, pytest.raises(VolumeError, match=rf"^{path}: {reason}: {rule}$"):
        save_whole(dataset, path, "structure set")
    assert files(folder) == {}


@pytest.mark.slow
def test_plan_is_whole_or_absent(tmp_path: Path, disk: tuple[Path, Full]) -> None:
    folder, full = disk
    dataset = write_phantoms(tmp_path / "organs", 5, seed=4)
    words = [*FAST_PLAN, "--jobs", "1"]
    bundle = folder / "organs_ct_segmentation"
    with full(10) as reason:
        result = hybridseg("plan", dataset, "-o", bundle, *words)
    assert result.code == 2
    assert re.fullmatch(rf"hybridseg plan: {bundle}/\S+: {reason}\n", result.err)
    assert not (bundle / "configs" / "metadata.json").exists()
    begun = {path.relative_to(bundle): path.read_text() for path in bundle.rglob("*") if path.is_file()}
    again = hybridseg("plan", dataset, "-o", bundle, *words)
    assert again.code == 0, again.err
    assert {path: (bundle / path).read_text() for path in begun if path.suffix != ".json"} == {
        path: text for path, text in begun.items() if path.suffix != ".json"
    }
    for text in (text for path, text in begun.items() if path.suffix == ".json"):
        json.loads(text)


@pytest.mark.slow
def test_whatever_still_fits_a_full_disk_is_whole(bundle: Path, tmp_path: Path, disk: tuple[Path, Full]) -> None:
    folder, full = disk
    images = [write_volume(tmp_path / f"{name}.nii.gz") for name in ("first", "second")]
    words: list[str | Path] = [*images, "--statistics", "--preview", "--probabilities"]
    assert predict(bundle, tmp_path / "expected", *words).code == 0
    expected = [path.relative_to(tmp_path / "expected") for path in (tmp_path / "expected").rglob("*.*")]
    for room in (2, 6, 40):
        output = folder / str(room)
        (output / "probabilities").mkdir(parents=True)
        with full(room) as reason:
            result = predict(bundle, output, *words)
        assert result.code in (1, 2), room  # 2 if there is no room for the record
        for line in result.err.splitlines():
            assert re.search(rf"{re.escape(str(output))}/\S+: {reason}", line), line
        for path in (path for path in output.rglob("*") if path.is_file()):
            assert path.relative_to(output) in expected
            check_whole(path, tmp_path / "expected" / path.relative_to(output))
        again = predict(bundle, output, *words)
        assert again.code == 0, again.err
        assert sorted(path.relative_to(output) for path in output.rglob("*.*")) == sorted(expected)
        assert read_cases(output) == ["written", "written"]
        shutil.rmtree(output)


def check_whole(path: Path, expected: Path) -> None:
    """Check that a file is whole, and that a volume has the voxels that it should have."""
    if path.name.endswith(".nii.gz"):
        np.testing.assert_array_equal(voxels_of(path), voxels_of(expected))
    elif path.suffix == ".json":
        json.loads(path.read_text())
    else:
        assert path.read_bytes()[-8:] == expected.read_bytes()[-8:]


def read_cases(output: Path) -> list[str]:
    """Return the outcome of each case in a record."""
    return [case["outcome"] for case in json.loads((output / "run.json").read_text())["cases"]]
