"""Slices of enhanced multi-frame files: the place of each frame, and the volumes that the frames form.

A file has the attributes of its frames in functional groups, shared or per frame (DICOM PS3.3, C.7.6.16). Frames of one
place that differ in time, echo or diffusion belong to different volumes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.header import unreadable_is_volume_error

from .pixel_data import frame_count, inflated, quiet_pydicom
from .slices import Instance, Slice, check_voxels, place_slice

PLACE = (
    ("PlanePositionSequence", "ImagePositionPatient"),
    ("PlaneOrientationSequence", "ImageOrientationPatient"),
    ("PixelMeasuresSequence", "PixelSpacing"),
)

DIMENSIONS = (
    ("stack", ("FrameContentSequence", "StackID")),
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
"""What tells volumes apart, in the order tried: name, and where it is in the functional groups."""

SAME_PLACE_DIGITS = 3

Frame = tuple[Slice, Any, Any]
"""A slice, and its functional groups: its own, and those shared."""


def split_volumes(instances: Sequence[Instance]) -> list[tuple[str, list[Slice]]]:
    """Sort the frames of a series into volumes.

    Returns:
        What tells each volume from the others, such as `b 1000`, and its slices in the order stored.

    Raises:
        VolumeError: a file is not whole, or a frame has no place.
    """
    frames = [frame for instance in instances for frame in list_frames(instance)]
    stacks: dict[tuple[str, ...], list[Frame]] = {(): frames}
    for name, keys in DIMENSIONS:
        needed = name == "stack" or any(map(has_repeats, stacks.values()))
        values = {value_of(frame, keys) for frame in frames} if needed else set()
        if len(values) < 2:
            continue
        split: dict[tuple[str, ...], list[Frame]] = {}
        for known, members in stacks.items():
            for frame in members:
                value = value_of(frame, keys).replace("\\", "/").removesuffix(".0")
                split.setdefault((*known, f"{name} {value}" if value else ""), []).append(frame)
        stacks = split
    return [(", ".join(filter(None, known)), [part for part, _, _ in members]) for known, members in stacks.items()]


def has_repeats(frames: Sequence[Frame]) -> bool:
    """Return whether two frames have the same place."""
    places = {tuple(part.position.round(SAME_PLACE_DIGITS).tolist()) for part, _, _ in frames}
    return len(places) < len(frames)


def value_of(frame: Frame, keys: Sequence[str]) -> str:
    """Return an attribute of a frame as text; "" if it has none."""
    _, own, shared = frame
    return text_at(own, keys) or text_at(shared, keys)


def list_frames(instance: Instance) -> Iterator[Frame]:
    """Yield the frames of a file.

    Raises:
        VolumeError: the file is not whole, or a frame has no place.
    """
    path = instance.path
    check_voxels(instance)
    count = frame_count(path, instance.header)
    groups = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    with unreadable_is_volume_error(path), instance.stored.open() as file, quiet_pydicom():
        from pydicom import dcmread

        stream, _ = inflated(path, file, instance.stored.size)
        dataset = dcmread(stream, stop_before_pixels=True, force=True, specific_tags=[*groups])
        shared, own = (list(dataset.get(name) or []) for name in groups)
    if len(own) != count or len(shared) > 1:
        raise VolumeError(path, f"{len(own)} functional groups for {count} frames", "every frame must have one")
    for number, group in enumerate(own, start=1):
        place = {keys[-1]: text_at(group, keys) or text_at(shared[0] if shared else None, keys) for keys in PLACE}
        yield place_slice(instance, place, number), group, shared[0] if shared else None


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
