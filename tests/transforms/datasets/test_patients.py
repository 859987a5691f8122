"""The patients of cases are found by their names."""

from __future__ import annotations

import pytest

from hybridseg.transforms.datasets.patients import parse_patient, recognise_patients


def test_patient_is_what_the_expression_finds() -> None:
    assert parse_patient("^[^_]+")("p1_early") == "p1"
    assert parse_patient(None)("p1_early") == "p1_early"


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["patient001_frame01", "patient001_frame12", "patient002_frame01"], ["patient001", "patient002"]),
        (["sub-01_ses-1_T1w", "sub-01_ses-2_T1w", "sub-AB_T1w"], ["sub-01", "sub-AB"]),
        (["BraTS-GLI-00005-000", "BraTS-GLI-00005-001", "BraTS-GLI-00006-000"], ["BraTS-GLI-00005", "BraTS-GLI-00006"]),
        (["P-1_ED", "P-1_ES", "P-2_ED"], ["P-1", "P-2"]),
        (["07_baseline", "07_followup2", "8_baseline"], ["07", "8"]),
    ],
)
def test_patients_are_recognised_by_names(names: list[str], patients: list[str]) -> None:
    patient_of = parse_patient(recognise_patients(names))
    assert sorted({patient_of(name) for name in names}) == sorted(patients)


@pytest.mark.parametrize(
    "names",
    [
        ["hippocampus_001", "hippocampus_003", "hippocampus_004"],  # a patient each
        ["patient001_frame01", "patient002_frame01"],
        ["patient001_frame01", "patient001_frame02", "other"],  # no common pattern
        ["site001_001", "site001_002", "site001_003"],  # one patient, or a site
        [f"site00{site}_{case:03}" for site in (1, 2) for case in range(20)],  # too many cases each
    ],
)
def test_other_names_are_patients_themselves(names: list[str]) -> None:
    assert recognise_patients(names) is None
