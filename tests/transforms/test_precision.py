"""bfloat16 is used where it was measured to be faster, and all runs on a machine agree."""

from __future__ import annotations

import json

import pytest
import torch

from hybridseg.transforms import precision
from hybridseg.transforms.precision import computes_bfloat16, measure_ratio, prefers_bfloat16, ratio_file, time_ratio

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Remember measurements in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    prefers_bfloat16.cache_clear()
    yield
    prefers_bfloat16.cache_clear()


def test_measurement_is_remembered():
    ratio = time_ratio()
    assert ratio > 0
    assert json.loads(ratio_file().read_text()) == {"ratio": ratio}
    assert time_ratio() == ratio


@pytest.mark.parametrize(("ratio", "prefers"), [(0.5, True), (1.5, False)])
def test_remembered_ratio_decides(monkeypatch, ratio, prefers):
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    ratio_file().parent.mkdir()
    ratio_file().write_text(json.dumps({"ratio": ratio}))
    assert prefers_bfloat16(CPU) is prefers


def test_damaged_memory_is_measured_again():
    ratio_file().parent.mkdir()
    ratio_file().write_text("{")
    assert time_ratio() > 0
    assert "ratio" in json.loads(ratio_file().read_text())


def test_unwritable_cache_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert time_ratio() > 0


def test_processor_without_bfloat16_is_not_measured(monkeypatch):
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: False)
    assert not prefers_bfloat16(CPU)
    assert not ratio_file().exists()
    assert not computes_bfloat16(torch.device("meta"))
    assert measure_ratio() > 0
