"""Any input of `hybridseg predict` gives a correct label map or a one-line error, and the other cases continue."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hybridseg.app.runtime.console import printable
from hybridseg.transforms import LoadVolumed

from ...faults import bad_itk, bad_nifti
from ...faults.bad_files import SAME, UNREADABLE, Array, Kinds, Segmented, content, cut, flipped, named, nifti, zipped
from ...faults.bad_itk import itk
from ...faults.bad_nifti import pair
from ..conftest import label_maps, predict, read_volume

LONG_NAME = "n" * 248  # with .nii.gz as long as a name may be


def make_pipe(path: Path) -> Path:
    """Make a pipe, on which a reader would wait forever."""
    os.mkfifo(path)
    return path


DISGUISES: Kinds = {
    # Compression
    "gzip truncated": (cut(nifti("scan.nii.gz"), keep=0.6), UNREADABLE),
    "gzip truncated in the header": (cut(nifti("scan.nii.gz"), keep=0.01), UNREADABLE),
    "gzip without checksum": (cut(nifti("scan.nii.gz"), drop=8), UNREADABLE),
    "gzip with a wrong checksum": (flipped(nifti("scan.nii.gz"), -6), "CRC check failed"),
    "gzip with garbage behind": (zipped(nifti(), tail=b"garbage"), UNREADABLE),
    "gzip with zeros behind": (zipped(nifti(), tail=bytes(600)), SAME),
    "gzip twice": (zipped(nifti(), times=2), UNREADABLE),
    "gzip of nothing": (zipped(content("scan.nii")), UNREADABLE),
    "gzip of text": (zipped(content("scan.nii", b"hello" * 400)), UNREADABLE),
    "gzip called .nii": (named("scan.nii", nifti("a.nii.gz")), "compressed by gzip: its name must end in .nii.gz"),
    "uncompressed called .nii.gz": (named("scan.nii.gz", nifti()), "not compressed: its name must end in .nii"),
    # Not a volume
    **{f"empty {name}": (content(f"scan{name}"), UNREADABLE) for name in (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")},
    "picture called .nii": (content("scan.nii", b"\x89PNG\r\n\x1a\n" + bytes(500)), UNREADABLE),
    "DICOM called .nii": (content("scan.nii", bytes(128) + b"DICM" + bytes(500)), UNREADABLE),
    "NIfTI called .nrrd": (named("scan.nrrd", nifti()), r"unreadable \(begins with .* instead of b'NRRD'\)"),
    "NIfTI called .mha": (named("scan.mha", nifti()), UNREADABLE),
    "MetaImage called .nrrd": (named("scan.nrrd", itk("a.mha")), r"unreadable \(begins with b'Obje' instead"),
    "NRRD called .nii": (named("scan.nii", itk("a.nrrd")), UNREADABLE),
    "Analyze called .nii": (named("scan.nii", pair(nib.AnalyzeImage)), UNREADABLE),
    "header of a pair called .nii": (
        named("scan.nii", pair(nib.Nifti1Pair)),
        r"vox_offset 0: must be at least 352, after the header",
    ),
    # Names
    "upper case .NII.GZ": (named("SCAN.NII.GZ", nifti("a.nii.gz")), SAME),
    "upper case .NII": (named("SCAN.NII", nifti()), SAME),
    "upper case .NRRD": (named("SCAN.NRRD", itk("a.nrrd")), SAME),
    "upper case .MHA": (named("SCAN.MHA", itk("a.mha")), SAME),
    "name with spaces": (named("my  scan of today .nii", nifti()), SAME),
    "name with spaces, broken": (named("my  scan .nii", content("a")), UNREADABLE),
    "name with a line break": (named("my\nscan.nii", nifti()), SAME),
    "name with a line break, broken": (named("my\nscan.nii", content("a")), UNREADABLE),
    "name with an escape": (named("\x1b[31mred.nii", nifti()), SAME),
    "name with an escape, broken": (named("\x1b[31mred.nii", content("a")), rf"\\x1b\[31mred.nii: {UNREADABLE}"),
    "name beyond ASCII": (named("Ünïcødé 脳 🧠.nii", nifti()), SAME),
    "name beyond ASCII, MetaImage": (named("Ünïcødé 脳 🧠.mha", itk("a.mha")), SAME),
    "name beyond ASCII, broken": (named("Ünïcødé 脳 🧠.nii", content("a")), f"Ünïcødé 脳 🧠.nii: {UNREADABLE}"),
    "name beyond UTF-8": (named(os.fsdecode(b"\xff\xfe.nii"), nifti()), SAME),
    "name beyond UTF-8, broken": (named(os.fsdecode(b"\xff\xfe.nii"), content("a")), UNREADABLE),
    "name with wildcards": (named("a%s{0}[1]*?.nii", nifti()), SAME),
    "name of an option": (named("--output.nii", nifti()), SAME),
    "longest name": (named(f"{LONG_NAME}.nii.gz", nifti("a.nii.gz")), SAME),
    "longest name, broken": (named(f"{LONG_NAME}.nii.gz", content("a")), f"{LONG_NAME}.nii.gz: {UNREADABLE}"),
    # Not a file
    "a pipe": (lambda folder: make_pipe(folder / "scan.nii"), "not a file: must be a file that exists"),
    "a broken zip": (content("scan.zip", b"PK\x03\x04" + bytes(100)), r"scan\.zip"),
}
KINDS = DISGUISES | bad_nifti.KINDS | bad_itk.KINDS


def in_world(labels: nib.Nifti1Image) -> tuple[Array, Array]:
    """Return voxels and affine of a label map, with its axes along right, anterior, superior."""
    canonical = nib.as_closest_canonical(labels)
    return np.asarray(canonical.dataobj), np.asarray(canonical.affine)


@pytest.mark.parametrize("kind", [kind for kind, (_, expected) in KINDS.items() if isinstance(expected, str)])
def test_bad_file_is_one_line_and_the_next_case_is_written(
    bundle: Path, folder: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write, message = KINDS[kind]
    assert isinstance(message, str)
    image, good = write(folder), nifti("good.nii")(folder)
    output = folder.parent / "out"
    result = predict(bundle, output, image, good)
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert line.startswith(f"hybridseg predict: {printable(str(image))}: ")
    assert line.isprintable()
    assert re.search(message, line)
    assert "Traceback" not in result.out + result.err
    assert capfd.readouterr() == ("", "")  # no library prints anything
    assert label_maps(output) == ["good.nii.gz"]


@pytest.mark.parametrize("kind", [kind for kind, (_, expected) in KINDS.items() if isinstance(expected, Segmented)])
def test_odd_file_gives_the_labels_of_the_plain_image(
    bundle: Path, folder: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write, expected = KINDS[kind]
    assert isinstance(expected, Segmented)
    image, plain = write(folder), (expected.plain or nifti("plain.nii"))(folder)
    output = folder.parent / "out"
    result = predict(bundle, output, image, plain)
    assert (result.code, result.err, capfd.readouterr()) == (0, "", ("", ""))
    (name,) = set(label_maps(output)) - {"plain.nii.gz"}
    labels = read_volume(output / name)
    source = LoadVolumed("image")({"image": str(image)})["image"]
    assert labels.shape == tuple(source.meta["spatial_shape"])
    np.testing.assert_allclose(np.asarray(labels.affine), source.meta["original_affine"], rtol=1e-6, atol=1e-5)
    if expected.plain is None:
        return
    found, plain_labels = in_world(labels), in_world(read_volume(output / "plain.nii.gz"))
    assert len(np.unique(plain_labels[0])) > 1
    np.testing.assert_array_equal(found[0], plain_labels[0])
    np.testing.assert_allclose(found[1], plain_labels[1], atol=1e-4)
