"""Slices of enhanced multi-frame files: the place of each frame, and the volumes that the frames form.

A file has the attributes of its frames in functional groups, shared or per frame (DICOM PS3.3, C.7.6.16).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.header import unreadable_is_volume_error

from .elements import quiet_pydicom, select_elements
from .file_header import frame_count
from .slices import Instance, Slice, check_voxels, place_slice
from .volumes import SAME_PLACE_DIGITS, STACK, split_volumes

SHARED, EACH = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"

PLACE = (
    ("PlanePositionSequence", "ImagePositionPatient"),
    ("PlaneOrientationSequence", "ImageOrientationPatient"),
    ("PixelMeasuresSequence", "PixelSpacing"),
)

ATTRIBUTES = (
    (STACK, ("FrameContentSequence", "StackID")),
    ("time", ("FrameContentSequence", "TemporalPositionIndex")),
    ("b", ("MRDiffusionSequence", "DiffusionBValue")),
    ("direction", ("MRDiffusionSequence", "DiffusionGradientDirectionSequence", "DiffusionGradientOrientation")),
    ("echo", ("MREchoSequence", "EffectiveEchoTime")),
    ("trigger", ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime")),
    ("part", ("MRImageFrameTypeSequence", "ComplexImageComponent")),
    ("type", ("MRImageFrameTypeSequence", "FrameType")),
    ("type", ("CTImageFrameTypeSequence", "FrameType")),
    ("type", ("PETFrameTypeSequence", "FrameType")),
)
"""What may tell volumes apart, in the order tried: name in messages, and where it is in the functional groups."""

Frame = tuple[Slice, Any, Any]
"""A slice, and its functional groups: its own, and those shared."""


def split_frames(instances: Sequence[Instance]) -> list[tuple[str, list[Slice]]]:
    """Sort the frames of a series into volumes; see `split_volumes`.

    Raises:
        VolumeError: a file is not whole, or a frame has no place.
    """

    def value(keys: Sequence[str]) -> Callable[[Frame], str]:
        return lambda frame: text_at(frame[1], keys) or text_at(frame[2], keys)

    frames = [frame for instance in instances for frame in list_frames(instance)]
    with unreadable_is_volume_error(instances[0].path), quiet_pydicom():
        volumes = split_volumes(
            frames,
            lambda frame: tuple(frame[0].position.round(SAME_PLACE_DIGITS).tolist()),
            [(name, value(keys)) for name, keys in ATTRIBUTES],
        )
    return [(about, [part for part, _, _ in members]) for about, members in volumes]


def list_frames(instance: Instance) -> list[Frame]:
    """Return the frames of a file.

    Raises:
        VolumeError: the file is not whole, or a frame has no place.
    """
    path = instance.path
    check_voxels(instance)
    count = frame_count(path, instance.header)
    dataset = select_elements(instance.stored, (SHARED, EACH))
    with unreadable_is_volume_error(path), quiet_pydicom():
        shared, own = (list(dataset.get(name) or []) for name in (SHARED, EACH))
        if len(own) != count or len(shared) > 1:
            raise VolumeError(path, f"{len(own)} functional groups for {count} frames", "every frame must have one")
        common = shared[0] if shared else None
        frames = []
        for number, group in enumerate(own, start=1):
            place = {keys[-1]: text_at(group, keys) or text_at(common, keys) for keys in PLACE}
            frames.append((place_slice(instance, place, number), group, common))
    return frames


def text_at(group: Any, keys: Sequence[str]) -> str:
    """Return an attribute within nested sequences, of their first items, as text; "" if it is not there."""
    *sequences, name = keys
    for sequence in sequences:
        items = None if group is None else group.get(sequence)
        group = items[0] if items else None
    value = None if group is None else group.get(name)
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
