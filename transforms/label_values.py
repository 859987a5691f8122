"""Values of labels, such as 0, 500, 600 and 820, and the numbers 0, 1, 2 and 3 that a network has for them.

Users see the values of their own label maps everywhere. Only inside a training are labels numbered, in the order of
their values: label maps are numbered when they are loaded, and what the network predicts gets the values again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import PathLike, VolumeError
from .grid import GREATEST_LABEL, label_dtype


def label_values(labels: Iterable[int | str]) -> tuple[int, ...]:
    """Return the values of labels in order, without the background.

    Args:
        labels: values in any order; the keys of a bundle's `label_names`, which JSON has as text, are too.

    Raises:
        ValueError: there is none, two are the same, or one is not an integer from 1 to 65535.

    Examples:
        >>> label_values({"500": "liver", "20": "spleen"})
        (20, 500)
    """
    given = list(labels)
    try:
        values = sorted(int(label) for label in given)
    except ValueError as error:
        raise ValueError(f"labels: {given}: must be integers") from error
    if not values or values[0] < 1 or values[-1] > GREATEST_LABEL or len(set(values)) < len(values):
        raise ValueError(f"labels: {given}: must be different integers from 1 to {GREATEST_LABEL}")
    return tuple(values)


def class_names(label_names: Mapping[str, str]) -> list[str]:
    """Return the names of labels in the order of their values, which is that of a network's classes.

    Args:
        label_names: name of each label by its value.

    Examples:
        >>> class_names({"500": "liver", "20": "spleen"})
        ['spleen', 'liver']
    """
    return [label_names[label] for label in sorted(label_names, key=int)]


def number_labels(path: PathLike, labels: NDArray[np.floating], values: Sequence[int]) -> None:
    """Replace the values of a label map by their numbers, in place.

    Args:
        path: its file, for the error.
        labels: (D, H, W), integers from 0 to 65535 of a floating type.
        values: the values that may occur besides 0, in order; the first becomes 1.

    Raises:
        VolumeError: another value occurs.
    """
    numbers = np.full(GREATEST_LABEL + 1, np.nan, labels.dtype)
    numbers[[0, *values]] = np.arange(len(values) + 1)
    given = labels.astype(np.uint16)
    labels[...] = numbers[given]
    unknown = np.isnan(labels)
    if unknown.any():
        found = ", ".join(map(str, np.unique(given[unknown])))
        raise VolumeError(path, f"labels {found}", f"must be among {', '.join(map(str, [0, *values]))}")


def values_by_number(values: Sequence[int]) -> NDArray[np.uint8 | np.uint16]:
    """Return the value of each number, from the background 0 on, in the smallest type of a label map."""
    table: NDArray[np.uint8 | np.uint16] = np.array([0, *values], label_dtype(max(values)))
    return table
