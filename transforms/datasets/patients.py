"""Find the patient of each case by its name, so that no patient is in two folds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

PatientOf = Callable[[str], str]
"""Maps the name of a case to its patient; raises a ValueError for a name without one."""

FEWEST = 2
"""Patients that a common pattern of names must tell apart."""
MOST_CASES = 10
"""Cases per patient on average, above which a common beginning is a site or a scanner, not a patient."""

VISIT = (
    r"(?:frame|phase|time|timepoint|tp?|ses|session|visit|v|scan|year|y|month|m|week|w|day|d|baseline|bl|follow-?up|fu"
    r"|pre|post|ed|es|early|late|left|right|l|r)[-_]?\d*"
)

PATTERNS = {
    "BIDS": r"^sub-[a-z0-9]+(?=[_-]|$)",
    "a number and a visit": rf"^[a-z]*[-_]?\d+(?=[-_]{VISIT}$)",
    "two numbers": r"^.*\d{3,}(?=[-_]\d{1,3}$)",
}
"""Regular expressions that find the patient in names such as `sub-01_ses-02`, `patient001_frame01`, `GLI-00005-001`."""


def parse_patient(text: str | None) -> PatientOf:
    """Return a function from the name of a case to its patient: what a regular expression finds in it, or all of it.

    Raises:
        ValueError: the text is not a regular expression.
    """
    if text is None:
        return str
    try:
        pattern = re.compile(text, re.IGNORECASE if text in PATTERNS.values() else 0)
    except re.error as error:
        raise ValueError(f"patient: {text!r}: must be a regular expression: {error}") from error

    def patient_of(case: str) -> str:
        found = pattern.search(case)
        if found is None:
            raise ValueError(f"patient: {text!r}: must be found in the name of every case: not in {case!r}")
        return found[0]

    return patient_of


def recognise_patients(cases: Sequence[str]) -> str | None:
    """Return the regular expression that finds the patients in the names of cases, if the names have a common pattern.

    Args:
        cases: names of all cases.

    Returns:
        One of `PATTERNS`, or None if no pattern fits every name, or fits but every case is a patient of its own.

    Examples:
        >>> pattern = recognise_patients(["p1_early", "p1_late", "p2_early"])
        >>> parse_patient(pattern)("p1_late")
        'p1'
    """
    for text in PATTERNS.values():
        pattern = re.compile(text, re.IGNORECASE)
        found = [pattern.search(case) for case in cases]
        patients = {match[0] for match in found if match is not None}
        if None not in found and max(FEWEST, len(cases) / MOST_CASES) <= len(patients) < len(cases):
            return text
    return None
