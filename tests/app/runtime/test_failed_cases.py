"""One failed case is one line; the other cases continue."""

from __future__ import annotations

import pytest

from hybridseg.app.runtime.failed_cases import CaseFailures, catch_failure


def test_other_cases_continue(capsys: pytest.CaptureFixture[str]) -> None:
    failures, finished = CaseFailures("evaluate"), []
    for case in ("a", "b", "c"):
        with failures.catch(case):
            if case == "b":
                raise ValueError("labels/b.nii.gz: 3 voxels are NaN")
            finished.append(case)
    failures.add("d", "d: no prediction")
    assert finished == ["a", "c"]
    assert failures.failures == [("b", "labels/b.nii.gz: 3 voxels are NaN"), ("d", "d: no prediction")]
    assert failures.messages == ["labels/b.nii.gz: 3 voxels are NaN", "d: no prediction"]
    assert len(failures) == 2
    shown = "hybridseg evaluate: labels/b.nii.gz: 3 voxels are NaN\nhybridseg evaluate: d: no prediction\n"
    assert capsys.readouterr().err == shown


def test_message_always_names_the_case() -> None:
    messages: list[str] = []
    with catch_failure("scan.nii", messages.append):
        raise MemoryError
    assert messages == ["scan.nii: MemoryError"]


@pytest.mark.parametrize("debug", [False, True])
def test_debug_prints_the_traceback(debug: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with catch_failure("scan.nii", str, debug=debug):
        raise ValueError("bad")
    assert capsys.readouterr().err.startswith("Traceback") == debug


def test_interrupt_is_not_a_failed_case() -> None:
    failures = CaseFailures("report")
    with pytest.raises(KeyboardInterrupt), failures.catch("a"):
        raise KeyboardInterrupt
    assert not failures
