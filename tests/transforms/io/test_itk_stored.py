"""Voxels of NRRD and MetaImage files: their position, and whether they are complete."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from hybridseg.transforms.io.itk_stored import DEFLATE_RATIO, find_stored_voxels

VOXELS = np.random.default_rng(0).integers(0, 1000, (5, 6, 7)).astype(np.int16)


def write(path: Path, *, compressed: bool) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), path, useCompression=compressed)
    return path


@pytest.mark.parametrize("extension", [".nrrd", ".mha", ".mhd"])
def test_plain_voxels_fill_the_rest_of_the_file(tmp_path: Path, extension: str) -> None:
    stored = find_stored_voxels(write(tmp_path / f"a{extension}", compressed=False))
    assert stored is not None
    assert stored.capacity == VOXELS.nbytes
    assert stored.path.read_bytes()[stored.offset :] == VOXELS.tobytes()


@pytest.mark.parametrize("extension", [".nrrd", ".mha", ".mhd"])
def test_compressed_voxels_are_verified_to_the_last_byte(tmp_path: Path, extension: str) -> None:
    stored = find_stored_voxels(write(tmp_path / f"a{extension}", compressed=True))
    assert stored is not None
    stored.verify(VOXELS.nbytes)
    whole = stored.path.read_bytes()
    assert zlib.decompress(whole[stored.offset :], wbits=47) == VOXELS.tobytes()
    assert stored.capacity == (len(whole) - stored.offset) * DEFLATE_RATIO

    stored.path.write_bytes(whole[:-1])
    with pytest.raises(EOFError, match="compressed voxels end early"):
        stored.verify(VOXELS.nbytes)
    middle = (stored.offset + len(whole)) // 2
    stored.path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 16]) + whole[middle + 1 :])
    with pytest.raises((zlib.error, EOFError)):
        stored.verify(VOXELS.nbytes)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("text.nrrd", "NRRD0004\nencoding: ascii\n\n1 2 3"),
        ("split.mhd", "BinaryData = True\nElementDataFile = LIST\na.raw\nb.raw\n"),
        ("text.mha", "BinaryData = False\nElementDataFile = LOCAL\n1 2 3"),
    ],
)
def test_other_storage_is_not_checked(tmp_path: Path, name: str, header: str) -> None:
    (tmp_path / name).write_text(header)
    assert find_stored_voxels(tmp_path / name) is None


def test_detached_nrrd_data_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / "a.nrrd").write_text("NRRD0004\nencoding: raw\ndata file: a.raw\n")
    stored = find_stored_voxels(tmp_path / "a.nrrd")
    assert stored is not None
    assert (stored.path, stored.capacity) == (tmp_path / "a.raw", VOXELS.nbytes)
