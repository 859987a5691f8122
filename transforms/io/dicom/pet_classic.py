"""What is read of PET headers to compute SUV: units, dose, weight, and the times of injection and scan.

Which time the voxels are decay-corrected to, and what vendors store instead, follows the pseudo-code of RSNA's
Quantitative Imaging Biomarkers Alliance (QIBA wiki, Standardized Uptake Value). Beyond it, a decay correction to the
injection (ADMIN) and none (NONE) are read.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.header import unreadable_is_volume_error

from .elements import quiet_pydicom

if TYPE_CHECKING:
    from pydicom import Dataset

SUV_UNITS, ACTIVITY, COUNTS = "GML", "BQML", "CNTS"
BODY_WEIGHT = ("", "BW")
"""Values of SUVType that mean SUV by body weight."""

GE_SCAN_TIME = 0x0009100D
"""When a GE scanner began to scan, also in a series that was processed later."""
PHILIPS_SUV, PHILIPS_ACTIVITY = 0x70531000, 0x70531009
"""From counts to SUV, and from counts to Bq/ml, by Philips."""

TAGS = (
    *("Units", "SUVType", "DecayCorrection", "CorrectedImage", "PatientWeight", "SeriesDate", "SeriesTime"),
    *("AcquisitionDate", "AcquisitionTime", "TimezoneOffsetFromUTC", "FrameReferenceTime", "ActualFrameDuration"),
    *("RadiopharmaceuticalInformationSequence", GE_SCAN_TIME, PHILIPS_SUV, PHILIPS_ACTIVITY),
)
"""What is read of the header of a slice."""

LOWEST_DOSE = 1e4
"""Bq; a lower dose is in MBq or mCi, against the standard."""
MOST_HALF_LIVES = 10
"""No tracer is scanned so many half-lives after its injection: the dates are wrong. A day is 13 of fluorine-18."""
EARLY = timedelta(minutes=10)
"""A dynamic scan may begin this long before the injection."""
DAY = timedelta(days=1)
DATE_AND_TIME = re.compile(r"(\d{8,14})(\.\d*)?(?:([+-][01]\d[0-5]\d)|[+-].*)?")
"""The date and time, a fraction of a second, and an offset from UTC, which is ignored if it is damaged."""

logger = logging.getLogger(__name__)


def scales_of(headers: Sequence[PetHeader]) -> list[float] | None:
    """Return the factor of each slice of a series; None if it is in SUV already.

    Raises:
        VolumeError: a header lacks what SUV needs, such as the dose or the weight, or its units are others.
    """
    first = headers[0]
    if first.text("Units") == SUV_UNITS:
        if (kind := first.text("SUVType")) not in BODY_WEIGHT:
            logger.warning("%s: SUV of type %s are used as if they were by body weight", first.path, kind)
        return None
    began = scan_time(headers) if first.text("DecayCorrection") == "START" else None
    return [header.scale(began) for header in headers]


class PetHeader:
    """What is read of the header of a PET slice, to compute SUV.

    Args:
        path: the file, for errors.
        dataset: its elements.
    """

    def __init__(self, path: Path, dataset: Dataset) -> None:
        from pydicom import Dataset

        self.path, self.dataset = path, dataset
        with unreadable_is_volume_error(path), quiet_pydicom():
            injected: Sequence[Dataset] = dataset.get("RadiopharmaceuticalInformationSequence") or ()
        self.injection = injected[0] if injected else Dataset()

    def scale(self, began: datetime | None) -> float:
        """Return the factor of this slice.

        Args:
            began: when the scan began, which the voxels are decay-corrected to; None if they are to another time.

        Raises:
            VolumeError: the header lacks what SUV needs, or its units are others.
        """
        units = self.text("Units")
        to_activity = 1.0
        if units == COUNTS:
            if factor := self.private_number(PHILIPS_SUV):
                return factor
            to_activity = self.private_number(PHILIPS_ACTIVITY)
        if units not in (ACTIVITY, COUNTS) or not to_activity:
            rule = f"must be {ACTIVITY}, {SUV_UNITS}, or {COUNTS} with the factors of Philips"
            raise VolumeError(self.path, f"a PET with Units {units!r}", rule)
        corrected = self.text("CorrectedImage")
        if corrected and "ATTN" not in corrected:
            raise VolumeError(self.path, f"a PET with CorrectedImage {corrected}", "must be corrected for attenuation")
        weight, dose = self.number("PatientWeight", "kg"), self.number("RadionuclideTotalDose", "Bq")
        if dose < LOWEST_DOSE:
            raise VolumeError(self.path, f"RadionuclideTotalDose {dose:g}", f"must be in Bq, at least {LOWEST_DOSE:g}")
        until = self.corrected_to(began)
        return to_activity * 1000 * weight / (dose * (1.0 if until is None else self.remaining(until)))

    def corrected_to(self, began: datetime | None) -> datetime | None:
        """Return the time which the voxels are decay-corrected to; None if that is the injection.

        Raises:
            VolumeError: a time is missing.
        """
        correction = self.text("DecayCorrection")
        if correction == "ADMIN":
            return None
        if correction == "NONE":
            duration, half_life = self.seconds("ActualFrameDuration"), self.number("RadionuclideHalfLife", "s")
            return self.acquired() + timedelta(seconds=mean_decay_time(duration, half_life))
        if began is None:
            found = f"a PET with DecayCorrection {correction!r}"
            raise VolumeError(self.path, found, "must be START, ADMIN or NONE")
        return began

    def remaining(self, until: datetime) -> float:
        """Return the share of the injected dose that is left at a time; above 1 before the injection.

        Raises:
            VolumeError: the time of the injection is missing, or the dates are wrong.
        """
        half_life = self.number("RadionuclideHalfLife", "s")
        passed = elapsed(self.injected(until), until).total_seconds()
        if passed > MOST_HALF_LIVES * half_life:
            found = f"injected {passed:.0f} s before the scan, at a half-life of {half_life:g} s"
            raise VolumeError(self.path, found, f"must be at most {MOST_HALF_LIVES} half-lives")
        return float(2 ** (-passed / half_life))

    def injected(self, until: datetime) -> datetime:
        """Return when the tracer was injected; where only the time of day is known, within a day before the scan.

        Dates may have been shifted by an anonymisation, so one after the scan does not count. Dynamic scans begin
        shortly before the injection.

        Raises:
            VolumeError: the time is missing.
        """
        whole = self.text("RadiopharmaceuticalStartDateTime", self.injection)
        moment = parse_time(whole)
        if moment is not None and elapsed(until, moment) <= EARLY:
            return moment
        clock = self.text("RadiopharmaceuticalStartTime", self.injection) or whole[8:]
        same_day = parse_time(f"{until:%Y%m%d}{clock}") if clock else None
        if same_day is None:
            rule = "SUV needs RadiopharmaceuticalStartDateTime or RadiopharmaceuticalStartTime"
            raise VolumeError(self.path, f"a PET injected at {clock!r}", rule)
        return same_day if elapsed(until, same_day) <= EARLY else same_day - DAY  # the scan was after midnight

    def acquired(self) -> datetime:
        """Return when the acquisition of the slice began.

        Raises:
            VolumeError: that is missing.
        """
        return self.moment("Acquisition")

    def moment(self, event: str) -> datetime:
        """Return the date and time of an event, such as `Series`.

        Raises:
            VolumeError: one is missing.
        """
        date, clock, offset = (self.text(name) for name in (f"{event}Date", f"{event}Time", "TimezoneOffsetFromUTC"))
        local = offset if offset.startswith(("+", "-")) else ""
        found = parse_time(date + clock + local) if len(date) == 8 and clock else None
        if found is None:
            raise VolumeError(
                self.path, f"a PET with {event}Date {date!r} and {event}Time {clock!r}", "both are needed"
            )
        return found

    def text(self, name: str, dataset: Dataset | None = None) -> str:
        """Return an element as text; of several values as DICOM stores them."""
        value = (self.dataset if dataset is None else dataset).get(name)
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        return "\\".join("" if part is None else str(part) for part in values).strip()

    def number(self, name: str, unit: str) -> float:
        """Return a number above 0, of the slice or of the injection.

        Raises:
            VolumeError: it is missing.
        """
        text = self.text(name, self.dataset if name in self.dataset else self.injection)
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < math.inf:
            raise VolumeError(self.path, f"a PET with {name} {text!r}", f"SUV needs it, in {unit}, above 0")
        return value

    def seconds(self, name: str) -> float:
        """Return a duration that is stored in ms; 0 if it is missing."""
        try:
            return max(0.0, float(self.text(name) or 0) / 1000)
        except ValueError:
            return 0.0

    def private_number(self, tag: int) -> float:
        """Return a number that a vendor stores; 0 if it is missing."""
        element: Any = self.dataset.get(tag)
        value = getattr(element, "value", None)
        try:
            return float(value.decode("ascii").strip(" \0") if isinstance(value, bytes) else value or 0)
        except (TypeError, ValueError):
            return 0.0

    def private_time(self, tag: int) -> datetime | None:
        """Return a date and time that a vendor stores; None if it is missing."""
        element: Any = self.dataset.get(tag)
        value = getattr(element, "value", None)
        return parse_time(value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or ""))


def scan_time(headers: Sequence[PetHeader]) -> datetime:
    """Return when the scan began, which the voxels are decay-corrected to.

    It is the time of the series, unless that is after an acquisition, as in a series that was reconstructed later. Then
    GE stores it. Otherwise it follows from the acquisition of a bed position: FrameReferenceTime is the time from the
    start of the scan to the moment of the mean count rate of the frame.

    Raises:
        VolumeError: a time is missing.
    """
    earliest = min(headers, key=lambda header: header.acquired().replace(tzinfo=None))
    series = headers[0].moment("Series")
    if elapsed(series, earliest.acquired()) >= timedelta(0):
        return series
    if (stored := headers[0].private_time(GE_SCAN_TIME)) is not None:
        return stored
    reference, duration = earliest.seconds("FrameReferenceTime"), earliest.seconds("ActualFrameDuration")
    if not (reference and duration):
        return earliest.acquired()
    half_life = earliest.number("RadionuclideHalfLife", "s")
    return earliest.acquired() + timedelta(seconds=mean_decay_time(duration, half_life) - reference)


def mean_decay_time(duration: float, half_life: float) -> float:
    """Return when, in a frame of some seconds, the activity is the frame's mean; it is shortly before the middle."""
    decayed = math.log(2) * duration / half_life
    return duration * math.log(decayed / -math.expm1(-decayed)) / decayed if decayed else 0.0


def elapsed(first: datetime, second: datetime) -> timedelta:
    """Return the time between two moments; if one has no offset from UTC, both are local times."""
    if first.tzinfo is None or second.tzinfo is None:
        first, second = first.replace(tzinfo=None), second.replace(tzinfo=None)
    return second - first


def parse_time(text: str) -> datetime | None:
    """Parse a date and time of DICOM, such as 20201217084500.00 or 20201217084500+0100; None if it is none."""
    match = DATE_AND_TIME.fullmatch(text.strip(" \0"))
    if match is None:
        return None
    whole, fraction, offset = (part or "" for part in match.groups())
    try:
        moment = datetime.strptime(whole.ljust(14, "0") + offset, f"%Y%m%d%H%M%S{'%z' if offset else ''}")
    except ValueError:
        return None
    return moment + timedelta(seconds=float(f"0{fraction}"))
