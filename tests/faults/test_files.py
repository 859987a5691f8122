"""Broken, overlong and enormous files are one-line errors, and what they claim is never allocated."""

from __future__ import annotations

import gzip
import os
import resource
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Hashable
from multiprocessing.connection import Connection
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest

from hybridseg.transforms import LoadVolumed, VolumeError
from hybridseg.transforms.io.atomic import remove_abandoned
from hybridseg.transforms.io.dicom.series import open_series
from hybridseg.transforms.io.dicom.stored import HAS_MEMORY_FILES, private_file

from ..kills import FORK
from ..transforms.io.dicom.dicom_files import write_series
from ..transforms.io.volume_files import AFFINE, VOXELS, change_header, load, write_itk, write_nifti

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

GIB = 1 << 30
ROOM = 400 << 20
"""Bytes that a process may allocate while it reads an enormous file."""


def append(path: Path, more: bytes) -> Path:
    path.write_bytes(path.read_bytes() + more)
    return path


def edit(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


def gzipped(path: Path, more: bytes = b"") -> Path:
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes() + more))
    return packed


def compressed_nrrd(path: Path, content: bytes) -> Path:
    """Write a NRRD file of `VOXELS`' shape with other compressed content."""
    header = write_itk(path, VOXELS, AFFINE, compressed=True).read_bytes().split(b"\n\n", 1)[0]
    path.write_bytes(header + b"\n\n" + gzip.compress(content))
    return path


WRONG_LENGTH: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nii of fewer slices": (
        lambda f: change_header(write_nifti(f / "a.nii"), dim=[3, 7, 6, 4, 1, 1, 1, 1]),
        r"84 bytes after the 336 of shape \(7, 6, 4\) of int16: must hold the voxels that its header describes, and no",
    ),
    "nii of more slices": (
        lambda f: change_header(write_nifti(f / "a.nii"), dim=[3, 7, 6, 6, 1, 1, 1, 1]),
        "is 504 bytes, at most 420 are there",
    ),
    "nii with many zeros": (lambda f: append(write_nifti(f / "a.nii"), bytes(513)), "513 bytes after the 420"),
    "nii.gz of fewer slices": (
        lambda f: gzipped(change_header(write_nifti(f / "a.nii"), dim=[3, 7, 6, 4, 1, 1, 1, 1])),
        r"more than the voxels of shape \(7, 6, 4\)",
    ),
    "nii.gz of more slices": (
        lambda f: gzipped(change_header(write_nifti(f / "a.nii"), dim=[3, 7, 6, 6, 1, 1, 1, 1])),
        r"unreadable \(could the file be damaged\?\)",
    ),
    "mha of fewer slices": (
        lambda f: edit(write_itk(f / "a.mha", VOXELS, AFFINE), b"DimSize = 7 6 5", b"DimSize = 7 6 4"),
        "84 bytes after the 336",
    ),
    "mha of more slices": (
        lambda f: edit(write_itk(f / "a.mha", VOXELS, AFFINE), b"DimSize = 7 6 5", b"DimSize = 7 6 6"),
        "is 504 bytes, at most 420",
    ),
    "compressed mha of fewer slices": (
        lambda f: edit(write_itk(f / "a.mha", VOXELS, AFFINE, compressed=True), b"DimSize = 7 6 5", b"DimSize = 7 6 4"),
        "more than 336 bytes of voxels when decompressed, its header describes 336",
    ),
    "compressed mha of more slices": (
        lambda f: edit(write_itk(f / "a.mha", VOXELS, AFFINE, compressed=True), b"DimSize = 7 6 5", b"DimSize = 7 6 6"),
        "420 bytes of voxels when decompressed, its header describes 504",
    ),
    "nrrd of fewer slices": (
        lambda f: edit(write_itk(f / "a.nrrd", VOXELS, AFFINE), b"sizes: 7 6 5", b"sizes: 7 6 4"),
        "84 bytes after the 336",
    ),
    "compressed nrrd, too long": (
        lambda f: compressed_nrrd(f / "a.nrrd", VOXELS.tobytes() + b"\0"),
        "more than 420 bytes of voxels when decompressed",
    ),
    "compressed nrrd, too short": (
        lambda f: compressed_nrrd(f / "a.nrrd", VOXELS.tobytes()[:-2]),
        "418 bytes of voxels when decompressed, its header describes 420",
    ),
    "mhd with a longer data file": (
        lambda f: append(write_itk(f / "a.mhd", VOXELS, AFFINE).with_suffix(".raw"), b"\1").with_suffix(".mhd"),
        "1 bytes after the 420",
    ),
}


