"""bfloat16 is used where it was measured to be faster, and all runs on a machine agree."""

from __future__ import annotations

import json

import pytest
import torch

from hybridseg.transforms import precision
from hybridseg.transforms.precision import (
    choose_precision,
    computes_bfloat16,
    measure_ratio,
    prefers_bfloat16,
    ratio_file,
    time_ratio,
)

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Remember measurements in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    yield
    forget()


def forget():
    """Forget what this process knows, as a new one."""
    prefers_bfloat16.cache_clear()
    time_ratio.cache_clear()


def test_measurement_is_remembered():
    ratio = time_ratio()
    assert ratio > 0
    assert json.loads(ratio_file().read_text()) == {"ratio": ratio}
    forget()
    assert time_ratio() == ratio


@pytest.mark.parametrize(("ratio", "prefers"), [(0.5, True), (1.5, False)])
def test_remembered_ratio_decides(monkeypatch, ratio, prefers):
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    ratio_file().parent.mkdir()
    ratio_file().write_text(json.dumps({"ratio": ratio}))
    assert prefers_bfloat16(CPU) is prefers
    used = choose_precision("auto", CPU)
    assert used.name == ("bf16" if prefers else "fp32")
    assert used.reason == f"bfloat16 measured at {ratio:.2f} of the time of float32"


def test_damaged_memory_is_measured_again():
    ratio_file().parent.mkdir()
    ratio_file().write_text("{")
    assert time_ratio() > 0
    assert "ratio" in json.loads(ratio_file().read_text())


def test_unwritable_cache_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert time_ratio() > 0


def test_one_process_measures_once(tmp_path, monkeypatch):
    """Also where the measurement cannot be remembered for other processes."""
    measurements = []

    def measure():
        measurements.append(measure_ratio())
        return measurements[-1]

    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    monkeypatch.setattr(precision, "measure_ratio", measure)
    assert choose_precision("auto", CPU) == choose_precision("auto", CPU)
    assert len(measurements) == 1


def test_processor_without_bfloat16_is_not_measured(monkeypatch):
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: False)
    assert not prefers_bfloat16(CPU)
    assert choose_precision("auto", CPU).record() == {
        "chosen": "auto",
        "used": "fp32",
        "reason": "no instructions for bfloat16",
    }
    assert not ratio_file().exists()
    assert not computes_bfloat16(torch.device("meta"))
    assert measure_ratio() > 0


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_chosen_precision_is_not_measured(name, dtype):
    used = choose_precision(name, CPU)
    assert (used.name, used.dtype, used.reason) == (name, dtype, "chosen")
    assert not ratio_file().exists()
    with used.autocast(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_float16_is_for_cuda_only():
    assert choose_precision("fp16", torch.device("cuda")).dtype == torch.float16
    with pytest.raises(
        ValueError, match=r"precision: 'fp16': must be auto, fp32 or bf16 on cpu: fp16 needs a CUDA GPU"
    ):
        choose_precision("fp16", CPU)
