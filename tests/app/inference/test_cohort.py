"""Segmenting several cases, and being interrupted."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from contextlib import redirect_stderr
from typing import Any

import pytest
import torch
from monai.inferers import SimpleInferer

from hybridseg.app.inference.cohort import PredictedCase, segment_cases
from hybridseg.transforms.datasets.input_case import InputCase


class InterruptedPredictor:
    """Segments the first case, and is interrupted by Ctrl-C in the second."""

    device = torch.device("cpu")
    inferer = SimpleInferer()
    regions = None
    label_names: Mapping[int, str] = {1: "one"}

    def prepare(self, entry: Any) -> dict[str, Any]:
        return {"case": entry["case"], "image": torch.zeros(1, 2, 2, 2)}

    def infer(self, data: dict[str, Any], progress: Any) -> dict[str, Any]:
        if data["case"] == "second":
            raise KeyboardInterrupt
        return data


class Screen(io.StringIO):
    """A standard error that knows when a line was printed to it."""

    def __init__(self) -> None:
        super().__init__()
        self.printed = threading.Event()

    def write(self, text: str) -> int:
        length = super().write(text)
        if "\n" in text:
            self.printed.set()
        return length


def test_interrupt_waits_until_the_previous_case_is_written() -> None:
    screen, written = Screen(), []

    def finish(case: InputCase, data: Any) -> None:
        assert screen.printed.wait(30)
        written.append(case.name)

    cases = [InputCase(name, ()) for name in ("first", "second", "third")]
    work = [(case, PredictedCase(case=case.name, inputs=[case.name], output="")) for case in cases]
    predictor: Any = InterruptedPredictor()
    with redirect_stderr(screen), pytest.raises(KeyboardInterrupt):
        list(segment_cases(predictor, work, finish))
    assert screen.getvalue() == "hybridseg predict: stopping: waiting until the previous case is written\n"
    assert written == ["first"]
    assert [record.outcome for _, record in work] == ["written", "waiting", "waiting"]


def test_error_of_a_stage_names_all_channels_of_the_case() -> None:
    record = PredictedCase(case="one", inputs=["t1.nii", "t2.nii"], output="")
    with record.stage("network", debug=False):
        raise ValueError("logits: NaN: must be numbers")
    assert (record.outcome, record.error) == ("failed", "t1.nii, t2.nii: logits: NaN: must be numbers")
    assert record.seconds.keys() == {"network"}
