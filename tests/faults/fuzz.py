"""Read files with random damage for some minutes, and count what happens: `python -m tests.faults.fuzz --minutes 10`.

Each input is a small volume in one of the formats, a file of named masks, or a prepared case of a store, with some
bytes changed, cut, repeated or inserted. It must be read, or fail with a one-line `VolumeError`; a prepared case that
counts as ready must be as it was. Any other exception is a traceback, and what takes longer than `SECONDS` a hang. The
first inputs of both kinds are kept, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import gzip
import random
import shutil
import signal
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Hashable
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import numpy as np
from hypothesis import strategies as st

from hybridseg.transforms import LoadVolumed, VolumeError
from hybridseg.transforms.io.dicom import open_series, write_segmentation
from hybridseg.transforms.io.masks import MaskFile
from hybridseg.transforms.store import Store, is_ready, open_case
from hybridseg.transforms.structures import describe_structures

from ..transforms.io.dicom.dicom_files import SHAPE, write_series
from ..transforms.io.dicom.pydicom_files import write_enhanced
from ..transforms.io.masks.mask_files import corners, write_rtstruct, write_slicer
from ..transforms.io.volume_files import AFFINE, VOXELS, write_itk, write_nifti
from ..transforms.store.volumes import preprocessing, write_case

SECONDS = 20
"""Longest time for an input of a few kilobytes."""
MOST = 1 << 28
"""Bytes that a file may claim."""
KEPT = 5
"""Inputs kept of each kind of failure."""
EXAMPLES = 100
"""Inputs drawn from one seed."""
VALUES = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\x00\x00\xc0\x7f",
    b"\x00\x00\x80\x7f",
    b"-1",
    b"9" * 9,
)
"""What is written over bytes: limits of integers, NaN and infinity in float32, text of numbers."""

MASKS = ("seg.dcm", "rtstruct.dcm", "a.seg.nrrd")
ROIS = {"tumour": 1, "kidney": 2}
STORED = "entry"
"""Names of the files of masks and of the prepared case."""

Damage = Callable[[bytes], bytes]


class HangError(BaseException):
    """An input took too long; no handler of errors catches it."""


def gzipped(path: Path) -> Path:
    target = path.with_name(f"{path.name}.gz")
    target.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return target


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return folder.with_suffix(".zip")


def write_masks(folder: Path, image: Path) -> list[Path]:
    """Write two masks on the grid of a DICOM series as RTSTRUCT, as DICOM SEG and as 3D Slicer does."""
    with open_series(image) as series:
        labels = np.zeros(SHAPE, dtype=np.uint8)
        labels[1:4, 2:5, :2], labels[5:7, 1:2, 1:] = 1, 2
        structures = describe_structures({1: "tumour", 2: "kidney"})
        write_segmentation(labels, series, folder / "seg.dcm", structures, algorithm="test", version="1")
        affine = series.affine
    contours = {
        "tumour": [corners((1, 2), (3, 4), index, affine) for index in (0, 1)],
        "kidney": [corners((5, 1), (6, 1), index, affine) for index in (1, 2)],
    }
    rtstruct = write_rtstruct(folder / "rtstruct.dcm", contours)
    slicer = write_slicer(folder / "a.seg.nrrd", [labels], affine, {"tumour": (0, 1), "kidney": (0, 2)})
    return [folder / "seg.dcm", rtstruct, slicer]


def write_stored_case(folder: Path) -> Path:
    """Write a case of a store."""
    case = write_case(folder / "data")
    store = Store(folder / "store", preprocessing())
    store.prepare(case)
    return store.entry(case).rename(folder / STORED)


def write_originals(folder: Path) -> list[Path]:
    """Write a sound volume in each format, masks on the grid of the DICOM folder `ct`, and a prepared case."""
    files = [write_nifti(folder / "a.nii"), write_itk(folder / "a.nrrd", VOXELS, AFFINE)]
    files += [
        write_itk(folder / "b.nrrd", VOXELS, AFFINE, compressed=True),
        write_itk(folder / "a.mha", VOXELS, AFFINE),
    ]
    files += [write_itk(folder / "b.mha", VOXELS, AFFINE, compressed=True), gzipped(files[0])]
    write_series(folder / "ct")
    files += [
        folder / "ct",
        write_enhanced(folder / "frames"),
        zipped(folder / "ct"),
        *write_masks(folder, folder / "ct"),
        write_stored_case(folder),
    ]
    return files


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """Draw a change of bytes; the header, at the beginning, is hit as often as the rest."""
    kind = draw(st.sampled_from(["overwrite", "overwrite", "cut", "insert", "repeat", "drop"]))
    start = draw(st.one_of(st.integers(0, 400), st.integers(0, 1 << 16)))
    length = draw(st.integers(1, 16))
    value = draw(st.one_of(st.sampled_from(VALUES), st.binary(min_size=1, max_size=8)))

    def change(content: bytes) -> bytes:
        at = start % (len(content) or 1)
        if kind == "overwrite":
            return content[:at] + value + content[at + len(value) :]
        if kind == "cut":
            return content[:at]
        if kind == "insert":
            return content[:at] + value * length + content[at:]
        if kind == "repeat":
            return content[: at + length] + content[at:]
        return content[:at] + content[at + length :]

    return change


class Campaign:
    """Reads damaged files and counts the results.

    Args:
        folder: an empty folder for them.
        kept: folder for inputs that show a fault.

    Attributes:
        counts: inputs by result: read, refused, traceback, hang.
    """

    def __init__(self, folder: Path, kept: Path) -> None:
        self.folder, self.kept = folder, kept
        (folder / "originals").mkdir()
        self.originals = write_originals(folder / "originals")
        self.counts: Counter[str] = Counter()

    def try_file(self, original: Path, changes: list[Damage], member: int) -> None:
        """Read a damaged copy of an original; in a folder, one of the files is damaged."""
        copy = self.folder / original.name
        if original.is_dir():
            shutil.copytree(original, copy)
            target = sorted(copy.iterdir())[member % len(list(copy.iterdir()))]
        else:
            target = Path(shutil.copy(original, copy))
        content = target.read_bytes()
        for change in changes:
            content = change(content)
        target.write_bytes(content)
        result = self.read(copy)
        self.counts[result] += 1
        if result in ("traceback", "hang") and self.counts[result] <= KEPT:
            self.kept.mkdir(parents=True, exist_ok=True)
            copy.rename(self.kept / f"{result}{self.counts[result]}_{copy.name}")
        elif copy.is_dir():
            shutil.rmtree(copy)
        else:
            copy.unlink()

    def read(self, path: Path) -> str:
        """Read an input, and return what happened."""
        signal.alarm(SECONDS)
        try:
            if path.name == STORED:
                return self.read_stored(path)
            if path.name in MASKS:
                image = str(self.folder / "originals" / "ct")
                case: dict[Hashable, Any] = {"image": image, "label": MaskFile(path, ROIS)}
                LoadVolumed(["image", "label"], label_keys=["label"], max_bytes=MOST)(case)
            else:
                LoadVolumed("image", max_bytes=MOST)({"image": path})
        except VolumeError as error:
            return "traceback" if "\n" in str(error) else "refused"
        except HangError:
            return "hang"
        except Exception:
            traceback.print_exc()
            return "traceback"
        finally:
            signal.alarm(0)
        return "read"

    def read_stored(self, entry: Path) -> str:
        """Read a prepared case, which must be as it was if it counts as ready."""
        if not is_ready(entry):
            return "refused"
        read, sound = (
            open_case({"image": "", "label": ""}, folder, whole=True)
            for folder in (entry, self.folder / "originals" / STORED)
        )
        assert all(np.array_equal(read[key], sound[key]) for key in ("image", "label"))
        return "read"

    def run(self, minutes: float, seed: int) -> None:
        """Try inputs until the time is over."""
        until = time.monotonic() + 60 * minutes
        seeds = random.Random(seed)

        @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[hypothesis.Phase.generate])
        @hypothesis.given(
            st.sampled_from(self.originals), st.lists(damages(), min_size=1, max_size=4), st.integers(0, 4)
        )
        def try_inputs(original: Path, changes: list[Damage], member: int) -> None:
            if time.monotonic() < until:
                self.try_file(original, changes, member)

        while time.monotonic() < until:
            hypothesis.seed(seeds.getrandbits(32))(try_inputs)()


def stop(number: int, frame: FrameType | None) -> None:
    raise HangError


def main() -> int:
    """Run a campaign, print its counts, and return 1 if it found a fault."""
    parser = argparse.ArgumentParser(description="Read files with random damage, and count what happens.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kept", type=Path, default=Path("fuzz_faults"), help="folder for inputs that show a fault")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, stop)
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), options.kept)
        campaign.run(options.minutes, options.seed)
    counts = campaign.counts
    print(f"{counts.total()} inputs tried in {options.minutes:g} minutes, seed {options.seed}")
    for result in ("read", "refused", "traceback", "hang"):
        print(f"{result:10}{counts[result]:8}")
    return int(counts["traceback"] + counts["hang"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
