"""Which cases belong to one patient, by their names and images, so that no fold trains on a patient that it validates.

A name tells the patient where it ends in a plain pattern: `patient001_frame01`, `sub-01_ses-02`, `p7_baseline`,
`042_left`. Images that are the same under two names belong together too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from hybridseg.transforms.io.load import LoadVolumed, read_header
from hybridseg.transforms.io.names import volume_extension

from .dataset import LabelledCase

NUMBERED = "frame|phase|time|timepoint|tp|visit|session|ses|scan|exam|study|series|day|week|month|year|fu|followup|t"
"""Words before the number of a scan of a patient."""
UNNUMBERED = "baseline|followup|pre|post|before|after|ed|es|left|right|l|r|lh|rh"
"""Words for one of the scans, or one of the sides, of a patient."""
SCAN = re.compile(rf"[_.-](?:(?:{NUMBERED})[_-]?\d+|(?:{UNNUMBERED})\d*)$", re.IGNORECASE)


@dataclass(frozen=True)
class Patients:
    """The patient of each case, and how it was found.

    Args:
        by_case: patient of each case.
        assumptions: what was taken from names and images, in sentences for the user.
    """

    by_case: Mapping[str, str]
    assumptions: Sequence[str] = field(default_factory=tuple)

    def __call__(self, case: str) -> str:
        """Return the patient of a case."""
        return self.by_case[case]


def find_patients(cases: Sequence[LabelledCase], pattern: str | None = None) -> Patients:
    """Find the patient of each case by its name, and join patients with the same image.

    Args:
        cases: the cases.
        pattern: regular expression that finds the patient in a name; None uses endings such as `_frame01`.

    Raises:
        ValueError: the pattern is no regular expression, or finds nothing in a name.
        VolumeError: an image cannot be read.
    """
    names = [case["case"] for case in cases]
    patients = {name: match_patient(name, pattern) for name in names}
    assumptions = []
    if pattern is None and (scans := [name for name in names if patients[name] != name]):
        count = len({patients[name] for name in names})
        assumptions.append(f"{len(names)} cases of {count} patients by their names: {scans[0]} of {patients[scans[0]]}")
    for same in same_images(cases):
        kept = patients[same[0]]
        joined = {patients[name] for name in same}
        patients = {name: kept if patient in joined else patient for name, patient in patients.items()}
        assumptions.append(f"{' and '.join(same)} have the same image and count as one patient")
    return Patients(patients, assumptions)


def match_patient(name: str, pattern: str | None = None) -> str:
    """Return the patient of a case by its name; the whole name if it has no plain ending.

    Raises:
        ValueError: the pattern is no regular expression, or finds nothing in the name.

    Examples:
        >>> match_patient("patient001_frame01"), match_patient("hippocampus_003"), match_patient("7_left")
        ('patient001', 'hippocampus_003', '7')
    """
    if pattern is None:
        return SCAN.sub("", name) or name
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise ValueError(f"patient: {pattern!r}: must be a regular expression: {error}") from error
    if found is None:
        raise ValueError(f"patient: {pattern!r}: must be found in the name of every case: not in {name!r}")
    return found[0]


def same_images(cases: Iterable[LabelledCase]) -> list[list[str]]:
    """List the names of cases whose images have the same voxels.

    Only images of the same size are read. Images that are not single files, such as DICOM, are not compared.

    Raises:
        VolumeError: an image cannot be read.
    """
    by_shape: dict[tuple[int, ...], list[LabelledCase]] = {}
    for case in cases:
        first = first_image(case)
        if volume_extension(first):
            by_shape.setdefault(tuple(read_header(first).shape), []).append(case)
    by_voxels: dict[tuple[tuple[int, ...], str], list[str]] = {}
    for shape, alike in by_shape.items():
        for case in alike if len(alike) > 1 else ():
            by_voxels.setdefault((shape, hash_voxels(first_image(case), shape)), []).append(case["case"])
    return [names for names in by_voxels.values() if len(names) > 1]


def first_image(case: LabelledCase) -> str:
    """Return the file of a case's image, or of its first channel."""
    return case["image"] if isinstance(case["image"], str) else case["image"][0]


def hash_voxels(path: str, shape: Sequence[int]) -> str:
    """Return a hash of the voxels of an image of this shape, whatever the compression of its file."""
    channels = shape[3] if len(shape) > 3 else 1
    voxels = LoadVolumed("image", channels=channels)({"image": path})["image"].numpy()
    return sha256(voxels.tobytes()).hexdigest()


def split_patients(folds: Sequence[Sequence[str]], patients: Patients) -> list[str]:
    """List the patients with cases in several folds."""
    places: dict[str, set[int]] = {}
    for index, fold in enumerate(folds):
        for case in fold:
            places.setdefault(patients(case), set()).add(index)
    return sorted(patient for patient, found in places.items() if len(found) > 1)
