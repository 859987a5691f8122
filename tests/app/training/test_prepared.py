"""Training samples are the same from the store and from memory, and every case is prepared once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import DataLoader
from monai.transforms import Compose

from hybridseg.app.training import prepared
from hybridseg.app.training.prepared import PreparedDataset, fill_store, workers
from hybridseg.app.training.reproducibility import SeededDataset, SeededSampler
from hybridseg.transforms import augmentation
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.store import Store, prune

from ...transforms.store.volumes import preprocessing, write_case

CASES = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    folder = tmp_path_factory.mktemp("data")
    return [write_case(folder, str(index), index) for index in range(CASES)]


def pipeline() -> Compose:
    """Return preprocessing and augmentation, with patches longer than the volumes along one axis."""
    return Compose([*preprocessing(), augmentation(patch_size=(32, 16, 30), patches=2, padding=-1.0)]).flatten()


def test_samples_are_the_same_from_store_and_memory(data, tmp_path):
    stored, kept = (PreparedDataset(data, pipeline(), store) for store in (tmp_path / "store", None))
    for dataset in (stored, kept):
        assert len(dataset) == CASES
    for epoch in range(2):
        for index in range(CASES):
            one, other = (SeededDataset(dataset, 7)[epoch, index] for dataset in (stored, kept))
            for ours, theirs in zip(one, other, strict=True):
                assert ours.keys() == theirs.keys() == {"case", "image", "label"}
                assert ours["case"] == theirs["case"] == data[index]["case"]
                assert torch.equal(ours["image"], theirs["image"])
                assert torch.equal(ours["label"], theirs["label"])
                assert type(ours["image"]) is torch.Tensor


def test_workers_give_the_same_batches(data, tmp_path):
    samples = SeededDataset(PreparedDataset(data, pipeline(), tmp_path), 0)
    here, elsewhere = (
        list(DataLoader(samples, sampler=SeededSampler(samples), batch_size=2, num_workers=number)) for number in (0, 2)
    )
    for one, other in zip(here, elsewhere, strict=True):
        assert torch.equal(one["image"], other["image"])


@pytest.mark.parametrize("in_store", [True, False])
def test_whole_cases_can_be_changed_without_harm(data, tmp_path, in_store):
    dataset: Any = PreparedDataset(data, Compose(preprocessing()), tmp_path if in_store else None)
    expected: Any = Compose(preprocessing())(data[1])
    for _ in range(2):
        case = dataset[1]
        assert torch.equal(case["image"].as_tensor(), expected["image"].as_tensor())
        assert torch.equal(case["label"].as_tensor(), expected["label"].as_tensor())
        assert torch.equal(case["image"].affine, expected["image"].affine)
        case["image"].zero_()


def test_only_missing_cases_are_prepared(data, tmp_path, caplog):
    PreparedDataset(data[:2], pipeline(), tmp_path)
    caplog.set_level(logging.INFO)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.b2nd")}
    PreparedDataset(data, Compose(preprocessing()), tmp_path)  # validation: the same preprocessing
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.b2nd")}
    assert first.items() < after.items()
    assert len(after) == 2 * CASES
    assert "0 more prepared cases" in caplog.text
    caplog.clear()
    PreparedDataset(data, pipeline(), tmp_path)
    assert not caplog.text


def test_damaged_case_is_prepared_again(data, tmp_path, caplog):
    first: Any = PreparedDataset(data, Compose(preprocessing()), tmp_path)
    expected = first[0]["image"].as_tensor().clone()
    path = first.prepared[0] / "image.b2nd"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again: Any = PreparedDataset(data, Compose(preprocessing()), tmp_path)
    assert f"{path.parent}: not complete or damaged: prepared again" in caplog.text
    assert torch.equal(again[0]["image"].as_tensor(), expected)


def test_case_that_is_removed_meanwhile_is_prepared_again(tmp_path, caplog):
    store, case = tmp_path / "store", write_case(tmp_path / "data")
    dataset: Any = PreparedDataset([case], Compose(preprocessing()), store)
    expected = dataset[0]["image"].as_tensor().clone()
    assert [item.folder for item in prune(store, days=0)] == dataset.prepared
    assert torch.equal(dataset[0]["image"].as_tensor(), expected)
    assert f"{dataset.prepared[0]}: removed while it is used: prepared again" in caplog.text
    write_case(tmp_path / "data", seed=1)
    assert [item.state for item in prune(store, days=0)] == ["files changed"]
    rule = "removed, and the files of its case have changed: files must not change while a training uses them"
    with pytest.raises(VolumeError, match=f"{dataset.prepared[0]}: {rule}"):
        dataset[0]


def test_processes_prepare_every_case(data, tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "workers", lambda seconds, memory: 2)
    store = Store(tmp_path, preprocessing())
    assert all((entry / "entry.json").is_file() for entry in fill_store(store, data, None))


def test_bad_case_is_one_line_and_others_are_prepared(data, tmp_path):
    bad = {**data[0], "case": "bad", "label": str(tmp_path / "bad.nii.gz")}
    Path(bad["label"]).write_bytes(b"no volume")
    with pytest.raises(VolumeError, match=r"bad\.nii\.gz: "):
        PreparedDataset([bad, *data], pipeline(), tmp_path / "store")
    assert len(list((tmp_path / "store").glob("*/entry.json"))) == CASES
    other = {**bad, "image": data[1]["image"]}
    with pytest.raises(ValueError, match=r"dataset: 2 of 5 cases cannot be prepared: the first: .*bad"):
        PreparedDataset([bad, other, *data], pipeline(), tmp_path / "store")


def test_new_store_of_bad_cases_names_one(data, tmp_path):
    bad = {**data[0], "label": str(tmp_path / "bad.nii.gz")}
    Path(bad["label"]).write_bytes(b"no volume")
    with pytest.raises(VolumeError, match=r"bad\.nii\.gz: "):
        PreparedDataset([bad], pipeline(), tmp_path / "store")


def test_store_beyond_its_quota_is_an_error(data, tmp_path):
    with pytest.raises(VolumeError, match=r"GB for 2 more prepared cases, room for 0\.0 GB: prune it"):
        PreparedDataset(data, pipeline(), tmp_path, quota=1e-6)


def test_memory_is_used_without_blosc2(data, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(prepared, "HAS_BLOSC2", False)
    caplog.set_level(logging.INFO)
    dataset = PreparedDataset(data[:1], pipeline(), tmp_path / "store")
    assert len(dataset[0]) == 2
    assert not (tmp_path / "store").exists()
    assert "stay in memory" in caplog.text


def test_processes_are_limited_by_work_and_memory():
    assert workers(seconds=9, memory=1) == 0
    assert workers(seconds=1000, memory=10**15) == 0
