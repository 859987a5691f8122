"""A prepared case is what preprocessing gives, is read in parts, and is never out of date."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Transform

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.patches import POSITIONS, label_positions
from hybridseg.transforms.store import Store, is_ready, mark_used, open_case, prune, stored_cases
from hybridseg.transforms.store.store import DAY

from .volumes import preprocessing, write_case


@pytest.fixture
def case(tmp_path: Path) -> dict[str, str]:
    return write_case(tmp_path / "data")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", preprocessing())


def test_whole_case_equals_preprocessing(case, store):
    store.prepare(case)
    stored = open_case(case, store.entry(case), whole=True)
    prepared: Any = Compose(preprocessing())(case)
    assert stored.keys() == prepared.keys()
    assert stored["case"] == "a"
    for key in ("image", "label"):
        assert torch.equal(stored[key].as_tensor(), prepared[key].as_tensor())
        assert isinstance(stored[key], MetaTensor)
        assert stored[key].dtype == prepared[key].dtype
        assert stored[key].meta.keys() == prepared[key].meta.keys()
        for name, value in prepared[key].meta.items():
            np.testing.assert_array_equal(stored[key].meta[name], value)
            assert type(stored[key].meta[name]).__name__ in (type(value).__name__, "str")


def test_parts_are_those_of_the_whole(case, store):
    store.prepare(case)
    whole = open_case(case, store.entry(case), whole=True)
    parts = open_case(case, store.entry(case), whole=False)
    for key in ("image", "label"):
        assert parts[key].shape == whole[key].shape
        np.testing.assert_array_equal(parts[key][:, 30:66, 2:9, 5:20], whole[key][:, 30:66, 2:9, 5:20])
    assert parts["label"].dtype == np.uint8
    positions = label_positions(whole["label"])
    assert parts[POSITIONS].keys() == positions.keys() == {0, 1, 2}
    for label, voxels in positions.items():
        np.testing.assert_array_equal(parts[POSITIONS][label], voxels)


def test_entry_follows_from_the_content_of_the_files(case, store, tmp_path):
    entry = store.entry(case)
    moved = {"case": "b", **{key: str(tmp_path / f"moved_{key}.nii.gz") for key in ("image", "label")}}
    for key in ("image", "label"):
        Path(moved[key]).write_bytes(Path(case[key]).read_bytes())

    assert store.entry(moved) == entry
    changed = write_case(tmp_path / "data", seed=1)  # the same paths
    assert changed == case
    assert store.entry(changed) != entry


def test_preprocessing_has_entries_of_its_own(case, store, tmp_path):
    same, other = (Store(tmp_path / "store", preprocessing(spacing)) for spacing in (1.0, 1.5))
    assert same.entry(case) == store.entry(case)
    assert other.entry(case) != store.entry(case)


def test_killed_preparation_is_done_again(case, store):
    store.prepare(case)
    entry = store.entry(case)
    expected = open_case(case, entry, whole=True)["image"].clone()
    (entry / "entry.json").unlink()
    (entry / "image.b2nd").write_bytes(b"half")
    assert not is_ready(entry)
    store.prepare(case)
    assert torch.equal(open_case(case, entry, whole=True)["image"], expected)


@pytest.mark.parametrize("damage", ["cut", "flipped", "zeroed", "empty", "missing"])
@pytest.mark.parametrize("name", ["image.b2nd", "label.b2nd", "positions.npy", "entry.json"])
def test_damaged_entry_is_not_used(case, store, name, damage):
    store.prepare(case)
    entry = store.entry(case)
    content = bytearray((entry / name).read_bytes())
    middle = len(content) // 2
    content[middle] ^= damage == "flipped"
    content[middle:] = bytes(len(content) - middle) if damage == "zeroed" else content[middle:]
    (entry / name).write_bytes(content[: {"cut": middle, "empty": 0}.get(damage)])
    if damage == "missing":
        (entry / name).unlink()
    assert not is_ready(entry)
    (state,) = [item.state for item in stored_cases(store.folder)]
    assert state == ("" if name != "entry.json" else "not complete" if damage == "missing" else "damaged")
    store.prepare(case)
    assert is_ready(entry)


class Edit(Transform):
    """Changes the file of an image while its case is prepared."""

    def __call__(self, case: Any) -> Any:
        path = Path(case["image"].meta["filename_or_obj"])
        path.write_bytes(path.read_bytes() + b"x")
        return case


def test_file_that_changes_meanwhile_is_an_error(case, tmp_path):
    store = Store(tmp_path / "store", [*preprocessing(), Edit()])
    with pytest.raises(VolumeError, match=r"a_image\.nii\.gz: changed while it was read: must not change"):
        store.prepare(case)
    assert list(store.folder.glob("*/entry.json")) == []


def test_used_entries_are_kept_and_others_pruned(case, store, tmp_path):
    cases = [case, *(write_case(tmp_path / "data", name, seed) for seed, name in enumerate("bc", start=1))]
    for item in cases:
        store.prepare(item)
    entries = [store.entry(item) for item in cases]
    for entry in entries[:2]:
        os.utime(entry / "entry.json", (0, time.time() - 40 * DAY))
    mark_used(entries[1])
    assert {item.folder: item.days > 30 for item in stored_cases(store.folder)} == dict(
        zip(entries, [True, False, False], strict=True)
    )
    assert [item.folder for item in prune(store.folder, days=30)] == entries[:1]
    Path(cases[2]["image"]).unlink()
    assert {item.case: item.state for item in stored_cases(store.folder)} == {"b": "", "c": "files changed"}
    (entries[1] / "entry.json").unlink()  # in the making
    assert [item.case for item in prune(store.folder, days=0)] == ["c"]
    assert [item.state for item in stored_cases(store.folder)] == ["not complete"]