@pytest.mark.parametrize("kind", WRONG_LENGTH)
def test_voxels_of_another_length_fail_the_case(tmp_path: Path, kind: str) -> None:
    write, message = WRONG_LENGTH[kind]
    path = write(tmp_path)
    with pytest.raises(VolumeError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_padding_and_several_gzip_streams_are_read(tmp_path: Path) -> None:
    padded = append(write_nifti(tmp_path / "a.nii"), bytes(16))
    halves = compressed_nrrd(tmp_path / "a.nrrd", VOXELS.tobytes("F")[:200])
    append(halves, gzip.compress(VOXELS.tobytes("F")[200:]))
    for path in (padded, halves):
        np.testing.assert_array_equal(load(path)[0].numpy(), VOXELS)


def test_skipped_bytes_before_nrrd_voxels_are_no_surplus(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"header12" + VOXELS.tobytes("F"))
    header = write_itk(tmp_path / "b.nrrd", VOXELS, AFFINE).read_bytes().split(b"\n\n", 1)[0]
    (tmp_path / "a.nrrd").write_bytes(header + b"\nbyte skip: 8\ndata file: a.raw\n")
    np.testing.assert_array_equal(load(tmp_path / "a.nrrd")[0].numpy(), VOXELS)


def claim(path: Path, side: int) -> Path:
    """Write a NIfTI header that claims an int16 cube."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((side, side, side))
    header.set_sform(np.diag([0.1, 0.1, 0.1, 1]), code=1)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    path.write_bytes(header.binaryblock + bytes(4))
    return path


def gzip_claim(folder: Path) -> Path:
    """Write 16 GB of zeros in 16 MB of gzip."""
    start = claim(folder / "start", 2048).read_bytes()
    zeros = gzip.compress(bytes(64 << 20), compresslevel=1)
    path = folder / "a.nii.gz"
    path.write_bytes(gzip.compress(start) + zeros * 257)
    return path


def overlong_gzip(folder: Path) -> Path:
    """Write a small volume, and gigabytes of zeros after it."""
    path = gzipped(write_nifti(folder / "a.nii"))
    return append(path, gzip.compress(bytes(64 << 20), compresslevel=1) * 64)


def overlong_nrrd(folder: Path) -> Path:
    path = compressed_nrrd(folder / "a.nrrd", VOXELS.tobytes("F"))
    return append(path, gzip.compress(bytes(64 << 20), compresslevel=1) * 64)


def sparse(path: Path, size: int) -> Path:
    os.truncate(path, size)
    return path


def sparse_slice(folder: Path) -> Path:
    sparse(write_series(folder / "ct")[-1], 6 * GIB)
    return folder / "ct"


def sparse_nothing(folder: Path) -> Path:
    file = write_series(folder / "ct")[-1].with_name("z.dcm")
    file.touch()
    sparse(file, 6 * GIB)
    return folder / "ct"


def zip_bomb(folder: Path) -> Path:
    """Write a zip whose last slice goes on for a gigabyte of zeros."""
    with zipfile.ZipFile(folder / "ct.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        *files, last = write_series(folder / "ct")
        for file in files:
            archive.write(file, file.name)
        with archive.open(last.name, "w", force_zip64=True) as member:
            member.write(last.read_bytes())
            for _ in range(16):
                member.write(bytes(64 << 20))
    return folder / "ct.zip"


def random_header(folder: Path) -> Path:
    lines = (f"key{number}:=" + "x" * 1000 for number in range(1 << 16))
    (folder / "a.nrrd").write_text("NRRD0004\n" + "\n".join(lines))
    return folder / "a.nrrd"


ENORMOUS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nii.gz that claims 16 GB": (gzip_claim, f"claims voxels that need {6 * 2048**3} bytes in memory: must be at most"),
    "nii.gz with 4 GB after its voxels": (overlong_gzip, "more than the voxels of shape"),
    "nrrd with 4 GB after its voxels": (overlong_nrrd, "more than 420 bytes of voxels when decompressed"),
    "nrrd with a header of 64 MB": (random_header, "its header is longer than"),
    "sparse slice of 6 GB": (sparse_slice, "bytes after the pixel data"),
    "sparse file of 6 GB": (sparse_nothing, "z.dcm: unreadable (no pixel data among its first elements)"),
    "zip with a slice of 1 GB": (zip_bomb, "bytes after the pixel data"),
}


def load_in_little_memory(path: Path, parent: Connection) -> None:
    """Load a volume where little more memory can be allocated, and send the error."""
    most = psutil.Process().memory_info().vms + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        LoadVolumed("image", max_bytes=GIB)({"image": path})
        parent.send("loaded")
    except BaseException as error:
        parent.send(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("kind", ENORMOUS)
def test_enormous_file_fails_the_case_in_little_memory(tmp_path: Path, kind: str) -> None:
    write, message = ENORMOUS[kind]
    path = write(tmp_path)
    parent, child = FORK.Pipe()
    process = FORK.Process(target=load_in_little_memory, args=(path, child), daemon=True)
    process.start()
    child.close()
    error = parent.recv()
    process.join()
    assert error.startswith(f"VolumeError: {path}")
    assert message in error
    assert "\n" not in error


def test_default_limit_is_the_free_memory(tmp_path: Path) -> None:
    path = sparse(claim(tmp_path / "a.nii", 8192), 352 + 2 * 8192**3)
    with pytest.raises(VolumeError, match=f"need {6 * 8192**3} bytes in memory: must be at most .*, the free memory"):
        load(path)


def test_limit_counts_all_volumes_of_a_case(tmp_path: Path) -> None:
    image, label = write_nifti(tmp_path / "a.nii"), write_nifti(tmp_path / "b.nii", (VOXELS > 0).astype(np.int16))
    case: dict[Hashable, Path] = {"image": image, "label": label}
    needed = 2 * VOXELS.size * (2 + 4)
    LoadVolumed(["image", "label"], max_bytes=needed)(case)
    with pytest.raises(VolumeError, match=f"b.nii: .* need {needed} bytes .*: must be at most {needed - 1}, the limit"):
        LoadVolumed(["image", "label"], max_bytes=needed - 1)(case)


@pytest.mark.skipif(not HAS_MEMORY_FILES, reason="needs files in memory")
def test_zip_is_not_unpacked_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir(0o500)  # only root could write into it
    before = os.stat(tmp_path / "temporary").st_mtime_ns
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        for file in write_series(tmp_path / "ct"):
            archive.write(file, f"DOE^JANE/{file.name}")
    with open_series(tmp_path / "ct.zip") as series:
        assert [file.parent for file in series.files] == [tmp_path / "ct.zip"] * 5
        load(tmp_path / "ct.zip")
    assert os.stat(tmp_path / "temporary").st_mtime_ns == before


def hold_private_file(folder: Path, parent: Connection) -> None:
    tempfile.tempdir = str(folder)
    with (folder.parent / "slice").open("rb") as stream, private_file(stream) as path:
        parent.send(path)
        parent.recv()


def test_private_file_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    """Where there are no files in memory, one slice at a time is on disk."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    (tmp_path / "slice").write_bytes(b"slice")
    parent, child = FORK.Pipe()
    process = FORK.Process(target=hold_private_file, args=(folder, child), daemon=True)
    process.start()
    path = parent.recv()
    assert path.parent == folder
    assert path.read_bytes() == b"slice"
    assert path.stat().st_mode & 0o777 == 0o600
    process.kill()
    process.join()
    assert path.exists()
    remove_abandoned(folder)
    assert not path.exists()


def test_errors_name_no_patient_and_no_description(tmp_path: Path) -> None:
    secret = {"0010|0010": "DOE^JANE", "0010|0020": "MRN1", "0008|1030": "Jane's study", "0008|103e": "Jane's liver"}
    write_series(tmp_path / "ct", tags=secret)
    write_series(tmp_path / "ct", tags={**secret, "0020|000e": "1.2.9", "0020|0011": "7"}, start=100)
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        for file in (tmp_path / "ct").iterdir():
            archive.write(file, f"DOE^JANE/{file.name}")
    for source in (tmp_path / "ct", tmp_path / "ct.zip"):
        with pytest.raises(VolumeError) as caught:
            load(source)
        chosen = "choose one of 1.2.3 (number 4, CT, 5 slices), 1.2.9 (number 7, CT, 5 slices)"
        assert str(caught.value) == f"{source}: 2 series: {chosen}"


def test_bomb_in_zlib_is_not_inflated(tmp_path: Path) -> None:
    path = write_itk(tmp_path / "a.mha", VOXELS, AFFINE, compressed=True)
    header = path.read_bytes().split(b"LOCAL\n", 1)[0] + b"LOCAL\n"
    path.write_bytes(header + zlib.compress(bytes(1 << 28), level=1))
    with pytest.raises(VolumeError, match="more than 420 bytes of voxels when decompressed"):
        load(path)
