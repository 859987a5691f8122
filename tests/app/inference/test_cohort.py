"""Segmenting one case after another, and being interrupted."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

from hybridseg.app.inference import cohort as segmenting
from hybridseg.app.inference.cohort import PredictedCase, segment_cases
from hybridseg.transforms.datasets.inputs import InputCase


class InterruptedPredictor:
    """Segments the first case; during the second somebody presses Ctrl-C."""

    device = torch.device("cpu")

    def prepare(self, entry: Any) -> dict[str, Any]:
        return {"case": entry["case"]}

    def infer(self, data: dict[str, Any], progress: Any) -> dict[str, Any]:
        if data["case"] == "second":
            raise KeyboardInterrupt
        return data


def test_an_interrupt_says_what_it_waits_for_and_lets_it_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    told, lines, written = threading.Event(), [], []

    def tell(command: str, message: str) -> None:
        lines.append(f"{command}: {message}")
        told.set()

    def finish(case: InputCase, data: Any) -> None:
        assert told.wait(30)
        written.append(case.name)

    monkeypatch.setattr(segmenting, "say", tell)

    cases = [InputCase(name, ()) for name in ("first", "second", "third")]
    work = [(case, PredictedCase(case=case.name, input=case.name, output="")) for case in cases]
    predictor: Any = InterruptedPredictor()
    with pytest.raises(KeyboardInterrupt):
        list(segment_cases(predictor, work, finish))
    assert lines == ["predict: stopping: the case before is still being written"]
    assert written == ["first"]
    assert [record.outcome for _, record in work] == ["written", "waiting", "waiting"]
