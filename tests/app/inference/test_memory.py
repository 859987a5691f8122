"""The memory that a case needs is estimated from its headers, and checked before it is loaded."""

from __future__ import annotations

import math
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
import pytest
import torch

from hybridseg.app.inference import memory
from hybridseg.app.inference.cohort import PredictedCase, segment_cases
from hybridseg.app.inference.memory import (
    available_memory,
    check_loading,
    loading_bytes,
    logit_bytes,
    network_bytes,
    network_voxels,
    window_bytes,
)
from hybridseg.app.inference.predictor import Data, Predictor
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.load import read_header
from hybridseg.transforms.precision import choose_precision

from ..conftest import SPACING, write_volume


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    """The bundle, which resamples to 1 mm without cropping."""
    return Predictor(bundle, "cpu")


def test_network_grid_is_estimated_from_the_header(predictor: Predictor, tmp_path: Path) -> None:
    path = write_volume(tmp_path / "one.nii.gz", affine=SPACING)
    expected = predictor.prepare({"case": "one", "image": str(path)})["image"][0].numel()
    assert network_voxels(predictor, read_header(path)) == pytest.approx(expected, rel=0.2)


def test_estimate_grows_with_voxels_and_channels(predictor: Predictor, tmp_path: Path) -> None:
    small = read_header(write_volume(tmp_path / "small.nii.gz", np.ones((20, 20, 20), np.int16)))
    large = read_header(write_volume(tmp_path / "large.nii.gz", np.ones((20, 20, 40), np.int16)))
    plenty = 10**12
    assert loading_bytes(predictor, [large], plenty) == 2 * loading_bytes(predictor, [small], plenty)
    assert loading_bytes(predictor, [small] * 4, plenty) > 2 * loading_bytes(predictor, [small], plenty)


def test_estimate_counts_the_network_where_memory_is_short(predictor: Predictor) -> None:
    plenty, short = (network_bytes(predictor, 1, 64**3, available) for available in (10**12, 10**6))
    assert plenty == logit_bytes(predictor, 64**3)
    dtype = choose_precision("auto", torch.device("cpu")).dtype
    batch = (predictor.inferer.sw_batch_size, 1, 16, 16, 16)
    assert short - plenty == window_bytes(predictor.network, batch, dtype) > 8 * 2 * math.prod(batch)


def test_network_that_cannot_be_counted_counts_as_nothing() -> None:
    class Own(torch.nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 # the name of torch
            return input * float(input.max())

    assert window_bytes(Own(1, 1), (1, 1, 2, 2, 2), torch.float32) == 0


def test_estimate_counts_probabilities(predictor: Predictor) -> None:
    assert network_bytes(predictor, 1, 10**6, 10**12, probabilities=True) == 12 * 10**6  # 3 classes


def test_case_that_does_not_fit_is_one_line(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_volume(tmp_path / "one.nii.gz", np.ones((100, 100, 100), np.int16))
    case = InputCase("one", (path,))
    check_loading(predictor, case)
    monkeypatch.setattr(memory, "available_memory", lambda: 5_000_000)
    rule = r"must be at most 0.01 GB, the free memory"
    with pytest.raises(VolumeError, match=rf"one.nii.gz: 100 x 100 x 100 voxels need about 0.02 GB of memory: {rule}"):
        check_loading(predictor, case)


def test_header_that_claims_too_much_is_left_to_the_reader(predictor: Predictor, tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    whole = bytearray(image.to_bytes())
    struct.pack_into("<3h", whole, 42, 30000, 30000, 30000)
    path = tmp_path / "one.nii"
    path.write_bytes(whole)
    assert loading_bytes(predictor, [read_header(path)], 0) > available_memory()
    check_loading(predictor, InputCase("one", (path,)))
    with pytest.raises(RuntimeError) as caught:  # MONAI's, around the reader's
        predictor.prepare({"image": str(path)})
    assert "must be a whole, readable volume" in str(caught.value.__cause__)


class Crowded(Predictor):
    """A predictor that knows which cases are in memory."""

    held: ClassVar[set[str]] = set()

    def prepare(self, case: Mapping[Any, Any]) -> Data:
        self.held.add(case["case"])
        assert len(self.held) == 1
        return super().prepare(case)


def test_case_that_fits_alone_waits_for_the_others(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_volume(tmp_path / f"{name}.nii.gz") for name in ("first", "second", "third")]
    work = [
        (InputCase(path.name, (path,)), PredictedCase(case=path.name, inputs=[str(path)], output="")) for path in paths
    ]
    crowded = Crowded(bundle, "cpu")
    loading = loading_bytes(crowded, [read_header(paths[0])], 0)
    monkeypatch.setattr(memory, "available_memory", lambda: loading - 1 if crowded.held else loading)

    def finish(case: InputCase, data: Data) -> None:
        crowded.held.remove(case.name)

    records = [*segment_cases(crowded, work, finish)]
    assert [(record.outcome, record.error) for record in records] == [("written", None)] * 3


def test_case_that_never_fits_fails_and_the_others_continue(
    bundle: Path, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = write_volume(tmp_path / "large.nii.gz", np.ones((100, 100, 100), np.int16))
    small = write_volume(tmp_path / "small.nii.gz")
    paths = [small, large, Path(shutil.copy(small, tmp_path / "last.nii.gz"))]
    work = [
        (InputCase(path.name, (path,)), PredictedCase(case=path.name, inputs=[str(path)], output="")) for path in paths
    ]
    monkeypatch.setattr(memory, "available_memory", lambda: 5_000_000)
    records = [*segment_cases(predictor, work, lambda *_: None)]
    assert [record.outcome for record in records] == ["written", "failed", "written"]
    assert "need about 0.02 GB of memory" in str(records[1].error)
