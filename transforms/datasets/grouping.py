"""Which cases belong together: those of a patient, by their names or DICOM headers, and those with the same image.

No fold may train on a patient that it validates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from hybridseg.transforms.io.dicom.patient import read_patient_id
from hybridseg.transforms.io.dicom.series import is_series
from hybridseg.transforms.io.load import LoadVolumed, read_header
from hybridseg.transforms.io.names import volume_extension

from .dataset import LabelledCase, image_files
from .patients import parse_patient, recognise_patients


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


def find_patients(
    cases: Sequence[LabelledCase], pattern: str | None = None, *, compare_images: bool = True
) -> Patients:
    """Find the patient of each case by its name, and join patients with the same PatientID or the same image.

    Args:
        cases: the cases.
        pattern: regular expression that finds the patient in a name; None uses PatientID of DICOM, and a common pattern
            of the names, if there is one.
        compare_images: look for the same image under two names, which reads those of equal size.

    Raises:
        ValueError: the pattern is no regular expression, or finds nothing in a name.
        VolumeError: an image cannot be read.
    """
    names = [case["case"] for case in cases]
    recognised = recognise_patients(names) if pattern is None else None
    patient_of = parse_patient(pattern or recognised)
    patients = {name: patient_of(name) for name in names}
    assumptions = []
    if recognised is not None:
        count = f"{len(names)} cases of {len(set(patients.values()))} patients"
        assumptions.append(f"{count}, by their names: {names[0]} is of {patients[names[0]]}")
    groups = {
        "PatientID": same_ids(cases) if pattern is None else [],
        "image": same_images(cases) if compare_images else [],
    }
    for what, found in groups.items():
        for same in found:
            kept, joined = patients[same[0]], {patients[name] for name in same}
            patients = {name: kept if patient in joined else patient for name, patient in patients.items()}
            assumptions.append(f"{' and '.join(same)} have the same {what} and count as one patient")
    return Patients(patients, assumptions)


def same_ids(cases: Sequence[LabelledCase]) -> list[list[str]]:
    """List the names of DICOM cases with the same PatientID; none if it is the only one, as anonymisation leaves it.

    Raises:
        VolumeError: a file cannot be read.
    """
    by_id: dict[str, list[str]] = {}
    for case in cases:
        first = image_files(case)[0]
        if is_series(first):
            by_id.setdefault(read_patient_id(first), []).append(case["case"])
    known = [names for patient, names in by_id.items() if patient]
    return [names for names in known if len(names) > 1] if len(known) > 1 else []


def same_images(cases: Iterable[LabelledCase]) -> list[list[str]]:
    """List the names of cases whose images have the same voxels.

    Only images of the same size are read. Images that are not single files, such as DICOM, are not compared.

    Raises:
        VolumeError: an image cannot be read.
    """
    by_shape: dict[tuple[int, ...], list[LabelledCase]] = {}
    for case in cases:
        first = image_files(case)[0]
        if isinstance(first, str) and volume_extension(first):
            by_shape.setdefault(tuple(read_header(first).shape), []).append(case)
    by_voxels: dict[tuple[tuple[int, ...], str], list[str]] = {}
    for shape, alike in by_shape.items():
        for case in alike if len(alike) > 1 else ():
            by_voxels.setdefault((shape, hash_voxels(str(image_files(case)[0]), shape)), []).append(case["case"])
    return [names for names in by_voxels.values() if len(names) > 1]


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
