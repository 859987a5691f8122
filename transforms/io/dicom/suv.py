"""Standardised uptake values of PET by body weight: what the voxels of each slice are multiplied by.

SUV is the activity concentration (Bq/ml) times the body weight (g) through the injected dose (Bq), which has decayed to
the time that the concentration is corrected to (DICOM PS3.3, C.8.9.1).
"""

from __future__ import annotations

from collections.abc import Sequence

from hybridseg.transforms.io.header import unreadable_is_volume_error

from .elements import quiet_pydicom, select_elements
from .pet_classic import TAGS, PetHeader, scales_of
from .pet_enhanced import ENHANCED_TAGS, PetFrame
from .slices import Slice

PET = "PT"
LEGACY_CONVERTED = "1.2.840.10008.5.1.4.1.1.128.1"


def suv_scales(slices: Sequence[Slice]) -> list[float] | None:
    """Return what the rescaled voxels of each slice of a PET are multiplied by to become SUV.

    Args:
        slices: of one series.

    Returns:
        A factor for each slice; None for other modalities, and for a PET that is in SUV already.

    Raises:
        VolumeError: the header lacks what SUV needs, such as the dose or the weight, or its units are others.
    """
    if slices[0].header.text.get("Modality") != PET:
        return None
    if slices[0].frame is None:
        return scales_of([PetHeader(part.path, select_elements(part.stored, TAGS)) for part in slices])
    stored = dict.fromkeys(part.stored for part in slices)
    files = {instance: select_elements(instance, (*TAGS, *ENHANCED_TAGS)) for instance in stored}
    with unreadable_is_volume_error(slices[0].path), quiet_pydicom():
        frames = [PetFrame(part, files[part.stored]) for part in slices]
        if slices[0].header.text.get("SOPClassUID") == LEGACY_CONVERTED:
            return scales_of([PetHeader(frame.path, frame.as_classic()) for frame in frames])
        scales = [frame.scale() for frame in frames]
    return None if all(scale == 1 for scale in scales) else scales
