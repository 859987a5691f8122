"""SUV of enhanced PET: what is read of the functional groups of each frame.

The frames of an enhanced PET (DICOM PS3.3, C.8.22) have their units by code, a dose in MBq, and are corrected to
DecayCorrectionDateTime or not at all. Frames converted from classic slices have the attributes of these.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import isclose, log2
from typing import TYPE_CHECKING

from hybridseg.transforms.errors import VolumeError

from .multi_frame import EACH, SHARED, text_at
from .pet_classic import ACTIVITY, LOWEST_DOSE, SUV_UNITS, PetHeader, mean_decay_time, parse_time
from .slices import Slice

if TYPE_CHECKING:
    from pydicom import Dataset

ENHANCED_TAGS = ("DecayCorrected", "DecayCorrectionDateTime", "AttenuationCorrected", SHARED, EACH)
"""What is read of the header of an enhanced PET, beside what classic slices have too."""
CONVERTED = ("UnassignedSharedConvertedAttributesSequence", "UnassignedPerFrameConvertedAttributesSequence")

UNITS_BY_CODE = {"g/ml{SUVbw}": SUV_UNITS, "{SUVbw}g/ml": SUV_UNITS, "Bq/ml": ACTIVITY}
"""Units of real-world values in UCUM (PS3.16, CID 84 and 85), those preferred first."""


class PetFrame:
    """What is read of a frame of a multi-frame PET.

    Args:
        part: the slice.
        dataset: elements of its file.
    """

    def __init__(self, part: Slice, dataset: Dataset) -> None:
        self.path, self.name, self.dataset = part.path, f"frame {part.frame}", dataset
        own, shared = (dataset.get(name) or [] for name in (EACH, SHARED))
        self.groups: list[Dataset] = [own[(part.frame or 1) - 1], *shared]
        self.header = PetHeader(self.path, dataset)

    def text(self, *keys: str) -> str:
        """Return an attribute of the functional groups of the frame, or of those shared, as text; "" without it."""
        return next(filter(None, (text_at(group, keys) for group in self.groups)), "")

    def number(self, *keys: str, default: float) -> float:
        """Return a number of the functional groups.

        Raises:
            VolumeError: it is not a number.
        """
        text = self.text(*keys)
        try:
            return float(text) if text else default
        except ValueError as error:
            raise VolumeError(self.path, f"{self.name}: {keys[-1]} {text!r}", "must be a number") from error

    def as_classic(self) -> Dataset:
        """Return the attributes of the classic slice that the frame was converted from."""
        from pydicom import Dataset

        classic = Dataset()
        classic.Units = self.text("PixelValueTransformationSequence", "RescaleType")
        acquired = self.text("FrameContentSequence", "FrameAcquisitionDateTime").split("+")[0].split("-")[0]
        classic.AcquisitionDate, classic.AcquisitionTime = acquired[:8], acquired[8:]
        duration = self.number("FrameContentSequence", "FrameAcquisitionDuration", default=0.0)
        classic.ActualFrameDuration = round(duration)
        classic.update(self.dataset)
        for group in reversed(self.groups):
            for name in CONVERTED:
                for item in group.get(name) or ():
                    classic.update(item)
        return classic

    def scale(self) -> float:
        """Return what the rescaled voxels are multiplied by.

        Raises:
            VolumeError: the header lacks what SUV needs, or its units are others.
        """
        units, to_units = self.units()
        if units == SUV_UNITS:
            return to_units
        header = self.header
        if header.text("AttenuationCorrected") == "NO":
            raise VolumeError(self.path, "a PET with AttenuationCorrected NO", "must be corrected for attenuation")
        if (count := len(self.dataset.get("RadiopharmaceuticalInformationSequence") or ())) > 1:
            raise VolumeError(self.path, f"a PET with {count} radiopharmaceuticals", "SUV needs a single one")
        weight, dose = header.number("PatientWeight", "kg"), header.number("RadionuclideTotalDose", "MBq")
        megabecquerels = dose < LOWEST_DOSE  # nobody is given so many of these, but some programs write Bq
        return (
            to_units * 1000 * weight / (dose * (1e6 if megabecquerels else 1) * header.remaining(self.corrected_to()))
        )

    def units(self) -> tuple[str, float]:
        """Return the units of the frame, `SUV_UNITS` or `ACTIVITY`, and the factor from rescaled voxels to them.

        Raises:
            VolumeError: they are others, or differ from rescaled voxels by more than a factor.
        """
        rescaling = "PixelValueTransformationSequence"
        if (kind := self.text(rescaling, "RescaleType")) in (SUV_UNITS, ACTIVITY):
            return kind, 1.0
        mappings = [item for group in self.groups for item in group.get("RealWorldValueMappingSequence") or ()]
        by_code = {text_at(item, ("MeasurementUnitsCodeSequence", "CodeValue")): item for item in reversed(mappings)}
        code = next((code for code in UNITS_BY_CODE if code in by_code), None)
        if code is None:
            found = ", ".join(filter(None, (kind, *by_code))) or "unknown units"
            rule = f"must be in SUV or Bq/ml, by RescaleType {SUV_UNITS} or {ACTIVITY} or by a real-world value mapping"
            raise VolumeError(self.path, f"{self.name}: an enhanced PET in {found}", rule)
        slope, intercept = (
            self.number(rescaling, name, default=default)
            for name, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
        )
        real_slope, real_intercept = (
            float(by_code[code].get(name) or default)
            for name, default in (("RealWorldValueSlope", 0.0), ("RealWorldValueIntercept", 0.0))
        )
        if not slope or not real_slope or not isclose(real_intercept, real_slope / slope * intercept, abs_tol=1e-6):
            found = f"{self.name}: real-world values of slope {real_slope:g} and intercept {real_intercept:g}"
            raise VolumeError(self.path, found, "must be a multiple of the rescaled values")
        return UNITS_BY_CODE[code], real_slope / slope

    def corrected_to(self) -> datetime:
        """Return the time which the voxels are decay-corrected to; that of the frame if they are not corrected.

        Raises:
            VolumeError: it is missing.
        """
        header = self.header
        corrected = header.text("DecayCorrected")
        if corrected not in ("YES", "NO"):
            raise VolumeError(self.path, f"a PET with DecayCorrected {corrected!r}", "must be YES or NO")
        if corrected == "NO":
            return self.acquired()
        if (moment := parse_time(header.text("DecayCorrectionDateTime"))) is not None:
            return moment
        factor = self.number("PETFrameCorrectionFactorsSequence", "DecayFactor", default=0.0)
        if factor <= 0:
            rule = "SUV needs it, or DecayFactor of each frame"
            raise VolumeError(self.path, "a PET without DecayCorrectionDateTime", rule)
        return self.acquired() - timedelta(seconds=header.number("RadionuclideHalfLife", "s") * log2(factor))

    def acquired(self) -> datetime:
        """Return when the activity of the frame was its mean.

        Raises:
            VolumeError: that is missing.
        """
        content = "FrameContentSequence"
        if (moment := parse_time(self.text(content, "FrameReferenceDateTime"))) is not None:
            return moment
        began = parse_time(self.text(content, "FrameAcquisitionDateTime"))
        if began is None:
            rule = "SUV needs it, or FrameAcquisitionDateTime"
            raise VolumeError(self.path, f"{self.name}: a PET without FrameReferenceDateTime", rule)
        duration = self.number(content, "FrameAcquisitionDuration", default=0.0) / 1000  # stored in ms
        return began + timedelta(seconds=mean_decay_time(duration, self.header.number("RadionuclideHalfLife", "s")))
