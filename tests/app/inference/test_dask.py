"""Cases on the workers of a Dask cluster: workers that die, cases that fail, and workers that do not fit the run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from hybridseg.app.commands.predict import Predict
from hybridseg.app.inference.dask import Job
from hybridseg.app.inference.existing import list_work
from hybridseg.app.runtime.folder_lock import folder_lock

from ...environments import make_environment
from ..conftest import SHAPE, hybridseg, predict, read_volume, write_volume

dask = pytest.importorskip("dask", reason="needs the extra dask")
distributed = pytest.importorskip("distributed", reason="needs the extra dask")

CASES = 60
WATCHED = (
    "$lambda case: (open({log!r}, 'a').write(case['case'] + '\\n'),"
    " os.kill(os.getpid(), 9) if case['case'] == 'a_deadly'"
    " or (case['case'] == 'case30' and open({log!r}).read().count('case30') == 1) else None, case)[-1]"
)
"""An expression of a config: note each case that is read; kill the worker of `a_deadly`, and once that of `case30`."""


@pytest.fixture
def job(bundle: Path, tmp_path: Path) -> Iterator[Job]:
    """The job of a run that holds its output folder."""
    command = Predict(inputs=(), output=tmp_path, bundle=str(bundle))
    with folder_lock(tmp_path, "output"):
        yield Job(describe=command.describe, load=command.load, settings=command.describe(), output=tmp_path)


@pytest.fixture
def two_workers() -> Iterator[str]:
    """The address of a cluster of two processes; new ones are forked from one that has imported what they need."""
    settings = {
        "distributed.worker.multiprocessing-method": "forkserver",
        "distributed.deploy.lost-worker-timeout": "1h",  # by default the cluster gives up a killed worker after 15 s
    }
    with dask.config.set(settings):
        forks = distributed.utils.get_mp_context()
        forks.set_forkserver_preload(["hybridseg.app.commands.predict", "hybridseg.app.inference.segmenter"])
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            yield cluster.scheduler_address


def watched_bundle(bundle: Path, folder: Path, log: Path) -> Path:
    """Copy a bundle whose preprocessing is `WATCHED`."""
    shutil.copytree(bundle, folder)
    config_file = folder / "configs" / "inference.json"
    config = json.loads(config_file.read_text())
    config["imports"].append("$import os")
    watched = WATCHED.format(log=str(log))
    config["preprocessing"] = {"_target_": "monai.transforms.Compose", "transforms": [watched, config["preprocessing"]]}
    config_file.write_text(json.dumps(config))
    return folder


@pytest.mark.slow
def test_every_case_is_written_though_workers_die(two_workers: str, bundle: Path, tmp_path: Path) -> None:
    names = [f"case{index}" for index in range(CASES)]
    for name in [*names, "a_deadly"]:
        write_volume(tmp_path / "in" / f"{name}.nii.gz")
    (tmp_path / "in" / "case7.nii.gz").write_text("not a volume")
    output, log = tmp_path / "out", tmp_path / "log.txt"
    deadly = watched_bundle(bundle, tmp_path / "watched_mri_segmentation", log)
    result = predict(deadly, output, tmp_path / "in", "--statistics", "--json", "--dask", two_workers)
    assert (result.code, bool(result.out)) == (1, True), result.err
    cases: list[dict[str, Any]] = json.loads(result.out)
    assert [case["case"] for case in cases] == sorted([*names, "a_deadly"])
    failed = {case["case"]: case["error"] for case in cases if case["outcome"] != "written"}
    assert failed.keys() == {"case7", "a_deadly"}
    assert "must be a whole, readable volume" in failed["case7"]
    assert (
        failed["a_deadly"] == f"{tmp_path / 'in' / 'a_deadly.nii.gz'}: 3 workers or more died while they segmented it"
    )
    read = Counter(log.read_text().splitlines())
    assert read.pop("a_deadly") >= 3
    written = [name for name in names if name != "case7"]
    assert read["case30"] >= 2  # another may be read again too: its result was lost with a worker
    assert read.keys() == set(written)
    assert sorted(path.name for path in output.glob("*.nii.gz")) == sorted(f"{name}.nii.gz" for name in written)
    assert all(read_volume(output / f"{name}.nii.gz").shape == SHAPE for name in written)
    record = json.loads((output / "run.json").read_text())
    assert record["finished"] is not None
    assert {case["case"] for case in record["cases"] if case["run"] in record["runs"]} == set(written)
    assert all(record["runs"][case["run"]]["device"] for case in record["cases"] if case["case"] in written)
    rows = json.loads((output / "statistics.json").read_text())["labels"]
    assert {row["case"] for row in rows} == set(written)


@pytest.mark.slow
def test_waiting_cases_are_cancelled_when_the_run_stops(two_workers: str, bundle: Path, tmp_path: Path) -> None:
    images = [write_volume(tmp_path / "in" / f"case{index}.nii.gz") for index in range(CASES)]
    output = tmp_path / "out"
    output.mkdir()
    command = Predict(inputs=tuple(images), output=output, bundle=str(bundle), dask=two_workers)
    work = list_work(command.find_cases(bundle), output, overwrite=False)
    with folder_lock(output, "output"), command.segmenter(command.describe()) as segmenter:
        done = segmenter.run(work, {})
        assert next(done).outcome == "written"
        assert isinstance(done, Generator)
        done.close()  # as Ctrl-C does
    with distributed.Client(two_workers) as client:
        assert client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)) == []
    assert 1 <= len(list(output.glob("*.nii.gz"))) < CASES


@pytest.mark.slow
def test_cases_wait_for_the_first_worker_and_say_so(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, output = write_volume(tmp_path / "in" / "case.nii.gz"), tmp_path / "out"
    output.mkdir()
    with distributed.LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        command = Predict(inputs=(image,), output=output, bundle=str(bundle), dask=address)
        work = list_work(command.find_cases(bundle), output, overwrite=False)
        with folder_lock(output, "output"), command.segmenter(command.describe()) as segmenter:
            line = f"dask: {address}: the scheduler has no workers: waiting until one starts"
            assert line in capsys.readouterr().err
            cluster.scale(1)
            assert [record.outcome for record in segmenter.run(work, {})] == ["written"]


@pytest.mark.slow
def test_worker_without_hybridseg_stops_the_run(bundle: Path, tmp_path: Path) -> None:
    python = make_environment(tmp_path / "environment", ["distributed"])
    image = write_volume(tmp_path / "in" / "case.nii.gz")
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        words = [python, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-dashboard"]
        worker = subprocess.Popen([str(word) for word in words], cwd=tmp_path, stderr=subprocess.DEVNULL)
        client.wait_for_workers(1, timeout=120)
        result = predict(bundle, tmp_path / "out", image, "--dask", cluster.scheduler_address)
        worker.terminate()
        worker.wait()
    assert result.code == 2
    assert f"HybridSeg is not installed: must be version {version('hybridseg')}, as here" in result.err
    assert not list(tmp_path.glob("out/*.nii.gz"))


def test_worker_that_sees_bundle_and_folder_fits(job: Job) -> None:
    assert job.check() is None


def test_worker_with_other_weights_does_not_fit(job: Job, bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / bundle.name
    shutil.copytree(bundle, other)
    (other / "models" / "model.pt").write_bytes(b"other weights")
    describe = Predict(inputs=(), output=tmp_path, bundle=str(other)).describe
    elsewhere = Job(describe=describe, load=job.load, settings=job.settings, output=tmp_path)
    assert "workers must read the same bundle and weights" in str(elsewhere.check())
    assert str(elsewhere.check()).startswith("weights model.pt ")


def test_worker_without_the_bundle_does_not_fit(job: Job, bundle: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone" / bundle.name
    shutil.copytree(bundle, gone)
    describe = Predict(inputs=(), output=tmp_path, bundle=str(gone)).describe
    elsewhere = Job(describe=describe, load=job.load, settings=job.settings, output=tmp_path)
    shutil.rmtree(gone)
    assert f"bundle: '{gone}': must be the name of a shipped bundle" in str(elsewhere.check())


def test_worker_drops_its_case_once_the_run_has_ended(bundle: Path, tmp_path: Path) -> None:
    command = Predict(inputs=(), output=tmp_path, bundle=str(bundle))
    with folder_lock(tmp_path, "output"):
        job = Job(describe=command.describe, load=command.load, settings=command.describe(), output=tmp_path)
    rule = f"output: {tmp_path}: not held by the run: must be a folder that all machines share"
    with pytest.raises(ValueError, match=rule):
        job.check_output()


def test_address_of_no_scheduler_is_an_error(bundle: Path, tmp_path: Path) -> None:
    image = write_volume(tmp_path / "in" / "case.nii.gz")
    result = predict(bundle, tmp_path / "out", image, "--dask", "nothing://here")
    assert result.code == 2
    assert "dask: nothing://here: no connection: must be the address of a running scheduler" in result.err


def test_torchrun_with_dask_is_an_error(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = hybridseg("predict", tmp_path, "-o", tmp_path / "out", "--bundle", bundle, "--dask", "tcp://host:8786")
    assert (result.code, "dask: WORLD_SIZE is 2: must be used in one process, without torchrun" in result.err) == (
        2,
        True,
    )


def test_missing_extra_is_named(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = predict(bundle, tmp_path / "out", tmp_path, "--dask", "tcp://host:8786")
    assert result.code == 2
    assert "dask: distributed is not installed: pip install '.[dask]'" in result.err
