"""Paired tests over patients: whether one way of segmenting is better than another on the same cases.

Differences are averaged per patient first, since the cases of a patient are not independent. The test flips the signs
of the differences at random (Fisher's randomisation test): it assumes no distribution, and patients without a
difference count for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

import numpy as np
from scipy.stats import permutation_test

RESAMPLES = 9999
SEED = 0
SIGNIFICANT = 0.05


def patient_means(values: Mapping[str, float], patients: Mapping[str, str]) -> dict[str, float]:
    """Return the mean value of each patient.

    Args:
        values: value of each case.
        patients: patient of each case.
    """
    by_patient: dict[str, list[float]] = {}
    for case, value in values.items():
        by_patient.setdefault(patients[case], []).append(value)
    return {patient: fmean(found) for patient, found in by_patient.items()}


def paired_p(differences: Sequence[float], alternative: Literal["greater", "two-sided"] = "two-sided") -> float:
    """Return the p value of the mean of paired differences, by a sign-flip test: exact for up to 13 patients.

    Args:
        differences: of each patient.
        alternative: `greater` tests for a mean above 0.

    Examples:
        >>> paired_p([0.02, 0.01, 0.03, 0.01, 0.02], "greater")
        0.03125
        >>> paired_p([0.0, 0.0])
        1.0
    """
    changed = [difference for difference in differences if difference]
    if not changed:
        return 1.0
    test = permutation_test(
        ([*changed, 0.0] if len(changed) == 1 else changed,),  # scipy takes no single difference
        np.mean,
        permutation_type="samples",
        alternative=alternative,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(SEED),
    )
    return float(test.pvalue)
